//! Rows that were read.

use protocol::{Day, MessageId, RoomId, SessionId, Timestamp, UserId};

use super::Value;
use crate::StoreError;

/// A row that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row(pub(super) Vec<Value>);

impl Row {
    /// The value of a column, by its place; `Internal` if it has another type.
    pub fn get<T: FromValue>(&self, column: usize) -> Result<T, StoreError> {
        let value = self.0.get(column).cloned();
        value
            .and_then(T::from_value)
            .ok_or_else(|| StoreError::internal("a column isn't of the type that was expected"))
    }
}

/// What a column can be read as.
pub trait FromValue: Sized {
    /// `None` if the value isn't one of these.
    fn from_value(value: Value) -> Option<Self>;
}

macro_rules! from_value {
    ($($type:ty: $pattern:pat => $made:expr;)*) => {
        $(impl FromValue for $type {
            fn from_value(value: Value) -> Option<Self> {
                match value {
                    $pattern => $made,
                    _ => None,
                }
            }
        })*
    };
}

from_value! {
    i64: Value::Integer(number) => Some(number);
    u64: Value::Integer(number) => u64::try_from(number).ok();
    u32: Value::Integer(number) => u32::try_from(number).ok();
    bool: Value::Integer(number) => Some(number != 0);
    Timestamp: Value::Integer(number) => Some(Timestamp::from_unix_ms(number));
    Day: Value::Text(text) => text.parse().ok();
    String: Value::Text(text) => Some(text);
    UserId: Value::Text(text) => text.parse().ok();
    RoomId: Value::Text(text) => text.parse().ok();
    SessionId: Value::Text(text) => text.parse().ok();
    MessageId: Value::Text(text) => text.parse().ok();
    Vec<u8>: Value::Bytes(bytes) => Some(bytes);
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Null => Some(None),
            other => T::from_value(other).map(Some),
        }
    }
}
