//! A packet whose attachments haven't all arrived.

use std::sync::Arc;

use socketioxide_core::{Value, packet::PacketData, parser::ParserState};

use super::Connection;
use crate::close::CloseReason;

impl Connection {
    pub(crate) fn take_partial(&self) -> Option<Box<ParserState>> {
        let mut partial = self.partial.lock();
        self.frees_attachments();
        partial.take()
    }

    /// Keeps a packet until more of its attachments come.
    pub(crate) fn keep_partial(self: &Arc<Self>, state: Box<ParserState>) {
        let held = attached(&state);
        let mut partial = self.partial.lock();
        *partial = Some(state);
        // Under the lock, as a POST may bring packets while a WebSocket takes over.
        self.holds_attachments(held);
    }

    /// Ends the connection if a packet has waited too long for its attachments.
    pub(crate) fn expire_partial(self: &Arc<Self>) {
        let expired = self.partial.lock().as_ref().is_some_and(|state| {
            let packet = state.partial_bin_packet.lock();
            packet.is_ok_and(|packet| {
                packet.as_ref().is_some_and(|packet| {
                    packet.initial_packet_recv.elapsed() > self.context.config.silence()
                })
            })
        });
        if expired {
            self.close(CloseReason::Protocol);
        }
    }
}

/// Bytes of the attachments that a packet has so far.
fn attached(state: &ParserState) -> usize {
    let Ok(packet) = state.partial_bin_packet.lock() else {
        return 0;
    };
    let bytes = match packet.as_ref().map(|partial| &partial.packet.inner) {
        Some(
            PacketData::BinaryEvent(Value::Str(_, Some(attachments)), _)
            | PacketData::BinaryAck(Value::Str(_, Some(attachments)), _),
        ) => attachments.iter().map(bytes::Bytes::len).sum(),
        _ => 0,
    };
    drop(packet);
    bytes
}
