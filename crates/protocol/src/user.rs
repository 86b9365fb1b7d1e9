//! Users as others and they themselves see them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bounds;
use crate::id::{AttachmentId, UserId};
use crate::limits::{
    AVATAR_URL_MAX, DISPLAY_NAME_MAX, EMAIL_MAX, PAGE_MAX, PASSWORD_MAX, SEARCH_QUERY_MAX,
};
use crate::request::{Invalid, Request};
use crate::schema::absent_not_null;
use crate::secret::Secret;

/// A user's role in the whole system.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// An ordinary user.
    User,
    /// Also serves customers.
    Staff,
    /// Also administers the system.
    Admin,
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = absent_not_null)]
pub struct User {
    /// Never changes.
    pub id: UserId,
    /// Unique, ignoring case. A guest's is generated.
    pub username: String,
    /// The display name.
    pub display_name: String,
    /// The URL of the avatar, if there is one: relative to the server's address unless its user set one from elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avatar_url: Option<String>,
    /// Whether the user is a guest.
    pub guest: bool,
    /// The user's role in the whole system.
    pub role: Role,
    /// Visible to the user alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
}

/// A name of foreign origin in the form in which a display name is kept, cut to its greatest length. `None` if it can't be
/// one.
pub fn display_name(text: &str) -> Option<String> {
    let name: String = text::composed(text.trim())
        .chars()
        .take(DISPLAY_NAME_MAX)
        .collect();
    let name = name.trim_end();
    bounds::display_name("displayName", name).ok()?;
    Some(name.to_owned())
}

/// A response with one user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UserBody {
    /// The user.
    pub user: User,
}

/// Updates your own user. Absent fields don't change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpdateMe {
    /// The display name. Leading and trailing white space is removed.
    #[serde(
        default,
        deserialize_with = "bounds::shown_option",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "Option<String>", length(min = 1, max = DISPLAY_NAME_MAX), regex(pattern = bounds::NAME_PATTERN))]
    pub display_name: Option<String>,
    /// `null` removes it.
    #[serde(
        default,
        deserialize_with = "bounds::removable",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "Option<String>", length(min = 1, max = AVATAR_URL_MAX), regex(pattern = bounds::URL_PATTERN))]
    pub avatar_url: Option<Option<String>>,
    /// `null` removes it.
    #[serde(
        default,
        deserialize_with = "bounds::removable_email",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "Option<String>", length(min = 3, max = EMAIL_MAX), regex(pattern = bounds::EMAIL_PATTERN))]
    pub email: Option<Option<String>>,
    /// The current password: required with `email` if the account has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(min = 1, max = PASSWORD_MAX))]
    pub current_password: Option<Secret>,
}

impl Request for UpdateMe {
    fn validate(&self) -> Result<(), Invalid> {
        bounds::given(
            "displayName",
            self.display_name.as_ref(),
            bounds::display_name,
        )?;
        bounds::given(
            "avatarUrl",
            self.avatar_url.as_ref().and_then(Option::as_ref),
            bounds::avatar_url,
        )?;
        bounds::given(
            "email",
            self.email.as_ref().and_then(Option::as_ref),
            bounds::email,
        )?;
        match &self.current_password {
            Some(password) => {
                bounds::characters("currentPassword", password.expose(), 1, PASSWORD_MAX)
            }
            None => Ok(()),
        }
    }
}

/// Makes one of your uploads your avatar, in place of the one before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SetAvatar {
    /// An image that is `ready` and isn't attached to a message.
    pub upload_id: AttachmentId,
}

impl Request for SetAvatar {
    fn validate(&self) -> Result<(), Invalid> {
        Ok(())
    }
}

/// Searches users by a part of the username or display name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = absent_not_null)]
pub struct ListUsers {
    /// A part of a username or display name, ignoring case, width and accents. One or two letters of a script
    /// that has spaces between its words are looked for at the beginning.
    #[serde(deserialize_with = "bounds::trimmed")]
    #[schemars(length(min = 1, max = SEARCH_QUERY_MAX), regex(pattern = bounds::TRIMMED_PATTERN))]
    pub query: String,
    /// The id of the last user of the previous page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<UserId>,
    /// The most users to return; 50 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = PAGE_MAX))]
    pub limit: Option<u32>,
}

impl Request for ListUsers {
    fn validate(&self) -> Result<(), Invalid> {
        bounds::query("query", &self.query)?;
        bounds::limit(self.limit, PAGE_MAX)
    }
}

/// Lists the users you have blocked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = absent_not_null)]
pub struct ListBlocks {
    /// The id of the last user of the previous page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<UserId>,
    /// The most users to return; 50 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = PAGE_MAX))]
    pub limit: Option<u32>,
}

impl Request for ListBlocks {
    fn validate(&self) -> Result<(), Invalid> {
        bounds::limit(self.limit, PAGE_MAX)
    }
}

/// A page of users, ordered by id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserPage {
    /// The users.
    pub users: Vec<User>,
    /// Whether there are more after the last.
    pub has_more: bool,
}
