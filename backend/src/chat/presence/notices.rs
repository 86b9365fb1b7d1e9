//! What subscribers on this instance are sent about who is online.

use std::time::Duration;

use gateway::Hub;
use protocol::{PresenceChanged, PresenceCount, RoomId, UserId};

use crate::{topics, wire::frame};

/// How often counts of large rooms are sent.
pub(super) const COUNT_EVERY: Duration = Duration::from_secs(2);

/// Sends presence events to the subscribers on this instance.
#[derive(Clone)]
pub(super) struct PresenceNotices(Hub);

impl PresenceNotices {
    pub(super) fn new(hub: Hub) -> Self {
        Self(hub)
    }

    /// A user came online in a room, or went offline.
    pub(super) fn user(&self, room: &RoomId, user: &UserId, online: bool) {
        let changed = PresenceChanged {
            room_id: room.clone(),
            user_id: user.clone(),
            online,
        };
        if let Some(frame) = frame(&changed) {
            self.0.publish(&topics::room(room), &frame.volatile());
        }
    }

    /// The number of users who are online in a room changed.
    pub(super) fn count(&self, room: &RoomId, count: u64) {
        let counted = PresenceCount {
            room_id: room.clone(),
            count,
        };
        if let Some(frame) = frame(&counted) {
            self.0.publish(&topics::room(room), &frame.volatile());
        }
    }
}
