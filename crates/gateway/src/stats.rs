//! Counters of all gateways of a hub.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use crate::{close::CloseReason, handshake_error::HandshakeError};

/// Counters since start; read them at any time.
#[derive(Debug, Default)]
pub struct Stats {
    connections: AtomicI64,
    opened: AtomicU64,
    closed: [AtomicU64; CloseReason::ALL.len()],
    refused: [AtomicU64; HandshakeError::ALL.len()],
    events: AtomicU64,
    unreadable: AtomicU64,
    deliveries: AtomicU64,
    overloaded: AtomicU64,
    refused_input: AtomicU64,
    lagged: AtomicU64,
    dropped: AtomicU64,
    tunnelled_polls: AtomicU64,
    tunnelled_upgrades: AtomicU64,
    failed_tunnels: AtomicU64,
    refused_tunnels: AtomicU64,
}

impl Stats {
    /// Connections open now.
    pub fn connections(&self) -> usize {
        self.connections.load(Relaxed).max(0) as usize
    }
    /// Connections ever opened.
    pub fn opened(&self) -> u64 {
        self.opened.load(Relaxed)
    }
    /// Connections closed, by reason.
    pub fn closed(&self) -> impl Iterator<Item = (CloseReason, u64)> {
        CloseReason::ALL
            .into_iter()
            .zip(self.closed.iter().map(|count| count.load(Relaxed)))
    }
    /// Connections refused before they opened, by reason.
    pub fn refused(&self) -> impl Iterator<Item = (HandshakeError, u64)> {
        HandshakeError::ALL
            .into_iter()
            .zip(self.refused.iter().map(|count| count.load(Relaxed)))
    }
    /// Events received from clients.
    pub fn events(&self) -> u64 {
        self.events.load(Relaxed)
    }
    /// Of them, those without a readable name.
    pub fn unreadable(&self) -> u64 {
        self.unreadable.load(Relaxed)
    }
    /// Recipients of published frames.
    pub fn deliveries(&self) -> u64 {
        self.deliveries.load(Relaxed)
    }
    /// Events refused for their rate or because too many were in flight.
    pub fn overloaded(&self) -> u64 {
        self.overloaded.load(Relaxed)
    }
    /// Connections closed because the unfinished messages of all connections exceeded their bound.
    pub fn refused_input(&self) -> u64 {
        self.refused_input.load(Relaxed)
    }
    /// Times that a connection fell behind on a topic.
    pub fn lagged(&self) -> u64 {
        self.lagged.load(Relaxed)
    }
    /// Frames that weren't queued: volatile ones to slow consumers, topic frames to lagging ones.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }
    /// Polling requests passed on to the instance that has their connection.
    pub fn tunnelled_polls(&self) -> u64 {
        self.tunnelled_polls.load(Relaxed)
    }
    /// Upgrades passed on.
    pub fn tunnelled_upgrades(&self) -> u64 {
        self.tunnelled_upgrades.load(Relaxed)
    }
    /// Of both, those whose owner couldn't be reached or was lost before it answered.
    pub fn failed_tunnels(&self) -> u64 {
        self.failed_tunnels.load(Relaxed)
    }
    /// Requests to the internal listener without a valid, fresh signature of another instance.
    pub fn refused_tunnels(&self) -> u64 {
        self.refused_tunnels.load(Relaxed)
    }

    pub(crate) fn connection_opened(&self) {
        self.connections.fetch_add(1, Relaxed);
        self.opened.fetch_add(1, Relaxed);
    }
    pub(crate) fn connection_closed(&self, reason: CloseReason) {
        self.connections.fetch_sub(1, Relaxed);
        if let Some(index) = CloseReason::ALL.iter().position(|r| *r == reason) {
            self.closed[index].fetch_add(1, Relaxed);
        }
    }
    pub(crate) fn connection_refused(&self, error: HandshakeError) {
        if let Some(index) = HandshakeError::ALL.iter().position(|e| *e == error) {
            self.refused[index].fetch_add(1, Relaxed);
        }
    }
    pub(crate) fn event(&self) {
        self.events.fetch_add(1, Relaxed);
    }
    pub(crate) fn event_unreadable(&self) {
        self.unreadable.fetch_add(1, Relaxed);
    }
    pub(crate) fn event_overloaded(&self) {
        self.overloaded.fetch_add(1, Relaxed);
    }
    pub(crate) fn input_refused(&self) {
        self.refused_input.fetch_add(1, Relaxed);
    }
    pub(crate) fn delivered(&self, recipients: usize) {
        self.deliveries.fetch_add(recipients as u64, Relaxed);
    }
    pub(crate) fn topic_lagged(&self) {
        self.lagged.fetch_add(1, Relaxed);
    }
    pub(crate) fn frame_dropped(&self) {
        self.dropped.fetch_add(1, Relaxed);
    }
    pub(crate) fn poll_tunnelled(&self) {
        self.tunnelled_polls.fetch_add(1, Relaxed);
    }
    pub(crate) fn upgrade_tunnelled(&self) {
        self.tunnelled_upgrades.fetch_add(1, Relaxed);
    }
    pub(crate) fn tunnel_failed(&self) {
        self.failed_tunnels.fetch_add(1, Relaxed);
    }
    pub(crate) fn tunnel_refused(&self) {
        self.refused_tunnels.fetch_add(1, Relaxed);
    }
}
