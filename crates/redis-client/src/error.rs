//! Errors of Redis, distinguished by what the caller may do next.

/// Why a command gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedisError {
    /// Redis, or the master that has the key, can't be reached or doesn't serve now. The command was **not** run.
    #[error("Redis is unavailable: {0}")]
    Unavailable(String),
    /// The command was sent and no answer came: the connection broke or the answer took longer than the response
    /// timeout. The command may have been run.
    #[error("no answer from Redis: {0}")]
    Unanswered(String),
    /// Redis refused the command, or a script failed.
    #[error("Redis answered {code}: {message}")]
    Refused {
        /// The first word of the answer, such as `ERR`, `WRONGTYPE` or `NOPERM`.
        code: String,
        /// The rest of it.
        message: String,
    },
    /// The answer isn't of the type that was asked for.
    #[error("unexpected answer from Redis: {0}")]
    Unexpected(String),
}

impl RedisError {
    /// Every [`kind`](Self::kind).
    pub const KINDS: [&'static str; 4] = ["unavailable", "unanswered", "refused", "unexpected"];

    /// A short name for metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "unavailable",
            Self::Unanswered(_) => "unanswered",
            Self::Refused { .. } => "refused",
            Self::Unexpected(_) => "unexpected",
        }
    }

    /// Whether trying later may help: Redis is away, or didn't answer.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Unanswered(_))
    }
}
