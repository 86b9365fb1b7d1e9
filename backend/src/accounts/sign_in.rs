//! Signing in: with a new account, with an existing one, or as a guest.

use std::time::Instant;

use protocol::{ErrorCode, GuestRequest, LoginRequest, RegisterRequest, Timestamp, Tokens};
use storage::NewUser;

use super::{
    Accounts,
    sessions::{self, Device},
};
use crate::{
    cache::Audience,
    error::AppError,
    limits::{Tier, network::Network, tiers},
};

/// Creates an account and its first session.
///
/// # Errors
/// `conflict` if the username is taken, `rate_limited` if too many are made from one network, `unavailable` if too many
/// are signing in.
pub async fn register(
    accounts: &Accounts,
    request: RegisterRequest,
    device: Device,
) -> Result<Tokens, AppError> {
    let network = Network::from(device.address);
    // The ticket comes first: it bounds how many are counted at a time.
    let mut ticket = accounts.auth.passwords.ticket(network)?;
    let registration = count(accounts, Tier::Registrations, network);
    ticket.hold(registration).await??;
    let password_hash = ticket.hash(request.password).await?;
    let user = NewUser {
        display_name: request
            .display_name
            .unwrap_or_else(|| request.username.clone()),
        username: request.username,
        email: request.email,
        password_hash,
    };
    let user = accounts.store.create_user(user, Timestamp::now()).await?;
    sessions::open(accounts, user, device).await
}

/// Opens a session for a username and its password.
///
/// # Errors
/// `unauthenticated` for a wrong password and an unknown username alike, `rate_limited` after too many of them,
/// `unavailable` if too many are signing in.
pub async fn log_in(
    accounts: &Accounts,
    request: LoginRequest,
    device: Device,
) -> Result<Tokens, AppError> {
    // The ticket comes first: it bounds how many wait for the attempts before theirs.
    let network = Network::from(device.address);
    let mut ticket = accounts.auth.passwords.ticket(network)?;
    let attempts = &accounts.auth.sign_in_attempts;
    let attempt = attempts.begin(network, &request.username, Instant::now());
    let attempt = ticket.hold(attempt).await??;
    let (user, hash) = match accounts.store.credentials(&request.username).await? {
        Some(known) => (Some(known.user), known.password_hash),
        None => (None, None),
    };
    let matches = ticket.verify(request.password, hash).await?;
    match user {
        Some(user) if matches => {
            attempt.succeeded().await;
            // A role that was given from the command line holds from the next sign-in on.
            accounts.invalidate(&user.id, Audience::Instances);
            sessions::open(accounts, user, device).await
        }
        user => {
            attempt.failed(Instant::now());
            let refusal = AppError::new(
                ErrorCode::Unauthenticated,
                "the username or the password is wrong",
            );
            Err(match user {
                Some(user) => refusal.concerning(Some(user.id), "wrong_password"),
                // What was typed isn't recorded: it may be a password.
                None => refusal.concerning(None, "unknown_username"),
            })
        }
    }
}

/// Creates a user without a password, with the only session that it will have.
///
/// # Errors
/// `forbidden` where guests aren't allowed, `rate_limited` if too many come from one network.
pub async fn sign_in_as_guest(
    accounts: &Accounts,
    request: GuestRequest,
    device: Device,
) -> Result<Tokens, AppError> {
    if !accounts.guests {
        return Err(AppError::forbidden("this server doesn't allow guests"));
    }
    count(accounts, Tier::Guests, Network::from(device.address)).await?;
    let user = accounts
        .store
        .create_guest(request.display_name, Timestamp::now())
        .await?;
    sessions::open(accounts, user, device).await
}

async fn count(accounts: &Accounts, tier: Tier, network: Network) -> Result<(), AppError> {
    let (key, now) = (tiers::of_network(network), Instant::now());
    accounts.limits.take(tier, key, 1, now).await?;
    Ok(())
}
