//! An entry of the audit log.

use protocol::{AuditActorKind, AuditOutcome, SessionId, Timestamp, UserId};
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
    pub actor_kind: AuditActorKind,
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

/// An enumeration as both back ends store it. The numbers are kept for years: they may be added, never changed.
pub(super) trait Numbered: Copy + 'static {
    /// All of them with their numbers.
    const NUMBERS: &[(Self, i16)];

    fn number(self) -> i16;

    fn numbered(number: i16) -> Option<Self> {
        let mut numbers = Self::NUMBERS.iter();
        numbers.find_map(|(known, its)| (*its == number).then_some(*known))
    }
}

macro_rules! numbered {
    ($type:ident: $($variant:ident $number:literal,)*) => {
        impl Numbered for $type {
            const NUMBERS: &[(Self, i16)] = &[$((Self::$variant, $number)),*];

            fn number(self) -> i16 {
                match self {
                    $(Self::$variant => $number,)*
                }
            }
        }
    };
}

numbered! {
    AuditOutcome:
        Succeeded 0,
        Refused 1,
        Failed 2,
}

numbered! {
    AuditActorKind:
        User 0,
        Guest 1,
        ApiKey 2,
        System 3,
}
