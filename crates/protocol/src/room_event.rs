//! The durable events of a room: the entries of its log. Live, they are sent under their own names; read
//! back, the name is their `type`. Both forms have the same fields.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

use crate::event::ServerEvent;
use crate::id::{AttachmentId, MessageId, RoomId, UserId};
use crate::message::{AttachmentFailure, ImageVariant, Message};
use crate::schema::absent_not_null;

/// The text of a message changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageEdited {
    /// The room.
    pub room_id: RoomId,
    /// The position of the edit in the room's log.
    pub seq: u64,
    /// The `seq` of the message.
    pub of: u64,
    /// The message as it is now.
    pub message: Message,
}

/// A message was deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageDeleted {
    /// The room.
    pub room_id: RoomId,
    /// The place of the deletion in the room's log.
    pub seq: u64,
    /// The `seq` of the message.
    pub of: u64,
}

/// An image of a message can be shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = absent_not_null)]
pub struct ImageReady {
    /// The message.
    pub message_id: MessageId,
    /// The room.
    pub room_id: RoomId,
    /// The place of this event in the room's log.
    pub seq: u64,
    /// The `seq` of the message.
    pub of: u64,
    /// Which of its attachments.
    pub attachment_id: AttachmentId,
    /// Its URL.
    pub url: String,
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// Smaller copies, smallest first.
    pub variants: Vec<ImageVariant>,
    /// Its ThumbHash, in Base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placeholder: Option<String>,
    /// Whether it moves; its variants are still.
    pub animated: bool,
}

/// An image of a message can't be shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageFailed {
    /// The message.
    pub message_id: MessageId,
    /// The room.
    pub room_id: RoomId,
    /// The place of this event in the room's log.
    pub seq: u64,
    /// The `seq` of the message.
    pub of: u64,
    /// Which of its attachments.
    pub attachment_id: AttachmentId,
    /// Why.
    pub reason: AttachmentFailure,
}

/// An emoji was put to a message, or taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageReacted {
    /// The room.
    pub room_id: RoomId,
    /// The place of the reaction in the room's log.
    pub seq: u64,
    /// The `seq` of the message.
    pub of: u64,
    /// The emoji.
    pub emoji: String,
    /// The user.
    pub user_id: UserId,
    /// Whether it was put or taken back.
    pub on: bool,
}

/// A place in the log that its writer lost, or whose subject is gone: nothing is there, and nobody need wait for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoomVoid {
    /// The room.
    pub room_id: RoomId,
    /// The place.
    pub seq: u64,
}

/// A durable event of a room, as `missed` and `events` hold it: the payload of the server event of
/// that name, with the name beside it as `type`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type")]
pub enum RoomEvent {
    /// A message was sent.
    #[serde(rename = "message:new")]
    New(Message),
    /// A message was edited.
    #[serde(rename = "message:edited")]
    Edited(MessageEdited),
    /// A message was deleted.
    #[serde(rename = "message:deleted")]
    Deleted(MessageDeleted),
    /// A reaction was put or taken back.
    #[serde(rename = "message:reacted")]
    Reacted(MessageReacted),
    /// An image of a message can be shown.
    #[serde(rename = "image:ready")]
    ImageReady(ImageReady),
    /// An image of a message can't be shown.
    #[serde(rename = "image:failed")]
    ImageFailed(ImageFailed),
    /// Nothing is here.
    #[serde(rename = "room:void")]
    Void(RoomVoid),
}

impl RoomEvent {
    /// The name of the server event.
    pub fn name(&self) -> &'static str {
        match self {
            Self::New(_) => Message::NAME,
            Self::Edited(_) => MessageEdited::NAME,
            Self::Deleted(_) => MessageDeleted::NAME,
            Self::Reacted(_) => MessageReacted::NAME,
            Self::ImageReady(_) => ImageReady::NAME,
            Self::ImageFailed(_) => ImageFailed::NAME,
            Self::Void(_) => RoomVoid::NAME,
        }
    }

    /// The room.
    pub fn room_id(&self) -> &RoomId {
        match self {
            Self::New(message) => &message.room_id,
            Self::Edited(edited) => &edited.room_id,
            Self::Deleted(deleted) => &deleted.room_id,
            Self::Reacted(reacted) => &reacted.room_id,
            Self::ImageReady(ready) => &ready.room_id,
            Self::ImageFailed(failed) => &failed.room_id,
            Self::Void(void) => &void.room_id,
        }
    }

    /// The event's place in the room's log.
    pub fn seq(&self) -> u64 {
        match self {
            Self::New(message) => message.seq,
            Self::Edited(edited) => edited.seq,
            Self::Deleted(deleted) => deleted.seq,
            Self::Reacted(reacted) => reacted.seq,
            Self::ImageReady(ready) => ready.seq,
            Self::ImageFailed(failed) => failed.seq,
            Self::Void(void) => void.seq,
        }
    }

    /// The payload alone, to be sent under [`RoomEvent::name`].
    pub fn payload(&self) -> RoomEventPayload<'_> {
        RoomEventPayload(self)
    }
}

/// Serializes the payload of a [`RoomEvent`] without its `type`.
#[derive(Debug, Clone, Copy)]
pub struct RoomEventPayload<'a>(&'a RoomEvent);

impl Serialize for RoomEventPayload<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            RoomEvent::New(message) => message.serialize(serializer),
            RoomEvent::Edited(edited) => edited.serialize(serializer),
            RoomEvent::Deleted(deleted) => deleted.serialize(serializer),
            RoomEvent::Reacted(reacted) => reacted.serialize(serializer),
            RoomEvent::ImageReady(ready) => ready.serialize(serializer),
            RoomEvent::ImageFailed(failed) => failed.serialize(serializer),
            RoomEvent::Void(void) => void.serialize(serializer),
        }
    }
}
