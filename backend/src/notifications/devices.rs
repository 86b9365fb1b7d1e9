//! The devices of a user.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use protocol::{DeviceId, DeviceKind, Invalid, PushKey, PutDevice, Timestamp};
use storage::{DeviceAddress, StoredDevice};

use super::Notifications;
use crate::{auth::actor::Actor, error::AppError};

/// The key with which a browser subscribes.
///
/// # Errors
/// `not_found` if this server doesn't push to browsers.
pub fn push_key(notifications: &Notifications) -> Result<PushKey, AppError> {
    let public_key = notifications.push.public_key();
    let public_key = public_key.ok_or_else(|| AppError::not_found("key: push is off"))?;
    Ok(PushKey { public_key })
}

/// Registers a device of the actor's, for as long as their session lasts.
///
/// # Errors
/// `invalid` for what isn't an address of a push service, or of one that this server doesn't use.
pub async fn put(
    notifications: &Notifications,
    actor: &Actor,
    id: &DeviceId,
    request: PutDevice,
) -> Result<(), AppError> {
    let address = address(request)?;
    notifications.push.check(&address)?;
    let is_off = match &address {
        DeviceAddress::Web { .. } => notifications.push.public_key().is_none(),
        DeviceAddress::Fcm { .. } => !notifications.push.reaches_applications(),
    };
    if is_off {
        let message = "this server doesn't push to such devices";
        return Err(Invalid::new("kind", message).into());
    }
    let device = StoredDevice {
        id: id.as_str().to_owned(),
        address,
        // Another application's tokens have no session here.
        session_id: actor.external.is_none().then(|| actor.session_id.clone()),
        registered_at: Timestamp::now(),
    };
    notifications.devices.put(&actor.user_id, &device).await?;
    Ok(())
}

/// Removes a device of the actor's; one that isn't there is as well.
///
/// # Errors
/// Those of the store.
pub async fn delete(
    notifications: &Notifications,
    actor: &Actor,
    id: &DeviceId,
) -> Result<(), AppError> {
    let devices = &notifications.devices;
    devices.delete(&actor.user_id, id.as_str()).await?;
    Ok(())
}

fn address(request: PutDevice) -> Result<DeviceAddress, Invalid> {
    let missing = |field: &str| Invalid::new(field, "is required");
    match request.kind {
        DeviceKind::Fcm => Ok(DeviceAddress::Fcm {
            token: request.token.ok_or_else(|| missing("token"))?,
        }),
        DeviceKind::Web => {
            let keys = request.keys.unwrap_or_default();
            let key = |name: &str| {
                let field = format!("keys.{name}");
                let text = keys.get(name).ok_or_else(|| missing(&field))?;
                let text = text.trim_end_matches('=');
                BASE64_URL_SAFE_NO_PAD
                    .decode(text)
                    .map_err(|_| Invalid::new(field, "expected base64url"))
            };
            Ok(DeviceAddress::Web {
                p256dh: key("p256dh")?,
                auth: key("auth")?,
                endpoint: request.endpoint.ok_or_else(|| missing("endpoint"))?,
            })
        }
    }
}
