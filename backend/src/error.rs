//! What can go wrong while a client is served, mapped once to a status or an ack code.
//!
//! A cause that is ours (a bug, a disk) is logged here, where it ends, and isn't told to the client.

use std::{borrow::Cow, time::Duration};

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use protocol::{ErrorBody, ErrorCode, Invalid, Problem, UserId};
use storage::StoreError;

use crate::log_throttle::LogThrottle;

/// The refusal of a request.
#[derive(Debug, thiserror::Error)]
#[error("{}", body.message)]
pub struct AppError {
    body: ErrorBody,
    /// Of a rate limit: how much it allows in one window.
    limit: Option<u32>,
    /// For the audit log.
    concerns: Option<Box<Concerns>>,
}

/// What the audit log is told of a refusal, and the client isn't.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Concerns {
    /// Whom it was about.
    pub user: Option<UserId>,
    /// Why, such as `wrong_password`.
    pub reason: &'static str,
}

impl AppError {
    /// A refusal with a message for people.
    pub fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        ErrorBody::new(code, message).into()
    }

    /// What doesn't exist, or may not be seen by the client, which can't tell the two apart.
    pub fn not_found(what: &'static str) -> Self {
        Self::new(ErrorCode::NotFound, format!("no such {what}"))
    }

    /// The client may see it, but not do this.
    pub fn forbidden(message: &'static str) -> Self {
        Self::new(ErrorCode::Forbidden, message)
    }

    /// Too many requests; try again after `after`.
    pub fn rate_limited(message: &'static str, after: Duration) -> Self {
        let mut body = ErrorBody::new(ErrorCode::RateLimited, message);
        body.retry_after_ms = Some(after.as_millis() as u64);
        body.into()
    }

    /// The same, saying how much the limit allows in one window.
    #[must_use]
    pub fn limit(self, limit: u32) -> Self {
        Self {
            limit: Some(limit),
            ..self
        }
    }

    /// The same, saying to the audit log alone whom it is about and why.
    #[must_use]
    pub fn concerning(self, user: Option<UserId>, reason: &'static str) -> Self {
        Self {
            concerns: Some(Box::new(Concerns { user, reason })),
            ..self
        }
    }

    /// A fault of ours; `cause` goes to the log only.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        tracing::error!(%cause, "internal error");
        Self::unexplained()
    }

    fn unexplained() -> Self {
        Self::new(ErrorCode::Internal, "something went wrong on the server")
    }

    /// The body of an ack.
    pub fn into_body(self) -> ErrorBody {
        self.body
    }

    /// As an ack has it.
    pub fn body(&self) -> &ErrorBody {
        &self.body
    }

    /// The code.
    pub fn code(&self) -> ErrorCode {
        self.body.code
    }
}

impl From<ErrorBody> for AppError {
    fn from(body: ErrorBody) -> Self {
        Self {
            body,
            limit: None,
            concerns: None,
        }
    }
}

impl From<AppError> for ErrorBody {
    fn from(error: AppError) -> Self {
        error.body
    }
}

impl From<Invalid> for AppError {
    fn from(invalid: Invalid) -> Self {
        ErrorBody::from(invalid).into()
    }
}

impl IntoResponse for AppError {
    fn into_response(self) -> Response {
        let Self {
            body,
            limit,
            concerns,
        } = self;
        let code = body.code;
        let retry_after = body.retry_after_ms.map(|millis| millis.div_ceil(1_000));
        let problem = Problem::from(body);
        let status =
            StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, axum::Json(problem)).into_response();
        // For whoever counts refusals.
        response.extensions_mut().insert(code);
        if let Some(concerns) = concerns {
            response.extensions_mut().insert(*concerns);
        }
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        match (code, retry_after) {
            (ErrorCode::RateLimited, Some(seconds)) => {
                headers.insert("ratelimit-remaining", 0.into());
                headers.insert("ratelimit-reset", seconds.into());
                if let Some(limit) = limit {
                    headers.insert("ratelimit-limit", limit.into());
                }
            }
            (ErrorCode::Unauthenticated, _) => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            _ => {}
        }
        response
    }
}

impl From<StoreError> for AppError {
    fn from(error: StoreError) -> Self {
        static UNAVAILABLE: LogThrottle = LogThrottle::new();
        static CORRUPT: LogThrottle = LogThrottle::new();
        match error {
            StoreError::Invalid { field, message } => Invalid::new(field, message).into(),
            StoreError::NotFound => Self::new(ErrorCode::NotFound, "not found"),
            StoreError::Forbidden => Self::forbidden("you may not do this"),
            StoreError::Conflict { field, message } => {
                Self::new(ErrorCode::Conflict, format!("{field}: {message}"))
            }
            StoreError::Unavailable(cause) => {
                // Every request of every client fails the same way.
                if let Some(suppressed) = UNAVAILABLE.record() {
                    tracing::warn!(%cause, suppressed, "the store is unavailable");
                }
                ErrorBody::new(
                    ErrorCode::Unavailable,
                    "the store is unavailable; try again",
                )
                .retry_after_ms(1_000)
                .into()
            }
            StoreError::Corrupt(cause) => {
                if let Some(suppressed) = CORRUPT.record() {
                    tracing::error!(%cause, suppressed, "the store is corrupt");
                }
                Self::unexplained()
            }
            StoreError::Internal(cause) => Self::internal(cause),
        }
    }
}
