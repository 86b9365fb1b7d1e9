//! Messages: sending, editing, deleting and reacting. Reading them back is in `history.rs`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bounds;
use crate::error::{ErrorBody, ErrorCode};
use crate::id::{AttachmentId, MessageId, RoomId, UserId};
use crate::limits::{
    ATTACHMENTS_MAX, CLIENT_ID_MAX, EMOJI_MAX, MENTIONS_MAX, MESSAGE_BODY_MAX, SEQ_MAX,
};
use crate::request::{Invalid, Request};
use crate::schema::absent_not_null;
use crate::timestamp::Timestamp;

/// A message in its current state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = absent_not_null)]
pub struct Message {
    /// Unique in the whole system.
    pub id: MessageId,
    /// The room.
    pub room_id: RoomId,
    /// Its position in the room's log. Never changes.
    pub seq: u64,
    /// The sender.
    pub sender: Sender,
    /// The text; empty if the message was deleted.
    pub body: String,
    /// When it was sent.
    pub at: Timestamp,
    /// The sender's own id for the message. Only the sender sees it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The `seq` of the message it replies to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<u64>,
    /// The attachments.
    pub attachments: Vec<Attachment>,
    /// When it was last edited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edited_at: Option<Timestamp>,
    /// When it was deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<Timestamp>,
    /// The reactions, one entry for each emoji.
    pub reactions: Vec<Reaction>,
}

/// The sender of a message, with the name used at that time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Sender {
    /// The user.
    pub id: UserId,
    /// The display name.
    pub display_name: String,
    /// Whether the user is a guest.
    pub guest: bool,
}

/// One emoji among a message's reactions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reaction {
    /// The emoji.
    pub emoji: String,
    /// How many users reacted with it.
    pub count: u64,
    /// Whether you are one of them.
    pub mine: bool,
}

/// An attachment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = absent_not_null)]
pub struct Attachment {
    /// That of its upload.
    pub id: AttachmentId,
    /// How to display it.
    pub kind: AttachmentKind,
    /// What its sender calls it.
    pub file_name: String,
    /// Bytes of what was uploaded.
    pub size: u64,
    /// Its URL, once it is ready: relative to the server's address, unless there is a CDN. In a private room it is good for an hour
    /// or two; the message read again has a new one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// For an image, in pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// For an image, in pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// Smaller copies of an image, smallest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variants: Option<Vec<ImageVariant>>,
    /// The ThumbHash of an image, in Base64: what to show until it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placeholder: Option<String>,
    /// For an image, whether it moves; its variants are still.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub animated: Option<bool>,
    /// Whether it can be downloaded yet.
    pub status: AttachmentStatus,
    /// Why processing failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<AttachmentFailure>,
}

/// Why an attachment can't be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AttachmentFailure {
    /// It isn't a JPEG, PNG, GIF or WebP image.
    NotAnImage,
    /// It is cut off or damaged.
    Malformed,
    /// It has too many pixels or frames.
    TooLarge,
    /// Processing took too long, or too much memory.
    TimedOut,
    /// What was uploaded isn't there any more.
    Missing,
}

/// How to display an attachment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AttachmentKind {
    /// As an image.
    Image,
    /// As a file to download.
    File,
}

/// Whether an attachment can be downloaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AttachmentStatus {
    /// It is being processed.
    Processing,
    /// It can be downloaded.
    Ready,
    /// Processing failed.
    Failed,
}

/// A copy of an image in another size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageVariant {
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// Its URL.
    pub url: String,
    /// Its media type.
    pub content_type: String,
}

/// Sends a message. Retries with the same `clientId` in the same room store one message only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SendMessage {
    /// The room.
    pub room_id: RoomId,
    /// The sender's id for the message: new for every message, the same for every retry.
    #[schemars(length(min = 1, max = CLIENT_ID_MAX), regex(pattern = bounds::LINE_PATTERN))]
    pub client_id: String,
    /// The text, stored as it is. May be empty if something is attached.
    #[schemars(length(max = MESSAGE_BODY_MAX), regex(pattern = bounds::OPTIONAL_BODY_PATTERN))]
    pub body: String,
    /// The `seq` of the message it replies to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = SEQ_MAX))]
    pub reply_to: Option<u64>,
    /// Members to mention, besides those whose `@username` is in the text. Users who aren't members are left out.
    #[serde(
        default,
        deserialize_with = "bounds::list",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(with = "Option<Vec<UserId>>", length(max = MENTIONS_MAX))]
    pub mentions: Vec<UserId>,
    /// What to attach: your own uploads, which are complete and aren't attached to another message.
    #[serde(
        default,
        deserialize_with = "bounds::list",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(with = "Option<Vec<AttachmentId>>", length(max = ATTACHMENTS_MAX))]
    pub attachments: Vec<AttachmentId>,
}

impl Request for SendMessage {
    fn validate(&self) -> Result<(), Invalid> {
        bounds::client_id("clientId", &self.client_id)?;
        content(&self.body, self.reply_to, &self.mentions, &self.attachments)
    }
}

