//! An event of a client.

use bytes::Bytes;
use engineioxide_core::Str;
use serde::de::DeserializeOwned;
use socketioxide_core::{Value, parser::Parse};
use socketioxide_parser_common::CommonParser;

use crate::{
    ack::Ack,
    event_text::{arguments, first_argument, name},
    reply::PayloadError,
};

/// An event of a client, with the means to answer it.
pub struct Event {
    name: Str,
    data: Value,
    ack: Ack,
}

impl Event {
    /// The event in `data`; its ack alone if it has no name to be read, or one that clients keep for themselves.
    pub(crate) fn new(data: Value, ack: Ack) -> Result<Self, Ack> {
        match name(&data).filter(|name| !RESERVED.contains(&name.as_str())) {
            Some(name) => Ok(Self {
                ack: ack.of(&name),
                name,
                data,
            }),
            None => Err(ack),
        }
    }

    /// The event's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first argument as JSON text; `None` if there is none, or if the arguments aren't JSON.
    pub fn first_argument(&self) -> Option<&str> {
        first_argument(self.text())
    }

    /// Parses the first argument; whatever follows it is ignored.
    ///
    /// # Errors
    /// If it is missing or isn't a `T`.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, PayloadError> {
        let first = self
            .first_argument()
            .ok_or_else(|| PayloadError::new("the payload is missing or not JSON"))?;
        serde_json::from_str(first).map_err(PayloadError::new)
    }

    /// Parses the arguments with their binary attachments put in place: a tuple takes all arguments, anything else
    /// the first.
    ///
    /// # Errors
    /// If they aren't a `T`.
    pub fn decode<T: DeserializeOwned>(&mut self) -> Result<T, PayloadError> {
        CommonParser
            .decode_value(&mut self.data, true)
            .map_err(PayloadError::new)
    }

    /// All arguments as JSON text, separated by commas, without brackets; attachments are placeholders in it. Empty
    /// if there are none, or if they aren't JSON.
    pub fn arguments(&self) -> &str {
        arguments(self.text()).unwrap_or_default()
    }

    fn text(&self) -> &str {
        self.data.as_str().map_or("", |text| text.as_str())
    }

    /// The binary attachments, in order.
    pub fn attachments(&self) -> Vec<Bytes> {
        match &self.data {
            Value::Str(_, Some(attachments)) => attachments.iter().cloned().collect(),
            _ => Vec::new(),
        }
    }

    /// The means to answer. Keep it until the event is done: it counts as in flight as long.
    pub fn into_ack(self) -> Ack {
        self.ack
    }
}

/// Events that the official client keeps for itself.
const RESERVED: [&str; 5] = [
    "connect",
    "connect_error",
    "disconnect",
    "disconnecting",
    "newListener",
];
