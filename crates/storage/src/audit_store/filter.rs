//! Which entries of the audit log somebody asks for.

use protocol::{AuditOutcome, Timestamp, UserId};
use uuid::Uuid;

use super::entry::Numbered;
use crate::StoreError;

/// What entries must have, all of it; by default nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Not from before this.
    pub from: Option<Timestamp>,
    /// From before this.
    pub to: Option<Timestamp>,
    /// What the action begins with: `session.` or `session.sign_in`.
    pub action: Option<String>,
    /// Who did it.
    pub actor_id: Option<UserId>,
    /// The kind of what it was done to.
    pub target_kind: Option<String>,
    /// What it was done to.
    pub target_id: Option<String>,
    /// What became of it.
    pub outcome: Option<AuditOutcome>,
    /// Where it came from.
    pub address: Option<String>,
}

/// The place of an entry in the order of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditCursor {
    /// The entry's time.
    pub at: Timestamp,
    /// Its id.
    pub id: String,
}

impl AuditCursor {
    pub(super) fn uuid(&self) -> Result<Uuid, StoreError> {
        Uuid::parse_str(&self.id)
            .map_err(|_| StoreError::invalid("cursor", "expected the id of an entry"))
    }
}

/// One value of a filter, with what the statement says of it: a column and an operator.
pub(super) enum Condition<'a> {
    Time(&'static str, Timestamp),
    Text(&'static str, &'a str),
    /// The end of a range of texts.
    TextEnd(&'static str, String),
    /// Written into the statement: an index of some numbers only isn't used for one that comes later.
    Number(&'static str, i16),
}

impl AuditFilter {
    /// What the statement's WHERE consists of; nothing if no text can match, as the back ends couldn't even be asked.
    pub(super) fn conditions(&self) -> Option<Vec<Condition<'_>>> {
        let mut conditions = Vec::new();
        if let Some(from) = self.from {
            conditions.push(Condition::Time("at >=", from));
        }
        if let Some(to) = self.to {
            conditions.push(Condition::Time("at <", to));
        }
        if let Some(action) = self.action.as_deref().filter(|action| !action.is_empty()) {
            conditions.push(Condition::Text("action >=", action));
            // No text has anything behind this character.
            conditions.push(Condition::TextEnd(
                "action <",
                format!("{action}\u{10ffff}"),
            ));
        }
        for (column, value) in [
            ("actor_id =", self.actor_id.as_ref().map(UserId::as_str)),
            ("target_kind =", self.target_kind.as_deref()),
            ("target_id =", self.target_id.as_deref()),
            ("address =", self.address.as_deref()),
        ] {
            conditions.extend(value.map(|value| Condition::Text(column, value)));
        }
        if let Some(outcome) = self.outcome {
            conditions.push(Condition::Number("outcome =", outcome.number()));
        }
        let is_possible = conditions.iter().all(|condition| match condition {
            Condition::Text(_, text) => !text.contains('\0'),
            _ => true,
        });
        is_possible.then_some(conditions)
    }
}
