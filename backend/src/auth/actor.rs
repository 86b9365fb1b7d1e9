//! The user who acts. All of it comes from the access token, so that knowing who asks costs no I/O.

use protocol::{Role, SessionId, Timestamp, UserId};

/// The user who acts, as of the time when the access token was issued: name and role may be 15 minutes old.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The user.
    pub user_id: UserId,
    /// The sign-in that the user acts through.
    pub session_id: SessionId,
    /// The name that others see.
    pub display_name: String,
    /// The user's role in the whole system.
    pub role: Role,
    /// True if the user has no account.
    pub guest: bool,
    /// When the session ends, unless it was refreshed since.
    pub session_expires_at: Timestamp,
    /// Of a token that another application issued, which has no session here: its id stands in for that one's, and its
    /// end is when the session ends.
    pub external: Option<ExternalToken>,
}

/// What is known of the token of another application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExternalToken {
    /// When it was issued.
    pub issued_at: Timestamp,
    /// True if it says what the user is called.
    pub names_user: bool,
}
