//! Documents of the members of rooms.

use mongodb::bson::{DateTime, Document, doc};
use protocol::{RoomId, RoomRole, Timestamp, UserId};
use serde::{Deserialize, Serialize};

use super::super::super::{StoredMember, StoredUser};
use super::super::values::{time, timestamp};

/// A member of a room, found by the room.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberDocument {
    pub room_id: RoomId,
    pub user_id: UserId,
    pub role: RoomRole,
    read_seq: i64,
    joined_at: DateTime,
}

impl MemberDocument {
    pub fn new(room: &RoomId, user: &UserId, role: RoomRole, read: u64, now: Timestamp) -> Self {
        Self {
            room_id: room.clone(),
            user_id: user.clone(),
            role,
            read_seq: signed(read),
            joined_at: time(now),
        }
    }

    pub fn read(&self) -> u64 {
        self.read_seq.unsigned_abs()
    }

    pub fn stored(self, user: StoredUser) -> StoredMember {
        StoredMember {
            user,
            role: self.role,
            read_seq: self.read(),
            joined_at: timestamp(self.joined_at),
        }
    }
}

/// A `seq` as it is stored; the largest of the protocol is far below the bound.
pub fn signed(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

/// A user's membership in a room, found by the user.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MembershipDocument {
    pub user_id: UserId,
    pub room_id: RoomId,
}

/// One member of a room, as a filter.
pub fn member(room: &RoomId, user: &UserId) -> Document {
    doc! { "roomId": room.as_str(), "userId": user.as_str() }
}
