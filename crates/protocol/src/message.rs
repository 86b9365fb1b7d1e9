//! Messages, and what a client does to them. Reading them back is in `history.rs`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bounds;
use crate::error::{ErrorBody, ErrorCode};
use crate::id::{AttachmentId, MessageId, RoomId, UserId};
use crate::limits::{CLIENT_ID_MAX, EMOJI_MAX, MENTIONS_MAX, MESSAGE_BODY_MAX, SEQ_MAX};
use crate::request::{Invalid, Request};
use crate::schema::absent_not_null;
use crate::timestamp::Timestamp;

/// A message in its present state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = absent_not_null)]
pub struct Message {
    /// Unique in the whole system.
    pub id: MessageId,
    /// The room.
    pub room_id: RoomId,
    /// Its place in the room's log; never changes.
    pub seq: u64,
    /// Who wrote it.
    pub sender: Sender,
    /// The text; empty once deleted.
    pub body: String,
    /// When it was written.
    pub at: Timestamp,
    /// What its sender called it; for the sender alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The `seq` of the message it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<u64>,
    /// What is attached to it.
    pub attachments: Vec<Attachment>,
    /// When the text was last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edited_at: Option<Timestamp>,
    /// When it was deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<Timestamp>,
    /// Each emoji that somebody put to it.
    pub reactions: Vec<Reaction>,
}

/// Who wrote a message, by the name of that time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Sender {
    /// The user.
    pub id: UserId,
    /// The name that others read.
    pub display_name: String,
    /// Whether the user came without registering.
    pub guest: bool,
}

/// One emoji put to a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reaction {
    /// The emoji.
    pub emoji: String,
    /// How many users put it.
    pub count: u64,
    /// Whether the one who asks is among them.
    pub mine: bool,
}

/// Something attached to a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = absent_not_null)]
pub struct Attachment {
    /// Never changes.
    pub id: AttachmentId,
    /// How to show it.
    pub kind: AttachmentKind,
    /// Where it is, once ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Of an image, in pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// Of an image, in pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// Smaller copies of an image, the smallest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variants: Option<Vec<ImageVariant>>,
    /// Whether it can be had yet.
    pub status: AttachmentStatus,
}

/// How to show an attachment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AttachmentKind {
    /// As a picture.
    Image,
    /// As a name to fetch.
    File,
}

/// Whether an attachment can be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AttachmentStatus {
    /// Not yet.
    Processing,
    /// Now.
    Ready,
    /// Never.
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
    /// Where it is.
    pub url: String,
    /// Its media type.
    pub content_type: String,
}

/// Writes a message. One `clientId` of one sender in one room is one message, however often it is
/// sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SendMessage {
    /// The room.
    pub room_id: RoomId,
    /// What the sender calls the message, new for every message and the same for every try.
    #[schemars(length(min = 1, max = CLIENT_ID_MAX), regex(pattern = bounds::LINE_PATTERN))]
    pub client_id: String,
    /// The text, kept as it is.
    #[schemars(length(min = 1, max = MESSAGE_BODY_MAX), regex(pattern = bounds::BODY_PATTERN))]
    pub body: String,
    /// The `seq` of the message it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = SEQ_MAX))]
    pub reply_to: Option<u64>,
    /// Members that it calls, beside those whose username stands in its text behind an `@`. Who is no member is left out.
    #[serde(
        default,
        deserialize_with = "bounds::list",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(with = "Option<Vec<UserId>>", length(max = MENTIONS_MAX))]
    pub mentions: Vec<UserId>,
    /// Nothing can be attached yet.
    #[serde(
        default,
        deserialize_with = "bounds::list",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(with = "Option<Vec<AttachmentId>>", length(max = 0))]
    pub attachments: Vec<AttachmentId>,
}

impl Request for SendMessage {
    fn validate(&self) -> Result<(), Invalid> {
        bounds::client_id("clientId", &self.client_id)?;
        content(&self.body, self.reply_to, &self.mentions, &self.attachments)
    }
}

/// Writes a message over HTTP. The header `Idempotency-Key` is its `clientId`; one of the two is
/// needed to make a second try safe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PostMessage {
    /// What the sender calls the message, if the header doesn't say.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = CLIENT_ID_MAX), regex(pattern = bounds::LINE_PATTERN))]
    pub client_id: Option<String>,
    /// The text, kept as it is.
    #[schemars(length(min = 1, max = MESSAGE_BODY_MAX), regex(pattern = bounds::BODY_PATTERN))]
    pub body: String,
    /// The `seq` of the message it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = SEQ_MAX))]
    pub reply_to: Option<u64>,
    /// Members that it calls, beside those whose username stands in its text behind an `@`. Who is no member is left out.
    #[serde(
        default,
        deserialize_with = "bounds::list",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(with = "Option<Vec<UserId>>", length(max = MENTIONS_MAX))]
    pub mentions: Vec<UserId>,
    /// Nothing can be attached yet.
    #[serde(
        default,
        deserialize_with = "bounds::list",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(with = "Option<Vec<AttachmentId>>", length(max = 0))]
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
    bounds::message_body("body", body)?;
    reply_to.map_or(Ok(()), |seq| bounds::seq("replyTo", seq))?;
    bounds::at_most("mentions", mentions, MENTIONS_MAX)?;
    if attachments.is_empty() {
        Ok(())
    } else {
        Err(Invalid::new("attachments", "nothing can be attached yet"))
    }
}

/// The answer to a message that was sent: it is durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageSent {
    /// The message as it is stored.
    pub message: Message,
    /// Whether an earlier try had stored it.
    pub duplicate: bool,
}

/// Changes the text of one's own message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EditMessage {
    /// The room.
    pub room_id: RoomId,
    /// The message.
    #[schemars(range(min = 1, max = SEQ_MAX))]
    pub seq: u64,
    /// The text from now on.
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
    /// The place of the edit in the room's log.
    pub seq: u64,
}

/// Deletes one's own message, or anybody's as a moderator.
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

/// Puts an emoji to a message, or takes it back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReactToMessage {
    /// The room.
    pub room_id: RoomId,
    /// The message.
    #[schemars(range(min = 1, max = SEQ_MAX))]
    pub seq: u64,
    /// One emoji of Unicode's list. However it is spelled (`❤` or `❤️`), it is one; it is answered and shown in its full
    /// spelling.
    #[serde(deserialize_with = "bounds::emoji_form")]
    #[schemars(length(min = 1, max = EMOJI_MAX), regex(pattern = bounds::EMOJI_PATTERN))]
    pub emoji: String,
    /// Whether it is put or taken back.
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
    /// The place of the change in the room's log; of the earlier one, if nothing was left to change.
    pub seq: u64,
}
