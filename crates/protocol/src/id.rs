//! Ids as opaque strings. An id that exists has the right form: parsing is the only way in from
//! outside, so nothing behind it checks again. Cloning one shares the text.

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::limits::ID_MAX;

/// The text isn't 1 to 64 letters, digits, `_` or `-`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected an id: 1 to 64 letters, digits, `_` or `-`")]
pub struct MalformedId;

pub(crate) fn well_formed(text: &str) -> bool {
    (1..=ID_MAX).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

struct IdText;

impl Visitor<'_> for IdText {
    type Value = Arc<str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an id: 1 to 64 letters, digits, `_` or `-`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Arc<str>, E> {
        if well_formed(text) {
            Ok(text.into())
        } else {
            Err(E::custom(MalformedId))
        }
    }
}

macro_rules! id {
    ($name:ident, $description:literal) => {
        #[doc = $description]
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// An id that this system made or stored itself; it isn't checked again.
            pub fn trusted(text: impl Into<Arc<str>>) -> Self {
                let text = text.into();
                debug_assert!(well_formed(&text));
                Self(text)
            }

            /// The text of the id.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = MalformedId;

            fn from_str(text: &str) -> Result<Self, MalformedId> {
                if well_formed(text) { Ok(Self(text.into())) } else { Err(MalformedId) }
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(IdText).map(Self)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "type": "string",
                    "description": $description,
                    "minLength": 1,
                    "maxLength": ID_MAX,
                    "pattern": "^[A-Za-z0-9_-]+$",
                })
            }
        }
    };
}

id!(UserId, "The id of a user.");
id!(RoomId, "The id of a room.");
id!(SessionId, "The id of a session: one sign-in of one device.");
id!(
    MessageId,
    "The id of a message, unique in the whole system."
);
id!(AttachmentId, "The id of an attachment.");
id!(ApiKeyId, "The id of an API key.");
id!(NotificationId, "The id of a notification.");
id!(
    DeviceId,
    "The id of a device, which its application has chosen."
);

impl ApiKeyId {
    /// Whether a text has the form of the ids that keys have: 16 hexadecimal digits, or `publish` for those of the
    /// configuration. A whole key, which nobody may see, hasn't.
    pub fn is_form_of(text: &str) -> bool {
        let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        text == "publish" || (text.len() == 16 && text.bytes().all(digit))
    }
}

id!(CircuitName, "The name of a circuit breaker.");
