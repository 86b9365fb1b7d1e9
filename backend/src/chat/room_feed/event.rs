//! A durable event of a room as its subscribers get it: encoded once for all, and once more for the one who sees it
//! differently.

use std::{borrow::Cow, time::Instant};

use gateway::Frame;
use protocol::{RoomEvent, UserId};
use storage::{EventBody, StoredEvent};

use crate::{
    fleet::bus::{Kind, Malformed, Message, Reader, Writer},
    media_urls::MediaUrls,
    wire,
};

/// A durable event in its final bytes.
pub struct FeedEvent {
    /// Its position in the log.
    pub seq: u64,
    /// The message whose text it changed: events that hold the former text aren't replayed any more.
    pub(super) rewrites: Option<u64>,
    /// When it was made, and the URLs in it.
    pub(super) made: Instant,
    name: Cow<'static, str>,
    pub(super) frame: Frame,
    /// The variant for the sender, with its `clientId`.
    pub(super) own: Option<(UserId, Frame)>,
}

impl FeedEvent {
    /// Encodes an event for everybody, and for `actor`, for whom the store read it.
    ///
    /// # Errors
    /// Never for what the store holds; encoding as such can fail.
    pub fn new(
        stored: StoredEvent,
        actor: &UserId,
        urls: &MediaUrls,
    ) -> Result<Self, gateway::EncodeError> {
        Self::seen_by(stored, Some(actor), urls)
    }

    fn seen_by(
        stored: StoredEvent,
        actor: Option<&UserId>,
        urls: &MediaUrls,
    ) -> Result<Self, gateway::EncodeError> {
        let own = wire::event(stored.clone(), actor, urls);
        let mut shared = wire::event(stored, None, urls);
        if let RoomEvent::New(message)
        | RoomEvent::Edited(protocol::MessageEdited { message, .. }) = &mut shared
        {
            // The frame for all says of no reaction that it is the viewer's.
            for reaction in &mut message.reactions {
                reaction.mine = false;
            }
        }
        let frame = |event: &RoomEvent| Frame::event("/", event.name(), &event.payload());
        Ok(Self {
            seq: shared.seq(),
            rewrites: match &shared {
                RoomEvent::Edited(edited) => Some(edited.of),
                RoomEvent::Deleted(deleted) => Some(deleted.of),
                _ => None,
            },
            made: Instant::now(),
            name: Cow::Borrowed(shared.name()),
            frame: frame(&shared)?,
            own: match actor {
                Some(actor) if own != shared => Some((actor.clone(), frame(&own)?)),
                _ => None,
            },
        })
    }

    /// As [`FeedEvent::new`], of an event that was read without a viewer.
    ///
    /// # Errors
    /// As there.
    pub fn of_log(stored: StoredEvent, urls: &MediaUrls) -> Result<Self, gateway::EncodeError> {
        let actor = match &stored.body {
            EventBody::Sent(message) | EventBody::Edited { message, .. } => {
                Some(message.sender.id.clone())
            }
            // These are the same for everybody.
            EventBody::Processed { .. }
            | EventBody::Deleted { .. }
            | EventBody::Reacted { .. }
            | EventBody::Tombstone => None,
        };
        Self::seen_by(stored, actor.as_ref(), urls)
    }

    /// Reads an event that another instance sent.
    ///
    /// # Errors
    /// If the fields aren't those of an event.
    pub fn read(fields: &mut Reader<'_>) -> Result<Self, Malformed> {
        let (seq, rewrites) = (fields.number()?, fields.number()?);
        let name = fields.text()?;
        let frame = |payload| Frame::event_from_json("/", name, payload, Vec::new());
        let shared = frame(fields.text()?);
        let (actor, own) = (fields.text()?, fields.text()?);
        Ok(Self {
            seq,
            rewrites: (rewrites > 0).then_some(rewrites),
            made: Instant::now(),
            name: Cow::Owned(name.to_owned()),
            frame: shared,
            own: (!actor.is_empty()).then(|| (UserId::trusted(actor), frame(own))),
        })
    }

    /// The frame that `viewer` gets.
    pub fn frame_for(&self, viewer: &UserId) -> &Frame {
        match &self.own {
            Some((actor, own)) if actor == viewer => own,
            _ => &self.frame,
        }
    }

    /// The event as `missed` and `events` hold it: the payload of the frame with its name as `type`.
    pub fn write_json_for(&self, viewer: &UserId, json: &mut String) {
        json.push_str("{\"type\":\"");
        json.push_str(&self.name);
        json.push_str("\",");
        // An object with at least one field, written by our own encoder.
        let payload = self.frame_for(viewer).arguments().unwrap_or("{}");
        json.push_str(&payload[1..]);
    }

    /// Its size for `viewer`, at most: as a frame, or in an answer with its name as `type`.
    pub fn bytes_for(&self, viewer: &UserId) -> usize {
        const TYPE: usize = 16;
        self.frame_for(viewer).size() + TYPE
    }

    /// Its size in memory.
    pub fn bytes(&self) -> usize {
        self.frame.size() + self.own.as_ref().map_or(0, |(_, own)| own.size())
    }
}

/// As instances send it to each other.
impl Message for FeedEvent {
    fn kind(&self) -> Kind {
        Kind::ROOM_EVENT
    }

    fn write(&self, fields: &mut Writer<'_>) {
        fields.number(self.seq);
        fields.number(self.rewrites.unwrap_or(0));
        fields.text(&self.name);
        fields.text(self.frame.arguments().unwrap_or("{}"));
        let (actor, own) = match &self.own {
            Some((actor, own)) => (actor.as_str(), own.arguments().unwrap_or("{}")),
            None => ("", ""),
        };
        fields.text(actor);
        fields.text(own);
    }
}
