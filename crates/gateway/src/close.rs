//! Why connections end, and the codes that tell the other side.

/// Why a connection, or one namespace of it, ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// The client closed, or left the namespace.
    Client,
    /// The network connection broke.
    TransportError,
    /// A ping stayed unanswered.
    PingTimeout,
    /// No namespace was connected in time.
    ConnectTimeout,
    /// Bytes that aren't valid WebSocket, Engine.IO or Socket.IO.
    Protocol,
    /// Text that isn't UTF-8.
    NotText,
    /// A message above `maxPayload`.
    TooLarge,
    /// Events far beyond the admitted rate.
    Flood,
    /// The client reads too slowly even for what can't be dropped.
    SlowConsumer,
    /// The application ended the namespace or the connection for good.
    Server,
    /// The application asks the client to come back: overload, a dependency that is down.
    TryLater,
    /// This instance shuts down.
    Draining,
}

impl CloseReason {
    /// All reasons, in the order of their counters.
    pub const ALL: [Self; 12] = [
        Self::Client,
        Self::TransportError,
        Self::PingTimeout,
        Self::ConnectTimeout,
        Self::Protocol,
        Self::NotText,
        Self::TooLarge,
        Self::Flood,
        Self::SlowConsumer,
        Self::Server,
        Self::TryLater,
        Self::Draining,
    ];

    /// A short name for logs, metrics and the WebSocket close frame.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client closed",
            Self::TransportError => "transport error",
            Self::PingTimeout => "ping timeout",
            Self::ConnectTimeout => "no namespace connected in time",
            Self::Protocol => "protocol error",
            Self::NotText => "text is not UTF-8",
            Self::TooLarge => "message too large",
            Self::Flood => "too many events",
            Self::SlowConsumer => "slow consumer",
            Self::Server => "closed by server",
            Self::TryLater => "try again later",
            Self::Draining => "server is draining",
        }
    }

    /// A short name for metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Client => "client_closed",
            Self::TransportError => "transport_error",
            Self::PingTimeout => "ping_timeout",
            Self::ConnectTimeout => "no_namespace",
            Self::Protocol => "protocol_error",
            Self::NotText => "not_utf8",
            Self::TooLarge => "message_too_large",
            Self::Flood => "too_many_events",
            Self::SlowConsumer => "slow_consumer",
            Self::Server => "server_closed",
            Self::TryLater => "try_later",
            Self::Draining => "draining",
        }
    }

    /// Whether a polling client still gets what is queued by its next requests, and is told then. After all else its
    /// session is unknown at once.
    pub(crate) fn is_reported_to_polls(self) -> bool {
        matches!(
            self,
            Self::Flood | Self::SlowConsumer | Self::Server | Self::TryLater | Self::Draining
        )
    }

    /// Status code of the WebSocket close frame (RFC 6455, 7.4.1 and its registry).
    pub(crate) fn code(self) -> u16 {
        match self {
            Self::Client | Self::Server => 1000,
            Self::Draining => 1001,
            Self::Protocol | Self::TransportError => 1002,
            Self::NotText => 1007,
            Self::Flood | Self::ConnectTimeout | Self::PingTimeout => 1008,
            Self::TooLarge => 1009,
            Self::SlowConsumer | Self::TryLater => 1013,
        }
    }
}
