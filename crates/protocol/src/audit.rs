//! The audit log as administrators see it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::bounds;
use crate::id::{SessionId, UserId};
use crate::limits::{AUDIT_PAGE_MAX, AUDIT_TEXT_MAX, PAGE_NUMBER_MAX};
use crate::named::named;
use crate::request::{Invalid, Request};
use crate::schema::absent_not_null;
use crate::timestamp::Timestamp;

/// How an action ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuditOutcome {
    /// It was done.
    Succeeded,
    /// It was refused, and nothing was done.
    Refused,
    /// It failed for a reason of the server's; whether it was done may not be known.
    Failed,
}

/// What kind of actor acted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuditActorKind {
    /// A user with an account; without `actorId` somebody who isn't known.
    User,
    /// A guest.
    Guest,
    /// Another program.
    ApiKey,
    /// The server, or its command line.
    System,
}

named! {
    AuditOutcome:
        Succeeded "succeeded",
        Refused "refused",
        Failed "failed",
}

named! {
    AuditActorKind:
        User "user",
        Guest "guest",
        ApiKey "api_key",
        System "system",
}

/// One action.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = absent_not_null)]
pub struct AuditEntry {
    /// Its id, a UUID.
    pub id: String,
    /// When its outcome was known.
    pub at: Timestamp,
    /// What was done, such as `session.sign_in`.
    pub action: String,
    /// How it ended.
    pub outcome: AuditOutcome,
    /// Who acted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor_id: Option<UserId>,
    /// What kind of actor that is.
    pub actor_kind: AuditActorKind,
    /// The actor's session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    /// The actor's network address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The kind of what was acted on, such as `room` or `user`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_kind: Option<String>,
    /// The id of what was acted on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_id: Option<String>,
    /// More about it. Never a password, a token or what somebody wrote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Map<String, Value>>,
    /// The id of the HTTP request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The instance that recorded it.
    pub instance: String,
}

/// A query with the filters that both ways of reading the log have.
macro_rules! audit_query {
    ($(#[$attribute:meta])* $name:ident { $($(#[$field_attribute:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "camelCase")]
        #[schemars(transform = absent_not_null)]
        pub struct $name {
            /// Only entries from this time on.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub from: Option<Timestamp>,
            /// Only entries from before this time.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub to: Option<Timestamp>,
            /// Only actions that begin with this, such as `session.` or `session.sign_in`.
            #[serde(skip_serializing_if = "Option::is_none")]
            #[schemars(length(min = 1, max = AUDIT_TEXT_MAX))]
            pub action: Option<String>,
            /// Only actions that ended like this.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub outcome: Option<AuditOutcome>,
            /// Only this user's actions.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub actor_id: Option<UserId>,
            /// Only actions from this network address.
            #[serde(skip_serializing_if = "Option::is_none")]
            #[schemars(length(min = 1, max = AUDIT_TEXT_MAX))]
            pub address: Option<String>,
            /// Only actions on what is of this kind, such as `room`.
            #[serde(skip_serializing_if = "Option::is_none")]
            #[schemars(length(min = 1, max = AUDIT_TEXT_MAX))]
            pub target_kind: Option<String>,
            /// Only actions on what has this id.
            #[serde(skip_serializing_if = "Option::is_none")]
            #[schemars(length(min = 1, max = AUDIT_TEXT_MAX))]
            pub target_id: Option<String>,
            $($(#[$field_attribute])* pub $field: $type,)*
        }

        impl $name {
            fn validate_filters(&self) -> Result<(), Invalid> {
                for (field, text) in [
                    ("action", &self.action),
                    ("address", &self.address),
                    ("targetKind", &self.target_kind),
                    ("targetId", &self.target_id),
                ] {
                    let is_good = |text: &String| (1..=AUDIT_TEXT_MAX).contains(&text.chars().count());
                    if !text.as_ref().is_none_or(is_good) {
                        return Err(Invalid::new(field, format!("expected 1 to {AUDIT_TEXT_MAX} characters")));
                    }
                }
                Ok(())
            }
        }
    };
}

audit_query! {
    /// Reads the audit log by pages, the newest entries first.
    ListAudit {
        /// The number of the page; 1 by default.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 1, max = PAGE_NUMBER_MAX))]
        page: Option<u32>,
        /// The most entries of a page; 50 by default.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 1, max = AUDIT_PAGE_MAX))]
        limit: Option<u32>,
    }
}

audit_query! {
    /// Exports the audit log, the oldest entries first.
    ExportAudit {}
}

impl Request for ListAudit {
    fn validate(&self) -> Result<(), Invalid> {
        self.validate_filters()?;
        bounds::page(self.page)?;
        bounds::limit(self.limit, AUDIT_PAGE_MAX)
    }
}

impl Request for ExportAudit {
    fn validate(&self) -> Result<(), Invalid> {
        self.validate_filters()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read_query;

    #[test]
    fn names_are_those_on_the_wire() {
        for outcome in AuditOutcome::ALL {
            assert_eq!(serde_json::json!(outcome), outcome.name());
            assert_eq!(AuditOutcome::named(outcome.name()), Some(*outcome));
        }
        for kind in AuditActorKind::ALL {
            assert_eq!(serde_json::json!(kind), kind.name());
            assert_eq!(AuditActorKind::named(kind.name()), Some(*kind));
        }
        assert_eq!(AuditOutcome::named("good"), None);
    }

    #[test]
    fn filters_are_bounded() {
        let read = read_query::<ListAudit>;
        let all = read("").unwrap();
        assert_eq!(all, ListAudit::default());
        let some =
            "from=2026-01-31T09:30:00Z&outcome=refused&actorId=u1&action=session.&page=2&limit=10";
        let some = read(some).unwrap();
        assert_eq!((some.page, some.limit), (Some(2), Some(10)));
        assert_eq!(some.outcome, Some(AuditOutcome::Refused));
        for (query, field) in [
            ("page=0", "page"),
            ("limit=0", "limit"),
            ("limit=1001", "limit"),
            ("from=yesterday", "from"),
            ("outcome=good", "outcome"),
            ("actorId=a%20b", "actorId"),
            ("action=", "action"),
            ("targetId=", "targetId"),
        ] {
            assert_eq!(read(query).unwrap_err().field, field, "{query}");
        }
        let long = format!("address={}", "x".repeat(AUDIT_TEXT_MAX + 1));
        assert_eq!(
            read_query::<ExportAudit>(&long).unwrap_err().field,
            "address"
        );
    }
}
