//! Accounts. A deleted one keeps its row, without anything that says who it was, because messages
//! refer to it.

use protocol::{Role, Secret, Timestamp, UserId};

use super::ids::new_id;
use super::{Departure, MessageStore, Page, on_backend};
use crate::StoreError;

/// A user who isn't deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredUser {
    /// Never changes.
    pub id: UserId,
    /// Unique without regard to case.
    pub username: String,
    /// The name that others read.
    pub display_name: String,
    /// Not verified and not to be shown to others. Several users may have the same.
    pub email: Option<String>,
    /// The URL of the picture.
    pub avatar_url: Option<String>,
    /// The user's role in the whole system.
    pub role: Role,
    /// True if the user hasn't registered.
    pub guest: bool,
    /// When the account was created.
    pub created_at: Timestamp,
    /// Increases with whatever ends all sessions of the user at once, such as a new password. A sign-in succeeds only if
    /// it is still what it was when the password was read, and a session is valid only as long.
    pub sign_in_version: u64,
    /// Of a user who signs in with tokens of another application.
    pub external: Option<ExternalSignIn>,
}

/// What is known of the tokens with which a user of another application signs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExternalSignIn {
    /// When the token was issued whose claims were taken over last.
    pub claims_at: Timestamp,
    /// Tokens that were issued before aren't good any more.
    pub valid_from: Timestamp,
}

/// The user of another application's token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalUser {
    /// Derived from the issuer and the user's name there. No local account has such an id.
    pub id: UserId,
    /// The name that others read; a random one at first if the token names none.
    pub display_name: Option<String>,
    /// The role; if the token says nothing of it, it stays.
    pub role: Option<Role>,
    /// When the token was issued.
    pub issued_at: Timestamp,
}

/// A user of another application has signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalSignedIn {
    /// As the store has them now.
    pub user: StoredUser,
    /// True if what is shown of them has changed, or they are new.
    pub shown: bool,
}

impl ExternalUser {
    /// True if the claims are later than those that were taken over, and have to be remembered: an earlier token must not
    /// give back a role that a later one took. Of two that were issued at the same time nobody knows which is the later one,
    /// and the lower role holds.
    pub fn changes(&self, user: &StoredUser) -> bool {
        let Some(known) = user.external else {
            return true;
        };
        let differs = self
            .display_name
            .as_ref()
            .is_some_and(|name| *name != user.display_name)
            || self.role.is_some_and(|role| role != user.role);
        let is_later = self.issued_at > known.claims_at;
        let takes_role = self.role.is_some_and(|role| role < user.role);
        (is_later && (differs || self.role.is_some()))
            || (takes_role && self.issued_at == known.claims_at)
    }
}

impl StoredUser {
    /// A user whom another application knows, with a random username.
    pub(super) fn external(new: &ExternalUser, now: Timestamp) -> Self {
        let username = format!("x-{}", random_tail(&new_id()));
        Self {
            id: new.id.clone(),
            display_name: new.display_name.clone().unwrap_or_else(|| username.clone()),
            username,
            email: None,
            avatar_url: None,
            role: new.role.unwrap_or(Role::User),
            guest: false,
            created_at: now,
            sign_in_version: 0,
            external: Some(ExternalSignIn {
                claims_at: new.issued_at,
                valid_from: Timestamp::from_unix_ms(0),
            }),
        }
    }

    /// A new account.
    pub(super) fn registered(new: &NewUser, now: Timestamp) -> Self {
        Self {
            id: UserId::trusted(new_id()),
            username: new.username.clone(),
            display_name: new.display_name.clone(),
            email: new.email.clone(),
            avatar_url: None,
            role: Role::User,
            guest: false,
            created_at: now,
            sign_in_version: 0,
            external: None,
        }
    }

    /// A new guest, with a random username.
    pub(super) fn guest(display_name: String, now: Timestamp) -> Self {
        let id = new_id();
        Self {
            username: format!("guest-{}", random_tail(&id)),
            id: UserId::trusted(id),
            display_name,
            email: None,
            avatar_url: None,
            role: Role::User,
            guest: true,
            created_at: now,
            sign_in_version: 0,
            external: None,
        }
    }
}

/// The end of an id, which is its random part.
fn random_tail(id: &str) -> String {
    id.chars()
        .filter(char::is_ascii_hexdigit)
        .skip(20)
        .collect()
}

/// An account to be created.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// Unique without regard to case.
    pub username: String,
    /// The name that others read.
    pub display_name: String,
    /// Several may have the same.
    pub email: Option<String>,
    /// As the hash function writes it.
    pub password_hash: Secret,
}

/// A user with the password's hash.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The user.
    pub user: StoredUser,
    /// Absent for guests.
    pub password_hash: Option<Secret>,
}

