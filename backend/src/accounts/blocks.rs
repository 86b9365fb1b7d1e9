//! Blocks: users from whom one doesn't want to hear.

use std::sync::Arc;

use protocol::{ListBlocks, Timestamp, UserId, UserPage, limits::PAGE_DEFAULT};
use storage::{Page, StoreError};

use super::Accounts;
use crate::{auth::actor::Actor, completion::run_to_completion, error::AppError, wire};

/// The users whom the actor has blocked, in the order of their ids.
///
/// # Errors
/// Those of the store.
pub async fn list(
    accounts: &Accounts,
    actor: &Actor,
    request: ListBlocks,
) -> Result<UserPage, AppError> {
    // Their ids are read at once: they are at most 1,000.
    let mut blocked = accounts.store.blocked_by(&actor.user_id).await?;
    blocked.sort_unstable();
    if let Some(after) = &request.after {
        let start = blocked.partition_point(|id| id <= after);
        blocked.drain(..start);
    }
    let limit = request.limit.unwrap_or(PAGE_DEFAULT) as usize;
    let has_more = blocked.len() > limit;
    blocked.truncate(limit);
    let mut items: Vec<_> = accounts.store.users(&blocked).await?;
    items.sort_by(|one, other| one.id.cmp(&other.id));
    wire::users(Page { items, has_more }, &accounts.urls)
}

/// Blocks a user.
///
/// # Errors
/// `not_found` if the user doesn't exist, `conflict` beyond 1,000 blocks.
pub async fn add(accounts: &Arc<Accounts>, actor: &Actor, user: UserId) -> Result<(), AppError> {
    let (accounts, actor) = (accounts.clone(), actor.user_id.clone());
    run_to_completion(async move {
        match accounts.store.block(&actor, &user, Timestamp::now()).await {
            Err(StoreError::NotFound) => return Err(AppError::not_found("user")),
            blocked => blocked?,
        };
        publish(&accounts, &actor, &user).await
    })
    .await
}

/// Removes a block.
///
/// # Errors
/// `not_found` if there is none.
pub async fn remove(accounts: &Arc<Accounts>, actor: &Actor, user: UserId) -> Result<(), AppError> {
    let (accounts, actor) = (accounts.clone(), actor.user_id.clone());
    run_to_completion(async move {
        accounts.store.unblock(&actor, &user).await?;
        publish(&accounts, &actor, &user).await
    })
    .await
}

/// Applies a block between two users on every instance.
async fn publish(accounts: &Accounts, one: &UserId, other: &UserId) -> Result<(), AppError> {
    for user in [one, other] {
        accounts.publish_change(user);
    }
    accounts.chat.block_changed(one, other).await?;
    Ok(())
}
