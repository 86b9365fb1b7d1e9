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
    /// Authenticates requests and connections.
    pub access_token: Secret,
    /// Valid for one refresh.
    pub refresh_token: Secret,
    /// How long the access token is valid, in seconds.
    pub expires_in: u32,
}

/// Creates an account and signs in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RegisterRequest {
    /// Letters a to z, digits, `_`, `.` and `-`. Unique, ignoring case and width.
    #[schemars(
        length(min = USERNAME_MIN, max = USERNAME_MAX),
        regex(pattern = bounds::USERNAME_PATTERN)
    )]
    #[serde(deserialize_with = "bounds::username_form")]
    pub username: String,
    /// Stored only as a salted hash. Unicode normal forms make no difference.
    #[schemars(with = "String", length(min = PASSWORD_MIN, max = PASSWORD_MAX))]
    pub password: Secret,
    /// The display name; the username by default. Leading and trailing white space is removed.
    #[serde(
        default,
        deserialize_with = "bounds::shown_option",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(length(min = 1, max = DISPLAY_NAME_MAX), regex(pattern = bounds::NAME_PATTERN))]
    pub display_name: Option<String>,
    /// Not visible to other users.
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

/// Signs in. A username or password that is too short is treated like a wrong one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LoginRequest {
    /// Case and width are ignored.
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

/// Signs in as a guest, without an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GuestRequest {
    /// The display name. Leading and trailing white space is removed.
    #[serde(deserialize_with = "bounds::shown")]
    #[schemars(length(min = 1, max = DISPLAY_NAME_MAX), regex(pattern = bounds::NAME_PATTERN))]
    pub display_name: String,
}

impl Request for GuestRequest {
    fn validate(&self) -> Result<(), Invalid> {
        bounds::display_name("displayName", &self.display_name)
    }
}

/// Exchanges a refresh token for new tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RefreshRequest {
    /// The latest refresh token.
    #[schemars(with = "String", length(min = 1, max = TOKEN_MAX))]
    pub refresh_token: Secret,
}

impl Request for RefreshRequest {
    fn validate(&self) -> Result<(), Invalid> {
        bounds::characters("refreshToken", self.refresh_token.expose(), 1, TOKEN_MAX)
    }
}

/// Asks for a link with which a forgotten password is replaced, sent to a verified address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ForgotPassword {
    /// The address. The answer is the same whether an account has it or not.
    #[serde(deserialize_with = "bounds::required_email")]
    #[schemars(length(min = 3, max = EMAIL_MAX), regex(pattern = bounds::EMAIL_PATTERN))]
    pub email: String,
}

impl Request for ForgotPassword {
    fn validate(&self) -> Result<(), Invalid> {
        bounds::email("email", &self.email)
    }
}

/// Replaces a forgotten password. All sessions end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResetPassword {
    /// What was in the link.
    #[schemars(with = "String", length(min = 1, max = TOKEN_MAX))]
    pub token: Secret,
    /// The new password.
    #[schemars(with = "String", length(min = PASSWORD_MIN, max = PASSWORD_MAX))]
    pub password: Secret,
}

impl Request for ResetPassword {
    fn validate(&self) -> Result<(), Invalid> {
        bounds::characters("token", self.token.expose(), 1, TOKEN_MAX)?;
        bounds::password("password", &self.password)
    }
}

/// Confirms that an address is yours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VerifyEmail {
    /// What was in the link.
    #[schemars(with = "String", length(min = 1, max = TOKEN_MAX))]
    pub token: Secret,
}

impl Request for VerifyEmail {
    fn validate(&self) -> Result<(), Invalid> {
        bounds::characters("token", self.token.expose(), 1, TOKEN_MAX)
    }
}

/// Ends e-mails about notifications.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Unsubscribe {
    /// What was in the link.
    #[schemars(with = "String", length(min = 1, max = TOKEN_MAX))]
    pub token: Secret,
}

impl Request for Unsubscribe {
    fn validate(&self) -> Result<(), Invalid> {
        bounds::characters("token", self.token.expose(), 1, TOKEN_MAX)
    }
}

/// Changes your password. All your other sessions end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PasswordChange {
    /// The current password.
    #[schemars(with = "String", length(min = 1, max = PASSWORD_MAX))]
    pub current_password: Secret,
    /// The new password.
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