/// Sends a message over HTTP. The header `Idempotency-Key` is its `clientId`; one of the two is
/// needed to make retries safe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PostMessage {
    /// The sender's id for the message, if there is no `Idempotency-Key` header.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = CLIENT_ID_MAX), regex(pattern = bounds::LINE_PATTERN))]
    pub client_id: Option<String>,
    /// The text, stored as it is. May be empty if something is attached.
    #[schemars(length(max = MESSAGE_BODY_MAX), regex(pattern = bounds::OPTIONAL_BODY_PATTERN))]
    pub body: String,
    /// The `seq` of the message it replies to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = SEQ_MAX))]
    pub reply_to: Option<u64>,
    /// Members to mention, besides those whose `@username` is in the text. Users who aren't members are left out.
    #[serde(
        default,
        deserialize_with = "bounds::list",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(with = "Option<Vec<UserId>>", length(max = MENTIONS_MAX))]
    pub mentions: Vec<UserId>,
    /// What to attach: your own uploads, which are complete and aren't attached to another message.
    #[serde(
        default,
        deserialize_with = "bounds::list",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(with = "Option<Vec<AttachmentId>>", length(max = ATTACHMENTS_MAX))]
    pub attachments: Vec<AttachmentId>,
}

impl Request for PostMessage {
    fn validate(&self) -> Result<(), Invalid> {
        bounds::given("clientId", self.client_id.as_ref(), bounds::client_id)?;
        content(&self.body, self.reply_to, &self.mentions, &self.attachments)
    }
}

impl PostMessage {
    /// The same with the `clientId` that the header `Idempotency-Key` gives.
    pub fn with_idempotency_key(self, key: Option<&str>) -> Result<Self, ErrorBody> {
        let Some(key) = key else { return Ok(self) };
        bounds::client_id("Idempotency-Key", key)?;
        match &self.client_id {
            Some(client_id) if client_id != key => Err(ErrorBody::new(
                ErrorCode::Conflict,
                "clientId: differs from the header Idempotency-Key",
            )),
            _ => Ok(Self {
                client_id: Some(key.to_owned()),
                ..self
            }),
        }
    }
}

fn content(
    body: &str,
    reply_to: Option<u64>,
    mentions: &[UserId],
    attachments: &[AttachmentId],
) -> Result<(), Invalid> {
    match attachments.is_empty() {
        true => bounds::message_body("body", body)?,
        false => bounds::optional_message_body("body", body)?,
    }
    reply_to.map_or(Ok(()), |seq| bounds::seq("replyTo", seq))?;
    bounds::at_most("mentions", mentions, MENTIONS_MAX)?;
    bounds::at_most("attachments", attachments, ATTACHMENTS_MAX)
}

/// The message was stored durably.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageSent {
    /// The stored message.
    pub message: Message,
    /// Whether an earlier attempt had already stored it.
    pub duplicate: bool,
}

/// Edits your own message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EditMessage {
    /// The room.
    pub room_id: RoomId,
    /// The message.
    #[schemars(range(min = 1, max = SEQ_MAX))]
    pub seq: u64,
    /// The new text.
    #[schemars(length(min = 1, max = MESSAGE_BODY_MAX), regex(pattern = bounds::BODY_PATTERN))]
    pub body: String,
}

impl Request for EditMessage {
    fn validate(&self) -> Result<(), Invalid> {
        bounds::seq("seq", self.seq)?;
        bounds::message_body("body", &self.body)
    }
}

/// The answer to an edit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EditAccepted {
    /// The message as it is now.
    pub message: Message,
    /// The position of the edit in the room's log.
    pub seq: u64,
}

/// Deletes your own message, or any message as a moderator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeleteMessage {
    /// The room.
    pub room_id: RoomId,
    /// The message.
    #[schemars(range(min = 1, max = SEQ_MAX))]
    pub seq: u64,
}

impl Request for DeleteMessage {
    fn validate(&self) -> Result<(), Invalid> {
        bounds::seq("seq", self.seq)
    }
}

/// Adds or removes a reaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReactToMessage {
    /// The room.
    pub room_id: RoomId,
    /// The message.
    #[schemars(range(min = 1, max = SEQ_MAX))]
    pub seq: u64,
    /// One emoji of Unicode's list. Variants (`❤`, `❤️`) are the same emoji; it is stored and returned in its full
    /// spelling.
    #[serde(deserialize_with = "bounds::emoji_form")]
    #[schemars(length(min = 1, max = EMOJI_MAX), regex(pattern = bounds::EMOJI_PATTERN))]
    pub emoji: String,
    /// True to add the reaction, false to remove it.
    pub on: bool,
}

impl Request for ReactToMessage {
    fn validate(&self) -> Result<(), Invalid> {
        bounds::seq("seq", self.seq)?;
        match self.on {
            true => bounds::emoji("emoji", &self.emoji),
            false => bounds::former_emoji("emoji", &self.emoji),
        }
    }
}

/// The answer to a deletion or a reaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChangeAccepted {
    /// The position of the change in the room's log, or of the earlier change if there was nothing to do.
    pub seq: u64,
}
