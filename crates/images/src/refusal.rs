//! Why a picture isn't taken.

use serde::{Deserialize, Serialize};

/// Why a picture isn't taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// It is something else, or a picture of a kind that isn't known here.
    #[error("it isn't a JPEG, PNG, GIF or WebP image")]
    NotAnImage,
    /// It is cut off or damaged.
    #[error("it is cut off or damaged")]
    Malformed,
    /// It has too many pixels or frames.
    #[error("it has too many pixels or frames")]
    TooLarge,
}
