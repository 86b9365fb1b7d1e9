//! Uploads: files and images that are attached to messages.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::bounds;
use crate::id::{AttachmentId, MessageId, RoomId};
use crate::limits::{CLIENT_ID_MAX, CONTENT_TYPE_MAX, FILE_NAME_MAX, UPLOAD_MAX};
use crate::message::{AttachmentFailure, AttachmentKind};
use crate::request::{Invalid, Request};
use crate::schema::absent_not_null;

/// What is shown as an image; SVG may run scripts, and the others aren't known by all browsers.
pub const IMAGE_TYPES: [&str; 4] = ["image/jpeg", "image/png", "image/gif", "image/webp"];

/// Begins an upload. Send its bytes as the answer says, then complete it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreateUpload {
    /// What to call the file; directories in front of it are left out.
    #[schemars(length(min = 1, max = FILE_NAME_MAX))]
    pub file_name: String,
    /// Its media type. JPEG, PNG, GIF and WebP are shown as images.
    #[schemars(length(min = 3, max = CONTENT_TYPE_MAX), regex(pattern = bounds::CONTENT_TYPE_PATTERN))]
    pub content_type: String,
    /// Its exact number of bytes. A server may take less than this bound.
    #[schemars(range(min = 1, max = UPLOAD_MAX))]
    pub size: u64,
}

impl Request for CreateUpload {
    fn validate(&self) -> Result<(), Invalid> {
        bounds::file_name("fileName", &self.file_name)?;
        bounds::content_type("contentType", &self.content_type)?;
        match (1..=UPLOAD_MAX).contains(&self.size) {
            true => Ok(()),
            false => Err(Invalid::new("size", format!("expected 1 to {UPLOAD_MAX}"))),
        }
    }
}

/// How to send the bytes of an upload, within a quarter of an hour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UploadCreated {
    /// The upload, and the attachment of a message later.
    pub upload_id: AttachmentId,
    /// The method.
    pub method: String,
    /// Where to: relative to the server's address, or the URL of a store.
    pub url: String,
    /// Headers to send. `Content-Length` has to be the size that was announced.
    pub headers: std::collections::BTreeMap<String, String>,
}

/// How far an upload has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UploadState {
    /// Its bytes aren't there, or it isn't completed.
    Awaited,
    /// An image is being processed; it can be attached already.
    Processing,
    /// It is complete.
    Ready,
    /// It can't be used.
    Failed,
}

/// An upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = absent_not_null)]
pub struct Upload {
    /// Its id.
    pub id: AttachmentId,
    /// How it will be displayed.
    pub kind: AttachmentKind,
    /// What the file is called.
    pub file_name: String,
    /// Its bytes.
    pub size: u64,
    /// How far it has come.
    pub status: UploadState,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<AttachmentFailure>,
}

/// Sizes of boxes that a copy of an image may be made to fit into, in pixels.
pub const MEDIA_SIZES: [u32; 5] = [100, 200, 400, 800, 1_600];

/// Qualities of such a copy.
pub const MEDIA_QUALITIES: [u32; 3] = [60, 80, 90];

/// What the URL of an image or a file says; all but the size is given with the URL.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = absent_not_null)]
pub struct MediaQuery {
    /// When the URL ends, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub e: Option<u64>,
    /// What the file is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n: Option<String>,
    /// Its signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s: Option<String>,
    /// Of an image, the width that a copy is made to fit into: 100, 200, 400, 800 or 1600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub w: Option<u32>,
    /// Likewise the height.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub h: Option<u32>,
    /// The quality of the copy: 60, 80 (the default) or 90.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub q: Option<u32>,
}

impl Request for MediaQuery {
    fn validate(&self) -> Result<(), Invalid> {
        let one_of = |field, value: Option<u32>, known: &[u32]| match value {
            Some(value) if !known.contains(&value) => {
                Err(Invalid::new(field, format!("expected one of {known:?}")))
            }
            _ => Ok(()),
        };
        one_of("w", self.w, &MEDIA_SIZES)?;
        one_of("h", self.h, &MEDIA_SIZES)?;
        one_of("q", self.q, &MEDIA_QUALITIES)
    }
}

/// An upload, as an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UploadBody {
    /// The upload.
    pub upload: Upload,
}

/// Sends a small image as a message of its own, in one event. The ack says that the message is stored; the image is processed then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UploadImage {
    /// The room.
    pub room_id: RoomId,
    /// The sender's id for the message: new for every message, the same for every retry.
    #[schemars(length(min = 1, max = CLIENT_ID_MAX), regex(pattern = bounds::LINE_PATTERN))]
    pub client_id: String,
    /// What to call the file; directories in front of it are left out.
    #[schemars(length(min = 1, max = FILE_NAME_MAX))]
    pub file_name: String,
    /// Its media type.
    #[schemars(regex(pattern = bounds::IMAGE_TYPE_PATTERN))]
    pub content_type: String,
    /// The file. With all that is around it, it has to fit into the largest payload of a connection.
    pub data: Binary,
}

impl Request for UploadImage {
    fn validate(&self) -> Result<(), Invalid> {
        bounds::client_id("clientId", &self.client_id)?;
        bounds::file_name("fileName", &self.file_name)?;
        match IMAGE_TYPES.contains(&&*self.content_type) {
            true => Ok(()),
            false => Err(Invalid::new(
                "contentType",
                format!("expected one of {}", IMAGE_TYPES.join(", ")),
            )),
        }
    }
}

/// The message of an image is stored durably.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageAccepted {
    /// The message.
    pub message_id: MessageId,
    /// Its position in the room's log.
    pub seq: u64,
}

/// The message of your image is stored durably, and the image is going to be processed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageAck {
    /// The message.
    pub message_id: MessageId,
}

/// Bytes beside the JSON of an event: which of its binary attachments they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binary {
    /// The place among the attachments.
    pub num: usize,
}

impl Serialize for Binary {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut placeholder = serializer.serialize_map(Some(2))?;
        placeholder.serialize_entry("_placeholder", &true)?;
        placeholder.serialize_entry("num", &self.num)?;
        placeholder.end()
    }
}

impl<'de> Deserialize<'de> for Binary {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Placeholder;

        impl<'de> Visitor<'de> for Placeholder {
            type Value = Binary;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("binary data")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Binary, A::Error> {
                let (mut is_placeholder, mut num) = (false, None);
                while let Some(field) = map.next_key::<Cow<'_, str>>()? {
                    match &*field {
                        "_placeholder" => is_placeholder = map.next_value()?,
                        "num" => num = Some(map.next_value()?),
                        _ => drop(map.next_value::<de::IgnoredAny>()?),
                    }
                }
                match num.filter(|_| is_placeholder) {
                    Some(num) => Ok(Binary { num }),
                    None => Err(de::Error::custom("expected binary data")),
                }
            }
        }

        deserializer.deserialize_map(Placeholder)
    }
}

impl JsonSchema for Binary {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Binary".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // What a packet has in place of the bytes, which follow it.
        json_schema!({
            "type": "object",
            "description": "Binary data: of an official client, an ArrayBuffer, a Buffer or a Blob.",
            "properties": {
                "_placeholder": { "const": true },
                "num": { "type": "integer", "minimum": 0 },
            },
            "required": ["_placeholder", "num"],
            // Of those who write TypeScript, what a client takes.
            "tsType": "ArrayBuffer | ArrayBufferView | Blob",
        })
    }
}
