//! Documents of rooms.

use mongodb::bson::{DateTime, Document, doc};
use protocol::UserId;
use protocol::{Epoch, RoomId, RoomKind, Timestamp};
use serde::{Deserialize, Serialize};

use super::super::super::StoredRoom;
use super::super::super::ids::new_epoch;
use super::super::name_index::Named;
use super::super::values::{time, timestamp};

/// A room, deleted or not.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RoomDocument {
    #[serde(rename = "_id")]
    pub id: RoomId,
    pub kind: RoomKind,
    pub name: String,
    created_at: DateTime,
    pub epoch: String,
    /// The head of the log when entries were last removed from its beginning.
    floor_seq: i64,
    /// A `seq` that the visible head has certainly reached.
    head_hint: i64,
    /// The two of a direct room, the smaller id first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pair: Option<(UserId, UserId)>,
    /// Grows whenever somebody becomes or ceases to be an owner: of two such changes at once one waits for the other,
    /// so that both together can't leave a room without an owner.
    leading: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<DateTime>,
}

impl RoomDocument {
    pub fn new(id: RoomId, kind: RoomKind, name: String, now: Timestamp) -> Self {
        Self {
            id,
            kind,
            name,
            created_at: time(now),
            epoch: new_epoch(),
            floor_seq: 0,
            head_hint: 0,
            pair: None,
            leading: 0,
            deleted_at: None,
        }
    }

    /// What it shows by itself.
    pub fn stored(self) -> StoredRoom {
        StoredRoom {
            id: self.id,
            kind: self.kind,
            name: self.name,
            created_at: timestamp(self.created_at),
            member_count: 0,
            head_seq: 0,
            epoch: Epoch::new(self.epoch),
            viewer: None,
            peer: None,
        }
    }

    pub fn named(&self) -> Option<Named> {
        (self.kind == RoomKind::Public).then(|| Named::new(self.id.as_str(), &[&self.name]))
    }
}

/// A room that isn't deleted, as a filter.
pub fn existing_room(room: &RoomId) -> Document {
    doc! { "_id": room.as_str(), "deletedAt": null }
}
