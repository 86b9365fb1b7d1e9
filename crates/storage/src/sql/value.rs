//! Values of the types that both back ends have.

use protocol::{Day, MessageId, RoomId, SessionId, Timestamp, UserId};

/// A value of a column or of a placeholder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// None.
    Null,
    /// A whole number; a moment in milliseconds since 1970; a truth, 0 or 1.
    Integer(i64),
    /// A text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

impl Value {
    /// What it holds of memory beside itself.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Null | Self::Integer(_) => 0,
            Self::Text(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
        }
    }
}

macro_rules! from {
    ($($type:ty: |$value:ident| $made:expr;)*) => {
        $(impl From<$type> for Value {
            fn from($value: $type) -> Self {
                $made
            }
        })*
    };
}

from! {
    i64: |value| Self::Integer(value);
    i32: |value| Self::Integer(value.into());
    u32: |value| Self::Integer(value.into());
    // Counts and positions, none of which is so large.
    u64: |value| Self::Integer(i64::try_from(value).unwrap_or(i64::MAX));
    bool: |value| Self::Integer(value.into());
    Timestamp: |value| Self::Integer(value.unix_ms());
    Day: |value| Self::Text(value.to_string());
    &str: |value| Self::Text(value.to_owned());
    String: |value| Self::Text(value);
    &UserId: |value| Self::Text(value.as_str().to_owned());
    &RoomId: |value| Self::Text(value.as_str().to_owned());
    &SessionId: |value| Self::Text(value.as_str().to_owned());
    &MessageId: |value| Self::Text(value.as_str().to_owned());
    Vec<u8>: |value| Self::Bytes(value);
    &[u8]: |value| Self::Bytes(value.to_vec());
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}
