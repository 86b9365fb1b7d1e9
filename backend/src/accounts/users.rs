//! Users, as they appear to others.

use protocol::{ListUsers, User, UserId, UserPage, limits::PAGE_DEFAULT};

use super::Accounts;
use crate::{auth::actor::Actor, error::AppError, wire};

/// Finds users by their names.
///
/// # Errors
/// `rate_limited` for too many searches of the actor at once, `unavailable` for one that takes too long.
pub async fn find(
    accounts: &Accounts,
    actor: &Actor,
    request: ListUsers,
) -> Result<UserPage, AppError> {
    let limit = request.limit.unwrap_or(PAGE_DEFAULT);
    let searches = accounts.chat.search_queues();
    let _permit = searches.acquire(&actor.user_id).await?;
    let page = accounts
        .store
        .find_users(&request.query, request.after.as_ref(), limit)
        .await?;
    wire::users(page, &accounts.urls)
}

/// One user; the actor's own with what only they see.
///
/// # Errors
/// `not_found` if the user doesn't exist.
pub async fn read(accounts: &Accounts, actor: &Actor, id: &UserId) -> Result<User, AppError> {
    let user = accounts.user(id).await?;
    let user = user.ok_or_else(|| AppError::not_found("user"))?;
    let mut user = User::clone(&user);
    if *id != actor.user_id {
        user.email = None;
    }
    Ok(user)
}
