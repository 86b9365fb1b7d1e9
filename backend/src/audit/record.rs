//! One action, as its edge learns of it: what is to be recorded.

use std::{net::IpAddr, sync::Arc};

use parking_lot::Mutex;
use protocol::{AuditActorKind, AuditOutcome, ErrorCode, SessionId, Timestamp, UserId};
use serde_json::{Map, Value};
use storage::{AuditEntry, DETAILS_MAX};
use uuid::Uuid;

use crate::auth::actor::Actor;

/// Bytes of a target's id.
const TARGET_MAX: usize = 128;

/// An action to be recorded with [`Audit::record`](super::Audit::record). No bodies, tokens or passwords go in here, and
/// no name that was typed into a sign-in: people type passwords into the wrong field.
#[derive(Debug, Clone)]
pub struct Record {
    pub(super) action: &'static str,
    pub(super) outcome: AuditOutcome,
    pub(super) actor_id: Option<UserId>,
    pub(super) actor_kind: AuditActorKind,
    pub(super) session_id: Option<SessionId>,
    pub(super) address: Option<IpAddr>,
    pub(super) target: Option<(&'static str, String)>,
    pub(super) details: Map<String, Value>,
    pub(super) request_id: Option<Arc<str>>,
}

impl Record {
    /// An action that nobody is known to have done yet.
    pub fn new(action: &'static str, outcome: AuditOutcome) -> Self {
        Self {
            action,
            outcome,
            actor_id: None,
            actor_kind: AuditActorKind::User,
            session_id: None,
            address: None,
            target: None,
            details: Map::new(),
            request_id: None,
        }
    }

    /// Done by a user, through a session.
    #[must_use]
    pub fn by(mut self, actor: &Actor) -> Self {
        self.set_actor(actor);
        self
    }

    /// Done by the server itself, or on its command line.
    #[must_use]
    pub fn by_system(mut self) -> Self {
        self.actor_kind = AuditActorKind::System;
        self
    }

    /// From an address.
    #[must_use]
    pub fn from_address(mut self, address: IpAddr) -> Self {
        self.address = Some(address);
        self
    }

    /// In an HTTP request.
    #[must_use]
    pub fn in_request(mut self, id: Arc<str>) -> Self {
        self.request_id = Some(id);
        self
    }

    /// On something, by its kind (`room`, `user`) and id.
    #[must_use]
    pub fn on(mut self, kind: &'static str, id: &str) -> Self {
        self.set_target(kind, id);
        self
    }

    /// With something worth knowing later.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.set_detail(name, value);
        self
    }

    /// It was done by a user, through a session.
    pub fn set_actor(&mut self, actor: &Actor) {
        self.set_user(&actor.user_id, actor.guest);
        self.session_id = Some(actor.session_id.clone());
    }

    /// It was done by a user who has just become known.
    pub fn set_user(&mut self, user: &UserId, guest: bool) {
        self.actor_id = Some(user.clone());
        self.actor_kind = if guest {
            AuditActorKind::Guest
        } else {
            AuditActorKind::User
        };
    }

    /// It was done by a program.
    pub fn set_api_key(&mut self) {
        self.actor_kind = AuditActorKind::ApiKey;
    }

    /// It was done on this. An id that isn't plain and short is left out.
    pub fn set_target(&mut self, kind: &'static str, id: &str) {
        let plain = |byte: u8| byte.is_ascii_graphic();
        if (1..=TARGET_MAX).contains(&id.len()) && id.bytes().all(plain) {
            self.target = Some((kind, id.to_owned()));
        }
    }

    /// Something worth knowing later.
    pub fn set_detail(&mut self, name: &'static str, value: impl Into<Value>) {
        self.details.insert(name.to_owned(), value.into());
    }

    /// It was refused, or failed, with this code.
    pub fn set_refusal(&mut self, code: ErrorCode) {
        self.outcome = match code {
            ErrorCode::Internal | ErrorCode::Unavailable => AuditOutcome::Failed,
            _ => AuditOutcome::Refused,
        };
        self.set_detail("code", code.as_str());
    }

    /// The entry, as of now.
    pub fn into_entry(self, instance: &str) -> AuditEntry {
        let (target_kind, target_id) = self
            .target
            .map_or((None, None), |(kind, id)| (Some(kind.to_owned()), Some(id)));
        AuditEntry {
            id: Uuid::now_v7().to_string(),
            at: Timestamp::now(),
            action: self.action.to_owned(),
            outcome: self.outcome,
            actor_id: self.actor_id,
            actor_kind: self.actor_kind,
            session_id: self.session_id,
            address: self.address.map(|address| address.to_string()),
            target_kind,
            target_id,
            details: written(self.details),
            request_id: self.request_id.map(|id| id.as_ref().to_owned()),
            instance: instance.to_owned(),
        }
    }
}

/// Details as they are stored; `None` if there are none.
fn written(details: Map<String, Value>) -> Option<String> {
    if details.is_empty() {
        return None;
    }
    let text = Value::Object(details).to_string();
    Some(if text.len() <= DETAILS_MAX {
        text
    } else {
        r#"{"truncated":true}"#.to_owned()
    })
}

/// What becomes known of an HTTP request's action while it is handled. Cloning shares it. Routes that aren't recorded have one
/// that leads nowhere.
#[derive(Debug, Clone)]
pub struct Trail(Arc<Mutex<Record>>);

impl Trail {
    /// Of an action that begins.
    pub fn new(record: Record) -> Self {
        Self(Arc::new(Mutex::new(record)))
    }

    /// Notes what has become known.
    pub fn note(&self, note: impl FnOnce(&mut Record)) {
        note(&mut self.0.lock());
    }

    /// What is known.
    pub fn record(&self) -> Record {
        self.0.lock().clone()
    }
}

impl Default for Trail {
    fn default() -> Self {
        Self::new(Record::new("none", AuditOutcome::Succeeded))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_are_bounded_and_targets_plain() {
        let record = Record::new("room.create", AuditOutcome::Succeeded)
            .on("room", "r1")
            .with("name", "x".repeat(3_000));
        let entry = record.clone().into_entry("i");
        assert_eq!(entry.details.as_deref(), Some(r#"{"truncated":true}"#));
        assert_eq!(entry.target_id.as_deref(), Some("r1"));
        for id in ["", "a b", "ä", &"x".repeat(129)] {
            let entry = record.clone().on("user", id).into_entry("i");
            assert_eq!(entry.target_kind.as_deref(), Some("room"), "{id}");
        }
        let bare = Record::new("room.create", AuditOutcome::Succeeded).into_entry("i");
        assert_eq!(bare.details, None);
        assert_ne!(bare.id, entry.id);
    }

    #[test]
    fn a_fault_of_ours_is_no_refusal() {
        let outcome = |code| {
            let mut record = Record::new("room.create", AuditOutcome::Succeeded);
            record.set_refusal(code);
            record.outcome
        };
        assert_eq!(outcome(ErrorCode::Forbidden), AuditOutcome::Refused);
        assert_eq!(outcome(ErrorCode::RateLimited), AuditOutcome::Refused);
        assert_eq!(outcome(ErrorCode::Unavailable), AuditOutcome::Failed);
        assert_eq!(outcome(ErrorCode::Internal), AuditOutcome::Failed);
    }
}
