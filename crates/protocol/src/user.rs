//! Users as others and they themselves see them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bounds;
use crate::id::UserId;
use crate::limits::{AVATAR_URL_MAX, DISPLAY_NAME_MAX, EMAIL_MAX, PAGE_MAX, SEARCH_QUERY_MAX};
use crate::request::{Invalid, Request};
use crate::schema::absent_not_null;

/// What a user may do in the whole system.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Chats.
    User,
    /// Also sees to the customers.
    Staff,
    /// Also runs the system.
    Admin,
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = absent_not_null)]
pub struct User {
    /// Never changes.
    pub id: UserId,
    /// Unique without regard to case; a guest's is made up.
    pub username: String,
    /// The name that others read.
    pub display_name: String,
    /// Where the picture is, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avatar_url: Option<String>,
    /// Whether the user came without registering.
    pub guest: bool,
    /// What the user may do in the whole system.
    pub role: Role,
    /// Shown to the user alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
}

/// The answer that holds one user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UserBody {
    /// The user.
    pub user: User,
}

/// Changes one's own user. A field that is absent stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpdateMe {
    /// The name that others read; white space around it is dropped.
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
        )
    }
}

/// Looks for users by a part of their username or display name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = absent_not_null)]
pub struct ListUsers {
    /// A part of a username or display name, without regard to case, width and accents. One or two letters of a script
    /// that has spaces between its words are looked for at the beginning.
    #[serde(deserialize_with = "bounds::trimmed")]
    #[schemars(length(min = 1, max = SEARCH_QUERY_MAX), regex(pattern = bounds::TRIMMED_PATTERN))]
    pub query: String,
    /// The last user of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<UserId>,
    /// Users of the page; 50 unless given.
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

/// Lists whom the one who asks has blocked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = absent_not_null)]
pub struct ListBlocks {
    /// The last user of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<UserId>,
    /// Users of the page; 50 unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = PAGE_MAX))]
    pub limit: Option<u32>,
}

impl Request for ListBlocks {
    fn validate(&self) -> Result<(), Invalid> {
        bounds::limit(self.limit, PAGE_MAX)
    }
}

/// A page of users, in the order of their ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserPage {
    /// The users.
    pub users: Vec<User>,
    /// Whether there are more after the last.
    pub has_more: bool,
}
