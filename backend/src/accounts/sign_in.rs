//! Coming in: with a new account, with an old one, or without any.

use std::time::Instant;

use protocol::{ErrorCode, GuestRequest, LoginRequest, RegisterRequest, Timestamp, Tokens};
use storage::NewUser;

use super::sessions::{self, Device};
use crate::{app::App, error::AppError, limits::Action, network::Network};

/// Makes an account and a first session.
///
/// # Errors
/// `conflict` if the username is taken, `rate_limited` beyond 60 a minute from one network, `unavailable` if too many are
/// signing in.
pub async fn register(
    app: &App,
    request: RegisterRequest,
    device: Device,
) -> Result<Tokens, AppError> {
    let network = Network::from(device.address);
    // The place comes first: it bounds how many are counted at a time.
    let mut place = app.passwords.place(network)?;
    let registration = count(app, Action::Registration, network);
    place.hold(registration).await??;
    let password_hash = place.hash(request.password).await?;
    let user = NewUser {
        display_name: request
            .display_name
            .unwrap_or_else(|| request.username.clone()),
        username: request.username,
        email: request.email,
        password_hash,
    };
    let user = app.store.create_user(user, Timestamp::now()).await?;
    sessions::open(app, user, device).await
}

/// Opens a session for who knows the password.
///
/// # Errors
/// `unauthenticated` for a wrong password and an unknown username alike, `rate_limited` after five of them,
/// `unavailable` if too many are signing in.
pub async fn log_in(app: &App, request: LoginRequest, device: Device) -> Result<Tokens, AppError> {
    // The place comes first: it bounds how many wait for the tries before theirs.
    let network = Network::from(device.address);
    let mut place = app.passwords.place(network)?;
    let attempt = app
        .limits
        .attempt(network, &request.username, Instant::now());
    let attempt = place.hold(attempt).await??;
    let (user, hash) = match app.store.credentials(&request.username).await? {
        Some(known) => (Some(known.user), known.password_hash),
        None => (None, None),
    };
    let matches = place.verify(request.password, hash).await?;
    match user {
        Some(user) if matches => {
            attempt.succeeded().await;
            sessions::open(app, user, device).await
        }
        _ => {
            attempt.failed(Instant::now());
            Err(AppError::new(
                ErrorCode::Unauthenticated,
                "the username or the password is wrong",
            ))
        }
    }
}

/// Makes a user without a password and the only session that user will have.
///
/// # Errors
/// `forbidden` where guests aren't wanted, `rate_limited` beyond 60 a minute from one network.
pub async fn come_as_guest(
    app: &App,
    request: GuestRequest,
    device: Device,
) -> Result<Tokens, AppError> {
    if !app.config.guests {
        return Err(AppError::forbidden("this server takes no guests"));
    }
    count(app, Action::Guest, Network::from(device.address)).await?;
    let user = app
        .store
        .create_guest(request.display_name, Timestamp::now())
        .await?;
    sessions::open(app, user, device).await
}

async fn count(app: &App, action: Action, network: Network) -> Result<(), AppError> {
    let network = network.to_string();
    app.limits.take(action, &network, 1, Instant::now()).await
}
