//! What a gateway holds at one moment, for operators.

/// The connections of a gateway at one moment, all together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConnectionTotals {
    /// Connections over WebSocket.
    pub websocket: usize,
    /// Connections over long polling.
    pub polling: usize,
    /// Of both, those for which something is queued or being written.
    pub with_queue: usize,
    /// Frames queued for them.
    pub queued_frames: usize,
    /// What these frames count for, in bytes: their size, and 128 bytes each.
    pub queued_bytes: usize,
}

/// TCP connections, at one moment, that aren't a WebSocket (yet): unfinished handshakes, polls, all other requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HttpConnections {
    /// Clients' connections with an ordinary permit.
    pub ordinary: usize,
    /// Those with a spare permit.
    pub spare: usize,
    /// Connections of other instances.
    pub internal: usize,
}

/// One of the bounds on bytes that all clients hold together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteBudgetUse {
    /// What is held: `first_input`, `input`, `queues` or `bodies`; see [`Config`](crate::Config).
    pub name: &'static str,
    /// Bytes held now. Each holder counts in steps of 16 KiB, so one with less isn't in it.
    pub held: usize,
    /// Bytes that may be held.
    pub max: usize,
}
