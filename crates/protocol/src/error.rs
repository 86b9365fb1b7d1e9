//! Refusals as clients see them: one set of codes for acks and HTTP alike. A message is written for
//! the client's developer. It never quotes what was sent, nor reveals anything of the server's inside.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema::absent_not_null;

/// Why a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// A field is missing, malformed or out of bounds; the message names it.
    Invalid,
    /// The request has no valid token.
    Unauthenticated,
    /// The caller is known, but not allowed to do this.
    Forbidden,
    /// Not found, or not visible to the caller.
    NotFound,
    /// Conflicts with the current state, for example a username that is taken.
    Conflict,
    /// The request is larger than the server accepts.
    TooLarge,
    /// Too many requests; wait `retryAfterMs`.
    RateLimited,
    /// The server or a dependency is down or overloaded; retry later.
    Unavailable,
    /// Internal server error.
    Internal,
}

impl ErrorCode {
    /// Every code, in the order of the HTTP status.
    pub const ALL: [Self; 9] = [
        Self::Invalid,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::NotFound,
        Self::Conflict,
        Self::TooLarge,
        Self::RateLimited,
        Self::Internal,
        Self::Unavailable,
    ];

    /// The HTTP status that carries this code.
    pub const fn http_status(self) -> u16 {
        match self {
            Self::Invalid => 400,
            Self::Unauthenticated => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::Conflict => 409,
            Self::TooLarge => 413,
            Self::RateLimited => 429,
            Self::Internal => 500,
            Self::Unavailable => 503,
        }
    }

    /// The code as it is written on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::TooLarge => "too_large",
            Self::RateLimited => "rate_limited",
            Self::Internal => "internal",
            Self::Unavailable => "unavailable",
        }
    }

    /// Whether the same request may succeed later.
    pub const fn retryable(self) -> bool {
        matches!(self, Self::RateLimited | Self::Unavailable)
    }

    /// The name of the HTTP status, which is what RFC 9457 asks of the title of a problem whose
    /// type is `about:blank`.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Invalid => "Bad Request",
            Self::Unauthenticated => "Unauthorized",
            Self::Forbidden => "Forbidden",
            Self::NotFound => "Not Found",
            Self::Conflict => "Conflict",
            Self::TooLarge => "Content Too Large",
            Self::RateLimited => "Too Many Requests",
            Self::Internal => "Internal Server Error",
            Self::Unavailable => "Service Unavailable",
        }
    }

    /// What the code tells a client, for the generated documents.
    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Self::Invalid => "A field is missing, malformed or out of bounds; the detail names it.",
            Self::Unauthenticated => "The request has no valid token.",
            Self::Forbidden => "You are signed in, but not allowed to do this.",
            Self::NotFound => "Not found, or not visible to you.",
            Self::Conflict => {
                "Conflicts with the current state, for example a username that is taken."
            }
            Self::TooLarge => "The request is larger than the server accepts.",
            Self::RateLimited => "Too many requests.",
            Self::Internal => "Internal server error.",
            Self::Unavailable => "The server or a dependency is down or overloaded; retry later.",
        }
    }
}

impl std::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The error of an ack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = absent_not_null)]
pub struct ErrorBody {
    /// The error code, for programs.
    pub code: ErrorCode,
    /// An explanation for developers. For `invalid` it begins with the name of the field.
    pub message: Cow<'static, str>,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// How long to wait before retrying, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl ErrorBody {
    /// An error that is retryable if its code is.
    pub fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: message.into(),
            retryable: code.retryable(),
            retry_after_ms: None,
        }
    }

    /// The same with a time to wait before the next try.
    #[must_use]
    pub fn retry_after_ms(self, ms: u64) -> Self {
        Self {
            retry_after_ms: Some(ms),
            ..self
        }
    }
}

/// The body of an HTTP error, as RFC 9457 has it: `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = absent_not_null)]
pub struct Problem {
    /// Always `about:blank`: `code` tells errors apart.
    pub r#type: Cow<'static, str>,
    /// The name of the HTTP status.
    pub title: Cow<'static, str>,
    /// The HTTP status.
    #[schemars(range(min = 400, max = 599))]
    pub status: u16,
    /// An explanation for developers. For `invalid` it begins with the name of the field.
    pub detail: Cow<'static, str>,
    /// The error code, for programs.
    pub code: ErrorCode,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// How long to wait before retrying, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl From<ErrorBody> for Problem {
    fn from(error: ErrorBody) -> Self {
        Self {
            r#type: "about:blank".into(),
            title: error.code.title().into(),
            status: error.code.http_status(),
            detail: error.message,
            code: error.code,
            retryable: error.retryable,
            retry_after_ms: error.retry_after_ms,
        }
    }
}
