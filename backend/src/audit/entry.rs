//! An entry of the audit log.

use protocol::{Timestamp, UserId};

/// How an action went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditOutcome {
    /// It was done.
    Succeeded,
    /// It was refused; nothing was done.
    Refused,
    /// It failed for a reason of the server's; whether it was done may not be known.
    Failed,
}

/// What kind of actor acted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditActor {
    /// Somebody with an account, or not known to have one.
    User,
    /// A guest.
    Guest,
    /// A program.
    ApiKey,
    /// The server or its command line.
    System,
}

/// An entry of the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// A UUID of version 7.
    pub id: String,
    /// When the outcome was known.
    pub at: Timestamp,
    /// Such as `session.sign_in`.
    pub action: String,
    /// How it went.
    pub outcome: AuditOutcome,
    /// Who acted, if known.
    pub actor_id: Option<UserId>,
    /// What kind of actor.
    pub actor_kind: AuditActor,
    /// The session that was acted through.
    pub session_id: Option<protocol::SessionId>,
    /// From where.
    pub address: Option<String>,
    /// The kind of what was acted on.
    pub target_kind: Option<String>,
    /// Its id.
    pub target_id: Option<String>,
    /// A JSON object of at most 2,048 bytes.
    pub details: Option<String>,
    /// The HTTP request.
    pub request_id: Option<String>,
    /// The instance that recorded it.
    pub instance: String,
}
