//! An entry of the audit log.

use protocol::{SessionId, Timestamp, UserId};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::AuditCursor;
use crate::StoreError;

/// Bytes of an entry's details, at most.
pub const DETAILS_MAX: usize = 2_048;

/// Bytes of any other text of an entry, at most.
const TEXT_MAX: usize = 256;

/// What somebody did, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// A UUID of version 7. Entries of the same id are the same entry.
    pub id: String,
    /// When it happened.
    pub at: Timestamp,
    /// What was done: a noun and a verb, such as `session.sign_in`.
    pub action: String,
    /// What became of it.
    pub outcome: AuditOutcome,
    /// Who did it, if they have an id.
    pub actor_id: Option<UserId>,
    /// What kind of actor that is.
    pub actor_kind: AuditActor,
    /// The session in which it was done.
    pub session_id: Option<SessionId>,
    /// The network address it came from.
    pub address: Option<String>,
    /// What kind of thing it was done to, such as `room`.
    pub target_kind: Option<String>,
    /// Which one.
    pub target_id: Option<String>,
    /// More about it: a JSON object of at most [`DETAILS_MAX`] bytes, without message bodies or secrets.
    pub details: Option<String>,
    /// The request that asked for it.
    pub request_id: Option<String>,
    /// The instance that served it.
    pub instance: String,
}

impl AuditEntry {
    /// Where an export goes on behind this entry.
    pub fn cursor(&self) -> AuditCursor {
        AuditCursor {
            at: self.at,
            id: self.id.clone(),
        }
    }

    /// Fails as `Invalid`, by the name of the field, if the store wouldn't take the entry.
    pub fn check(&self) -> Result<(), StoreError> {
        self.uuid()?;
        let texts = [
            ("action", Some(&self.action)),
            ("address", self.address.as_ref()),
            ("targetKind", self.target_kind.as_ref()),
            ("targetId", self.target_id.as_ref()),
            ("requestId", self.request_id.as_ref()),
            ("instance", Some(&self.instance)),
        ];
        for (field, text) in texts {
            // PostgreSQL has no text with a zero byte.
            if text.is_some_and(|text| text.len() > TEXT_MAX || text.contains('\0')) {
                return Err(StoreError::invalid(
                    field,
                    "expected at most 256 bytes without a zero among them",
                ));
            }
        }
        if let Some(details) = &self.details {
            let is_object = details.starts_with('{')
                && !details.contains('\0')
                && serde_json::from_str::<&RawValue>(details).is_ok();
            if details.len() > DETAILS_MAX || !is_object {
                return Err(StoreError::invalid(
                    "details",
                    "expected a JSON object of at most 2,048 bytes",
                ));
            }
        }
        Ok(())
    }

    /// The id as both back ends store it.
    pub(super) fn uuid(&self) -> Result<Uuid, StoreError> {
        let parsed = Uuid::parse_str(&self.id).ok();
        // Of the one spelling that is given back.
        parsed
            .filter(|uuid| uuid.hyphenated().to_string() == self.id)
            .ok_or_else(|| StoreError::invalid("id", "expected a UUID in lower case"))
    }
}

/// What became of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AuditOutcome {
    /// It was done.
    Succeeded,
    /// It was refused: nothing happened.
    Refused,
    /// It failed, and whether anything happened isn't known.
    Failed,
}

/// Who acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AuditActor {
    /// Somebody with an account.
    User,
    /// Somebody without.
    Guest,
    /// Another program, by its key.
    ApiKey,
    /// This program itself, or who runs it.
    System,
}

/// An enumeration by the numbers that the back ends store and the names that people read.
macro_rules! stored {
    ($type:ident: $($variant:ident $number:literal $name:literal,)*) => {
        impl $type {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Its name, in snake case.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// The one of this name.
            pub fn named(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|known| known.name() == name)
            }

            pub(super) fn number(self) -> i16 {
                match self {
                    $(Self::$variant => $number,)*
                }
            }

            pub(super) fn numbered(number: i16) -> Option<Self> {
                Self::ALL.iter().copied().find(|known| known.number() == number)
            }
        }
    };
}

stored! {
    AuditOutcome:
        Succeeded 0 "succeeded",
        Refused 1 "refused",
        Failed 2 "failed",
}

stored! {
    AuditActor:
        User 0 "user",
        Guest 1 "guest",
        ApiKey 2 "api_key",
        System 3 "system",
}