/// A change of a user's profile. What is `None` stays as it is.
#[derive(Debug, Clone, Default)]
pub struct ProfileChange {
    /// The name that others read.
    pub display_name: Option<String>,
    /// The URL of the picture; `Some(None)` removes it.
    pub avatar_url: Option<Option<String>>,
    /// The e-mail address; `Some(None)` removes it.
    pub email: Option<Option<String>>,
}

impl MessageStore {
    /// Creates an account. `Conflict` naming `username` if it is taken.
    pub async fn create_user(
        &self,
        user: NewUser,
        now: Timestamp,
    ) -> Result<StoredUser, StoreError> {
        on_backend!(self, Write: users.create_user(user, now))
    }

    /// Creates a guest: an account without a password and with a random username.
    pub async fn create_guest(
        &self,
        display_name: String,
        now: Timestamp,
    ) -> Result<StoredUser, StoreError> {
        on_backend!(self, Write: guests.create_guest(display_name, now))
    }

    /// The user of another application's token: made if it is the first one, and changed as its claims say if they are
    /// later than those known. Several instances may ask at once. `NotFound` if the user was deleted, for good.
    pub async fn sign_in_external(
        &self,
        user: ExternalUser,
        now: Timestamp,
    ) -> Result<ExternalSignedIn, StoreError> {
        on_backend!(self, Write: users.sign_in_external(user, now))
    }

    /// Ends the tokens of a user of another application that were issued before `valid_from`. `NotFound` if there is no
    /// such user.
    pub async fn end_external_tokens(
        &self,
        id: &UserId,
        valid_from: Timestamp,
    ) -> Result<(), StoreError> {
        on_backend!(self, Write: users.end_external_tokens(id, valid_from))
    }

    /// A user by id. `NotFound` if there is none or it was deleted.
    pub async fn user(&self, id: &UserId) -> Result<StoredUser, StoreError> {
        on_backend!(self, Read: users.user(id))
    }

    /// Users by their ids, in no certain order. Unknown and deleted ones are left out.
    pub async fn users(&self, ids: &[UserId]) -> Result<Vec<StoredUser>, StoreError> {
        on_backend!(self, Read: users.users(ids))
    }

    /// A user by username, without regard to case, with the password's hash.
    pub async fn credentials(&self, username: &str) -> Result<Option<Credentials>, StoreError> {
        on_backend!(self, Read: users.credentials(username))
    }

    /// A user by id, with the password's hash. `NotFound` if there is none or it was deleted.
    pub async fn credentials_of(&self, id: &UserId) -> Result<Credentials, StoreError> {
        on_backend!(self, Read: users.credentials_of(id))
    }

    /// Users whose username or display name holds `query`, without regard to case and accents, in the
    /// order of their ids. Of one with fewer than three characters the names must begin with it,
    /// accents included.
    /// Goes on behind `after`, whether or not there is such a user.
    pub async fn find_users(
        &self,
        query: &str,
        after: Option<&UserId>,
        limit: u32,
    ) -> Result<Page<StoredUser>, StoreError> {
        on_backend!(self, Search: users.find_users(query, after, limit))
    }

    /// Changes a user's profile. `NotFound` if there is no such user.
    pub async fn update_user(
        &self,
        id: &UserId,
        change: ProfileChange,
    ) -> Result<StoredUser, StoreError> {
        on_backend!(self, Write: users.update_user(id, change))
    }

    /// Replaces the password that was read with the user at `sign_in_version`, and returns the next version: no session
    /// of an earlier one is good from here on. `Conflict` naming `currentPassword` if the version has risen since,
    /// `NotFound` if there is no such user.
    pub async fn set_password(
        &self,
        id: &UserId,
        sign_in_version: u64,
        hash: Secret,
    ) -> Result<u64, StoreError> {
        on_backend!(self, Write: users.set_password(id, sign_in_version, hash))
    }

    /// Changes a user's role in the whole system. `NotFound` if there is no such user.
    pub async fn set_user_role(&self, id: &UserId, role: Role) -> Result<(), StoreError> {
        on_backend!(self, Write: users.set_user_role(id, role))
    }

    /// Deletes an account and returns the rooms it was in, with their new owners: the username is free again, memberships
    /// and blocks are removed. The user's messages stay, by a sender called "deleted".
    /// `NotFound` if there is no such user.
    pub async fn delete_user(
        &self,
        id: &UserId,
        now: Timestamp,
    ) -> Result<Vec<Departure>, StoreError> {
        on_backend!(self, Write: deletion.delete_user(id, now))
    }

    /// At most `limit` guests created before `created_before`, those behind `after` in a stable order.
    /// `Invalid` naming `after` if that user never existed.
    pub async fn guests(
        &self,
        created_before: Timestamp,
        after: Option<&UserId>,
        limit: u32,
    ) -> Result<Vec<UserId>, StoreError> {
        on_backend!(self, Read: guests.guests(created_before, after, limit))
    }
}

/// The refusal of a change for which the password was read before it was changed.
pub(super) fn changed_meanwhile() -> StoreError {
    StoreError::conflict("currentPassword", "was changed meanwhile")
}
