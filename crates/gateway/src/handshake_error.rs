//! Why a handshake is refused, and what the client is told.

use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{RETRY_AFTER, SEC_WEBSOCKET_VERSION},
};
use http_body_util::Full;

use crate::answer::answer;

/// The only version of WebSocket that there ever was.
pub(crate) const WEBSOCKET_VERSION: &str = "13";

/// Why a connection was refused before it opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HandshakeError {
    /// `transport` is neither `polling` nor `websocket`.
    UnknownTransport,
    /// No connection has this `sid` (any more).
    UnknownSession,
    /// A polling handshake that isn't a GET.
    BadMethod,
    /// Not a valid handshake.
    Malformed,
    /// A WebSocket handshake of another version than 13.
    WebSocketVersion,
    /// A page of another origin.
    Forbidden,
    /// Engine.IO of another version than 4.
    UnsupportedVersion,
    /// Too many connections, or draining: the official clients try again.
    NoRoom,
    /// The head of the request didn't arrive in time.
    TooSlow,
    /// The connection is a WebSocket already, or is being upgraded.
    AlreadyUpgraded,
    /// The client closed, or read nothing, before it was answered.
    Disconnected,
}

impl HandshakeError {
    /// All of them, in the order of their counters.
    pub const ALL: [Self; 11] = [
        Self::UnknownTransport,
        Self::UnknownSession,
        Self::BadMethod,
        Self::Malformed,
        Self::WebSocketVersion,
        Self::Forbidden,
        Self::UnsupportedVersion,
        Self::NoRoom,
        Self::TooSlow,
        Self::AlreadyUpgraded,
        Self::Disconnected,
    ];

    /// A short name for metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::UnknownTransport => "unknown_transport",
            Self::UnknownSession => "unknown_session",
            Self::BadMethod => "bad_method",
            Self::Malformed => "malformed",
            Self::WebSocketVersion => "websocket_version",
            Self::Forbidden => "forbidden_origin",
            Self::UnsupportedVersion => "protocol_version",
            Self::NoRoom => "no_room",
            Self::TooSlow => "too_slow",
            Self::AlreadyUpgraded => "already_upgraded",
            Self::Disconnected => "disconnected",
        }
    }

    /// The answer; but for the last four it is that of the official server, `{ code, message }`.
    pub(crate) fn response(self) -> Response<Full<Bytes>> {
        let body = match self {
            Self::UnknownTransport => r#"{"code":0,"message":"Transport unknown"}"#,
            Self::UnknownSession => r#"{"code":1,"message":"Session ID unknown"}"#,
            Self::BadMethod => r#"{"code":2,"message":"Bad handshake method"}"#,
            Self::Malformed
            | Self::WebSocketVersion
            | Self::AlreadyUpgraded
            | Self::Disconnected => r#"{"code":3,"message":"Bad request"}"#,
            Self::Forbidden => r#"{"code":4,"message":"Forbidden"}"#,
            Self::UnsupportedVersion => r#"{"code":5,"message":"Unsupported protocol version"}"#,
            Self::NoRoom => r#"{"message":"No room for more connections now"}"#,
            Self::TooSlow => r#"{"message":"The request took too long"}"#,
        };
        let status = match self {
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NoRoom => StatusCode::SERVICE_UNAVAILABLE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            _ => StatusCode::BAD_REQUEST,
        };
        let body = Bytes::from_static(body.as_bytes());
        let mut response = answer(status, "application/json", body);
        let headers = response.headers_mut();
        if self == Self::NoRoom {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if self == Self::WebSocketVersion {
            let version = HeaderValue::from_static(WEBSOCKET_VERSION);
            headers.insert(SEC_WEBSOCKET_VERSION, version);
        }
        response
    }
}
