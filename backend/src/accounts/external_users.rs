//! Users who sign in with tokens of another application: made when the first one comes, changed as later ones say, and
//! remembered for seconds, so that a token costs no I/O.
//!
//! What must stay true: what is remembered isn't older than the last change that this instance heard of; a role counts as
//! the store has it, so that an older token doesn't give back what a later one took.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use dashmap::DashMap;
use protocol::{ErrorCode, Timestamp, UserId};
use storage::{ExternalUser, StoreError, StoredUser};

use super::{Accounts, may_have_changed};
use crate::{
    auth::{
        actor::{Actor, ExternalToken},
        external_tokens::{ExternalIdentity, ExternalTokens, token_id},
    },
    error::AppError,
};

/// How long a user is remembered: a change of which no message came is noticed after that.
const LIFE: Duration = Duration::from_secs(30);

/// Users that are remembered, of some 300 bytes each.
const KNOWN: usize = 100_000;

/// Users as the store had them a moment ago.
#[derive(Default)]
pub(super) struct ExternalUsers {
    known: DashMap<UserId, Known>,
    /// Changes that this instance has heard of.
    changes: AtomicU64,
}

struct Known {
    user: StoredUser,
    read_at: Instant,
}

impl ExternalUsers {
    fn get(&self, id: &UserId) -> Option<StoredUser> {
        let known = self.known.get(id)?;
        (known.read_at.elapsed() < LIFE).then(|| known.user.clone())
    }

    /// Remembers a user that was read after there had been `changes`.
    fn put(&self, user: &StoredUser, changes: u64) {
        if self.known.len() >= KNOWN {
            self.known.retain(|_, known| known.read_at.elapsed() < LIFE);
            if self.known.len() >= KNOWN {
                self.known.clear();
            }
        }
        let known = Known {
            user: user.clone(),
            read_at: Instant::now(),
        };
        self.known.insert(user.id.clone(), known);
        if self.changes.load(Ordering::SeqCst) != changes {
            self.known.remove(&user.id);
        }
    }

    /// A user has changed.
    pub fn forget(&self, user: &UserId) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        self.known.remove(user);
    }

    /// Users may have changed.
    pub fn forget_all(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        self.known.clear();
    }

    /// True if the user is remembered, and the token still good for them.
    pub fn is_good(&self, actor: &Actor, token: &ExternalToken) -> bool {
        self.get(&actor.user_id)
            .is_some_and(|user| is_good(&user, token.issued_at))
    }
}

/// Whether tokens of a user that were issued at a time are good.
pub(super) fn is_good(user: &StoredUser, issued_at: Timestamp) -> bool {
    user.external
        .is_some_and(|external| issued_at >= external.valid_from)
}

/// Who acts with a token of another application.
pub(super) async fn authenticate(
    accounts: &Accounts,
    tokens: &ExternalTokens,
    token: &str,
) -> Result<Actor, AppError> {
    let identity = tokens.verify(token).await?;
    let user = sign_in(accounts, &identity).await?;
    if !is_good(&user, identity.issued_at) {
        return Err(AppError::new(
            ErrorCode::Unauthenticated,
            "the access token was revoked; sign in again",
        ));
    }
    Ok(Actor {
        user_id: user.id,
        session_id: token_id(token),
        display_name: user.display_name,
        role: user.role,
        guest: false,
        session_expires_at: identity.ends_at,
        external: Some(ExternalToken {
            issued_at: identity.issued_at,
            names_user: identity.display_name.is_some(),
        }),
    })
}

async fn sign_in(accounts: &Accounts, identity: &ExternalIdentity) -> Result<StoredUser, AppError> {
    let users = &accounts.external_users;
    let claimed = ExternalUser {
        id: identity.user_id.clone(),
        display_name: identity.display_name.clone(),
        role: identity.role,
        issued_at: identity.issued_at,
    };
    if let Some(user) = users.get(&claimed.id)
        && !claimed.changes(&user)
    {
        return Ok(user);
    }
    let changes = users.changes.load(Ordering::SeqCst);
    match accounts.store.user(&claimed.id).await {
        Ok(user) if !claimed.changes(&user) => {
            users.put(&user, changes);
            return Ok(user);
        }
        Ok(_) | Err(StoreError::NotFound) => {}
        Err(error) => return Err(error.into()),
    }
    let id = claimed.id.clone();
    let signed_in = accounts
        .store
        .sign_in_external(claimed, Timestamp::now())
        .await;
    if may_have_changed(&signed_in) {
        accounts.publish_visible_change(&id);
    }
    match signed_in {
        Ok(user) => {
            // That is one change more.
            users.put(&user, changes + 1);
            Ok(user)
        }
        Err(StoreError::NotFound) => Err(AppError::new(
            ErrorCode::Unauthenticated,
            "the account was deleted",
        )),
        Err(error) => Err(error.into()),
    }
}
