//! What clients answer to requests, and payloads of theirs that can't be read.

use std::fmt;

use serde::de::DeserializeOwned;
use socketioxide_core::{Value, parser::Parse};
use socketioxide_parser_common::CommonParser;

/// A payload that isn't what was asked for.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct PayloadError(String);

impl PayloadError {
    pub(crate) fn new(error: impl fmt::Display) -> Self {
        Self(error.to_string())
    }
}

/// A client's answer to a [`Socket::request`](crate::Socket::request).
#[derive(Debug)]
pub struct Reply {
    pub(crate) data: Value,
}

impl Reply {
    /// Parses the first argument of the answer, attachments put in place.
    ///
    /// # Errors
    /// If it isn't a `T`.
    pub fn decode<T: DeserializeOwned>(&mut self) -> Result<T, PayloadError> {
        CommonParser
            .decode_value(&mut self.data, false)
            .map_err(PayloadError::new)
    }
}
