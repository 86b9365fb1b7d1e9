//! Documents of users: accounts, names, guests and blocks.

use mongodb::bson::{DateTime, Document, doc};
use protocol::{Role, Secret, UserId};
use serde::{Deserialize, Serialize};

use super::super::super::{Credentials, ExternalSignIn, StoredUser};
use super::super::name_index::Named;
use super::super::values::{time, timestamp};

/// The name that is shown of a deleted user.
pub const DELETED: &str = "deleted";

/// A user, deleted or not.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserDocument {
    #[serde(rename = "_id")]
    pub id: UserId,
    pub username: String,
    pub display_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avatar_url: Option<String>,
    pub role: Role,
    pub guest: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_hash: Option<String>,
    /// Absent from accounts that are older than versions.
    #[serde(default)]
    pub sign_in_version: i64,
    pub created_at: DateTime,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalDocument>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<DateTime>,
}

/// Of a user who signs in with tokens of another application.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExternalDocument {
    pub claims_at: DateTime,
    pub valid_from: DateTime,
}

impl UserDocument {
    pub fn new(user: &StoredUser, password_hash: Option<Secret>) -> Self {
        Self {
            id: user.id.clone(),
            username: user.username.clone(),
            display_name: user.display_name.clone(),
            email: user.email.clone(),
            avatar_url: user.avatar_url.clone(),
            role: user.role,
            guest: user.guest,
            password_hash: password_hash.map(|hash| hash.expose().to_owned()),
            sign_in_version: 0,
            created_at: time(user.created_at),
            external: user.external.map(|external| ExternalDocument {
                claims_at: time(external.claims_at),
                valid_from: time(external.valid_from),
            }),
            deleted_at: None,
        }
    }

    pub fn stored(self) -> StoredUser {
        StoredUser {
            id: self.id,
            username: self.username,
            display_name: self.display_name,
            email: self.email,
            avatar_url: self.avatar_url,
            role: self.role,
            guest: self.guest,
            created_at: timestamp(self.created_at),
            sign_in_version: self.sign_in_version.unsigned_abs(),
            external: self.external.map(|external| ExternalSignIn {
                claims_at: timestamp(external.claims_at),
                valid_from: timestamp(external.valid_from),
            }),
        }
    }

    pub fn credentials(mut self) -> Credentials {
        Credentials {
            password_hash: self.password_hash.take().map(Secret::from),
            user: self.stored(),
        }
    }

    pub fn named(&self) -> Named {
        Named::new(self.id.as_str(), &[&self.username, &self.display_name])
    }
}

/// A user who isn't deleted, as a filter.
pub fn existing_user(id: &UserId) -> Document {
    doc! { "_id": id.as_str(), "deletedAt": null }
}

/// A username that is taken.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClaimDocument {
    /// Lower-case.
    #[serde(rename = "_id")]
    pub name: String,
    pub user_id: UserId,
}

/// A guest, listed for the clean-up of those who never come back.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GuestDocument {
    #[serde(rename = "_id")]
    pub id: UserId,
    pub created_at: DateTime,
}

/// The users whom one user has blocked, in the order of blocking.
#[derive(Serialize, Deserialize)]
pub struct BlocksDocument {
    #[serde(rename = "_id")]
    pub id: UserId,
    pub blocked: Vec<UserId>,
}
