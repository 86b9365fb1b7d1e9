//! Users who sign in with tokens of another application: made when the first one comes, changed as later ones say, and
//! remembered for seconds, so that a token costs no I/O.
//!
//! What must stay true: what is remembered isn't older than the last change that this instance heard of; a role counts as
//! the store has it, so that an older token doesn't give back what a later one took.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use dashmap::DashMap;
use protocol::{ErrorCode, Timestamp, UserId};
use storage::{ExternalSignedIn, ExternalUser, StoreError, StoredUser};

use super::{Accounts, Identified, may_have_changed};
use crate::{
    auth::{
        actor::{Actor, ExternalToken},
        external_tokens::{ExternalIdentity, ExternalTokens, token_id},
    },
    completion::run_to_completion,
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
    /// `None` if the user was deleted, which is for good.
    user: Option<StoredUser>,
    read_at: Instant,
}

impl ExternalUsers {
    fn get(&self, id: &UserId) -> Option<Option<StoredUser>> {
        let known = self.known.get(id)?;
        (known.read_at.elapsed() < LIFE).then(|| known.user.clone())
    }

    /// Remembers a user that was read after there had been `changes`.
    fn put(&self, id: &UserId, user: Option<&StoredUser>, changes: u64) {
        if self.known.len() >= KNOWN {
            self.known.retain(|_, known| known.read_at.elapsed() < LIFE);
            if self.known.len() >= KNOWN {
                self.known.clear();
            }
        }
        let known = Known {
            user: user.cloned(),
            read_at: Instant::now(),
        };
        // Under the entry's lock: a change that isn't counted yet removes it afterwards, and nobody sees it in between.
        let entry = self.known.entry(id.clone());
        if self.changes.load(Ordering::SeqCst) == changes {
            entry.insert(known);
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
            .flatten()
            .is_some_and(|user| is_good(&user, token.issued_at))
    }
}

/// Whether tokens of a user that were issued at a time are good.
pub(super) fn is_good(user: &StoredUser, issued_at: Timestamp) -> bool {
    user.external
        .is_some_and(|external| issued_at >= external.valid_from)
}

/// Who acts with a token of another application, as far as memory tells.
pub(super) fn identify(
    accounts: &Accounts,
    tokens: &ExternalTokens,
    token: &str,
) -> Result<Identified, AppError> {
    let Some(identity) = tokens.verify_with_known_key(token)? else {
        return Ok(Identified::UnknownKey);
    };
    let known = accounts.external_users.get(&identity.user_id);
    match known {
        Some(None) => Err(deleted()),
        Some(Some(user)) if !claimed(&identity).changes(&user) => {
            Ok(Identified::Actor(actor(user, token, &identity)?))
        }
        _ => Ok(Identified::External(identity)),
    }
}

/// Makes the user of a good token, or changes it, if need be.
pub(super) async fn sign_in(
    accounts: &Arc<Accounts>,
    token: &str,
    identity: ExternalIdentity,
) -> Result<Actor, AppError> {
    let users = &accounts.external_users;
    let (claimed, id) = (claimed(&identity), &identity.user_id);
    let changes = users.changes.load(Ordering::SeqCst);
    let known = match accounts.store.user(id).await {
        Ok(user) if !claimed.changes(&user) => {
            users.put(id, Some(&user), changes);
            Some(user)
        }
        Ok(_) | Err(StoreError::NotFound) => None,
        Err(error) => return Err(error.into()),
    };
    let user = match known {
        Some(user) => user,
        None => write(accounts, claimed, changes).await?,
    };
    actor(user, token, &identity)
}

/// Whoever asked may go away meanwhile, and others have to hear of what was written.
async fn write(
    accounts: &Arc<Accounts>,
    claimed: ExternalUser,
    changes: u64,
) -> Result<StoredUser, AppError> {
    let accounts = accounts.clone();
    run_to_completion(async move {
        let (id, users) = (claimed.id.clone(), &accounts.external_users);
        let signed_in = accounts
            .store
            .sign_in_external(claimed, Timestamp::now())
            .await;
        let shows = match &signed_in {
            Ok(signed_in) => signed_in.shown,
            unknown => may_have_changed(unknown),
        };
        if shows {
            accounts.publish_visible_change(&id);
        }
        match signed_in {
            Ok(ExternalSignedIn { user, shown }) if shown => {
                // That is one change more.
                users.put(&id, Some(&user), changes + 1);
                Ok(user)
            }
            // When its claims were issued concerns nobody else: the store has it where it matters.
            Ok(ExternalSignedIn { user, .. }) => {
                users.put(&id, Some(&user), changes);
                Ok(user)
            }
            Err(StoreError::NotFound) => {
                users.put(&id, None, changes);
                Err(deleted())
            }
            Err(error) => Err(error.into()),
        }
    })
    .await
}

fn claimed(identity: &ExternalIdentity) -> ExternalUser {
    ExternalUser {
        id: identity.user_id.clone(),
        display_name: identity.display_name.clone(),
        role: identity.role,
        issued_at: identity.issued_at,
    }
}

fn actor(user: StoredUser, token: &str, identity: &ExternalIdentity) -> Result<Actor, AppError> {
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

fn deleted() -> AppError {
    AppError::new(ErrorCode::Unauthenticated, "the account was deleted")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_before_a_change_is_never_remembered() {
        let (users, id) = (ExternalUsers::default(), UserId::trusted("x1"));
        assert!(users.get(&id).is_none());
        users.put(&id, None, 0);
        assert_eq!(users.get(&id), Some(None), "deleted users are remembered");
        users.forget(&id);
        assert!(users.get(&id).is_none());
        users.put(&id, None, 0);
        assert!(users.get(&id).is_none());
        users.put(&id, None, 1);
        assert!(users.get(&id).is_some());
    }
}
