//! The picture of an account, made of one of its user's uploads.
//!
//! What must stay true: the upload is taken before its user has it and let go after they have another, so that whatever dies in between
//! leaves at most one too many, which the sweeper of uploads finds; one that was let go is never taken again.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use protocol::{ErrorCode, SetAvatar, Timestamp, User};
use storage::{ProfileChange, StoredMedia};

use super::{
    Accounts,
    profile::{change_whole, gone},
};
use crate::{
    auth::actor::Actor,
    completion::run_to_completion,
    error::AppError,
    limits::{Tier, tiers},
    media_urls::{avatar_of, avatar_upload},
    wire,
};

/// When somebody looks whether an upload that was taken became its user's avatar.
const SOON: Duration = Duration::from_secs(120);

/// Makes one of the actor's uploads their avatar. Doing so again changes nothing.
///
/// # Errors
/// `conflict` unless it is an image of theirs that is ready and of no message, `not_found` without files and images, `rate_limited`
/// beyond 60 changes of a profile a minute.
pub async fn set(
    accounts: &Arc<Accounts>,
    actor: &Actor,
    request: SetAvatar,
) -> Result<User, AppError> {
    let (who, now) = (tiers::of_user(&actor.user_id), Instant::now());
    accounts
        .limits
        .take(Tier::ProfileChanges, who, 1, now)
        .await?;
    let (accounts, user) = (accounts.clone(), actor.user_id.clone());
    run_to_completion(async move {
        let known = accounts.store.user(&user).await.map_err(gone)?;
        let present = known.avatar_url.as_deref().and_then(avatar_upload);
        if present.as_ref() == Some(&request.upload_id) {
            return Ok(wire::oneself(known, &accounts.urls));
        }
        let absent = || AppError::not_found("place for uploads on this server");
        let uploads = accounts.uploads.as_ref().ok_or_else(absent)?;
        let taken = uploads.take_avatar(&request.upload_id, &user, after(SOON));
        let media = taken.await?.and_then(|upload| upload.media);
        let media = media.ok_or_else(|| {
            let message =
                "uploadId: expected an image of yours that is ready and attached to nothing";
            AppError::new(ErrorCode::Conflict, message)
        })?;
        let change = ProfileChange {
            avatar_url: Some(Some(avatar_of(smallest(&media)))),
            ..ProfileChange::default()
        };
        change_whole(&accounts, &user, change).await
    })
    .await
}

/// The smallest copy, which is larger than people are shown.
fn smallest(media: &StoredMedia) -> &str {
    media
        .variants
        .first()
        .map_or(&media.key, |variant| &variant.key)
}

fn after(time: Duration) -> Timestamp {
    let millis = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_unix_ms(Timestamp::now().unix_ms().saturating_add(millis))
}
