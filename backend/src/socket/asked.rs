//! An event with the means to answer it, whose answer is also what the audit log records.
//!
//! What must stay true: an event that `audit/actions.rs` has an action for is recorded once, however it ends.

use std::sync::Arc;

use gateway::{Ack, Event, Socket};
use protocol::{AuditOutcome, ErrorCode};
use serde::Deserialize;

use super::ChatSession;
use crate::audit::{
    Audit,
    actions::{self, Recording},
    record::Record,
};

/// An event of a client.
pub(super) struct Asked {
    pub(super) event: Event,
    pending: Option<Box<Pending>>,
}

/// The means to answer it.
pub(super) struct Answer {
    /// `None` once it is answered.
    ack: Option<Ack>,
    pending: Option<Box<Pending>>,
}

/// What is to be recorded when it ends.
struct Pending {
    audit: Arc<Audit>,
    recording: Recording,
    record: Record,
}

/// What of a payload is worth recording.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Target {
    room_id: Option<String>,
    seq: Option<u64>,
}

impl Asked {
    pub(super) fn new(session: &ChatSession, socket: &Socket, event: Event) -> Self {
        let audit = &session.app.audit;
        let recording = actions::of_event(event.name()).filter(|_| audit.is_on());
        let pending = recording.map(|recording| {
            Box::new(Pending {
                audit: audit.clone(),
                recording,
                record: begun(session, socket, &event, recording),
            })
        });
        Self { event, pending }
    }

    pub(super) fn into_answer(self) -> Answer {
        Answer {
            ack: Some(self.event.into_ack()),
            pending: self.pending,
        }
    }
}

fn begun(session: &ChatSession, socket: &Socket, event: &Event, recording: Recording) -> Record {
    let mut record = Record::new(recording.name(), AuditOutcome::Succeeded)
        .by(&session.actor)
        .from_address(socket.address());
    if let Ok(Target { room_id, seq }) = event.parse() {
        if let Some(room) = room_id {
            record.set_target("room", &room);
        }
        if let Some(seq) = seq {
            record.set_detail("seq", seq);
        }
    }
    record
}

impl Answer {
    /// Of what has no name.
    pub(super) fn unrecorded(ack: Ack) -> Self {
        Self {
            ack: Some(ack),
            pending: None,
        }
    }

    /// Notes what has become known of what is recorded.
    pub(super) fn note(&mut self, note: impl FnOnce(&mut Record)) {
        if let Some(pending) = &mut self.pending {
            note(&mut pending.record);
        }
    }

    /// Nothing is recorded: a client that comes back subscribes to each of its rooms.
    pub(super) fn changed_nothing(&mut self) {
        self.pending = None;
    }

    /// The ack, after it was done.
    pub(super) fn done(mut self) -> Option<Ack> {
        self.end(None);
        self.ack.take()
    }

    /// The ack, after it was refused.
    pub(super) fn refused(mut self, code: ErrorCode) -> Option<Ack> {
        self.end(Some(code));
        self.ack.take()
    }

    fn end(&mut self, refusal: Option<ErrorCode>) {
        let Some(pending) = self.pending.take() else {
            return;
        };
        let Pending {
            audit,
            recording,
            record,
        } = *pending;
        audit.record_outcome(recording, record, refusal, true);
    }
}

impl Drop for Answer {
    /// A handler that panicked, or was given up.
    fn drop(&mut self) {
        self.end(Some(ErrorCode::Internal));
    }
}
