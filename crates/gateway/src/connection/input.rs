//! What a connection holds of messages that aren't finished: counted with what others hold, and with a lower
//! bound for clients that haven't connected to a namespace, whose users aren't known.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
};

use super::Connection;
use crate::{
    byte_budget::{ByteBudget, HeldBytes},
    close::CloseReason,
    context::Endpoint,
};

/// Counts of bytes. That of messages is the connection's task's to change.
#[derive(Default)]
pub(crate) struct Input {
    /// Whether it has been in a namespace.
    known: AtomicBool,
    message: Counted,
    attachments: Counted,
}

/// Bytes counted in one of the two budgets; the last bit says in which.
#[derive(Default)]
struct Counted(AtomicUsize);

impl Connection {
    pub(super) fn entered_a_namespace(&self) {
        self.input.known.store(true, Relaxed);
    }

    fn is_known(&self) -> bool {
        self.input.known.load(Relaxed) || matches!(self.context.endpoint, Endpoint::EngineIo(_))
    }

    /// Bytes of its next message, and of all attachments of a packet, at most.
    pub(crate) fn max_message(&self) -> usize {
        let config = &self.context.config;
        if self.is_known() {
            config.max_payload
        } else {
            config.max_payload.min(config.max_first_message)
        }
    }

    /// Counts the bytes of messages that aren't finished or not handled yet; ends the connection if there isn't room for
    /// them.
    pub(crate) fn holds_message(self: &Arc<Self>, bytes: usize) {
        if !self.holds(&self.input.message, bytes) {
            self.context.stats().input_refused();
            self.close(CloseReason::TryLater);
        }
    }

    /// The same for the attachments of a packet. To be called under the lock of that.
    pub(super) fn holds_attachments(self: &Arc<Self>, bytes: usize) {
        if !self.holds(&self.input.attachments, bytes) {
            self.context.stats().input_refused();
            self.close(CloseReason::TryLater);
        }
    }

    /// Returns the bytes of the attachments. To be called under their lock.
    pub(super) fn frees_attachments(&self) {
        self.holds(&self.input.attachments, 0);
    }

    /// Counts the body of a POST.
    pub(crate) fn holds_body(&self) -> HeldBytes {
        let context = &self.context;
        let budget = match self.is_known() {
            true => &context.input,
            false => &context.first_input,
        };
        HeldBytes::none(budget.clone(), self.address)
    }

    /// Its task is over.
    pub(super) fn release_input(&self) {
        self.holds(&self.input.message, 0);
        let _partial = self.partial.lock();
        self.frees_attachments();
    }

    fn holds(&self, counted: &Counted, bytes: usize) -> bool {
        let before = counted.0.load(Relaxed);
        let to = ByteBudget::counted(bytes);
        if before == 0 && to == 0 {
            return true;
        }
        let (from, was_known) = (before & !1, before & 1 == 1);
        let known = self.is_known();
        let budget = |known| match known {
            true => &self.context.input,
            false => &self.context.first_input,
        };
        if was_known == known {
            if !budget(known).change(self.address, from, to) {
                return false;
            }
        } else {
            budget(was_known).change(self.address, from, 0);
            counted.0.store(0, Relaxed);
            if !budget(known).change(self.address, 0, to) {
                return false;
            }
        }
        let mark = usize::from(known && to > 0);
        counted.0.store(to | mark, Relaxed);
        true
    }
}
