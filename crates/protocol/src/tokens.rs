//! Signing in and staying signed in. Everything secret here is a [`Secret`], so that no request
//! can be printed with a password or a token in it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bounds;
use crate::limits::{
    DISPLAY_NAME_MAX, EMAIL_MAX, PASSWORD_MAX, PASSWORD_MIN, TOKEN_MAX, USERNAME_MAX, USERNAME_MIN,
};
use crate::request::{Invalid, Request};
use crate::secret::Secret;
use crate::user::User;

/// What a client needs to act as a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tokens {
    /// Who is signed in.
    pub user: User,
    /// Goes with every request and connection.
    pub access_token: Secret,
    /// Good for one refresh.
    pub refresh_token: Secret,
    /// How long the access token is good, in seconds.
    pub expires_in: u32,
}

/// Makes an account and signs in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RegisterRequest {
    /// Letters a to z, digits, `_`, `.` and `-`; unique without regard to case and width.
    #[schemars(
        length(min = USERNAME_MIN, max = USERNAME_MAX),
        regex(pattern = bounds::USERNAME_PATTERN)
    )]
    #[serde(deserialize_with = "bounds::username_form")]
    pub username: String,
    /// Kept only as a salted hash. The same in every Unicode normal form.
    #[schemars(with = "String", length(min = PASSWORD_MIN, max = PASSWORD_MAX))]
    pub password: Secret,
    /// The name that others read, the username unless given; white space around it is dropped.
    #[serde(
        default,
        deserialize_with = "bounds::shown_option",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(length(min = 1, max = DISPLAY_NAME_MAX), regex(pattern = bounds::NAME_PATTERN))]
    pub display_name: Option<String>,
    /// Shown to nobody else.
    #[serde(
        default,
        deserialize_with = "bounds::email_option",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(length(min = 3, max = EMAIL_MAX), regex(pattern = bounds::EMAIL_PATTERN))]
    pub email: Option<String>,
}

impl Request for RegisterRequest {
    fn validate(&self) -> Result<(), Invalid> {
        bounds::username("username", &self.username)?;
        bounds::password("password", &self.password)?;
        bounds::given(
            "displayName",
            self.display_name.as_ref(),
            bounds::display_name,
        )?;
        bounds::given("email", self.email.as_ref(), bounds::email)
    }
}

/// Signs in. What is too short for a username or a password is answered like a wrong one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LoginRequest {
    /// Without regard to case and width.
    #[schemars(length(min = 1, max = USERNAME_MAX))]
    #[serde(deserialize_with = "bounds::username_form")]
    pub username: String,
    /// The password.
    #[schemars(with = "String", length(min = 1, max = PASSWORD_MAX))]
    pub password: Secret,
}

impl Request for LoginRequest {
    fn validate(&self) -> Result<(), Invalid> {
        bounds::characters("username", &self.username, 1, USERNAME_MAX)?;
        bounds::characters("password", self.password.expose(), 1, PASSWORD_MAX)
    }
}

/// Comes in without an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GuestRequest {
    /// The name that others read; white space around it is dropped.
    #[serde(deserialize_with = "bounds::shown")]
    #[schemars(length(min = 1, max = DISPLAY_NAME_MAX), regex(pattern = bounds::NAME_PATTERN))]
    pub display_name: String,
}

impl Request for GuestRequest {
    fn validate(&self) -> Result<(), Invalid> {
        bounds::display_name("displayName", &self.display_name)
    }
}

/// Trades a refresh token for new tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RefreshRequest {
    /// The refresh token that came last.
    #[schemars(with = "String", length(min = 1, max = TOKEN_MAX))]
    pub refresh_token: Secret,
}

impl Request for RefreshRequest {
    fn validate(&self) -> Result<(), Invalid> {
        bounds::characters("refreshToken", self.refresh_token.expose(), 1, TOKEN_MAX)
    }
}

/// Changes one's own password; every other session of the user ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PasswordChange {
    /// The password until now.
    #[schemars(with = "String", length(min = 1, max = PASSWORD_MAX))]
    pub current_password: Secret,
    /// The password from now on.
    #[schemars(with = "String", length(min = PASSWORD_MIN, max = PASSWORD_MAX))]
    pub new_password: Secret,
}

impl Request for PasswordChange {
    fn validate(&self) -> Result<(), Invalid> {
        bounds::characters(
            "currentPassword",
            self.current_password.expose(),
            1,
            PASSWORD_MAX,
        )?;
        bounds::password("newPassword", &self.new_password)
    }
}
