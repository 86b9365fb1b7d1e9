//! Direct rooms between whose two a block stands: neither hears of the other there. The store refuses what would be
//! written; what is only told (typing, read receipts, presence) asks here.
//!
//! What must stay true: a server that is alone knows all of them, so that telling needs no I/O; one of a fleet asks its
//! store, which remembers for seconds and forgets when a block changes.

use dashmap::DashSet;
use protocol::{RoomId, UserId};
use storage::{MessageStore, StoreError};
use tokio::sync::Mutex;

use crate::{
    app::App,
    bus::{self, Control},
};

/// Rooms that a block closes.
pub struct BlockedRooms {
    /// Of a server that is alone: all of them.
    known: Option<DashSet<RoomId>>,
    /// Of two changes of one room the later one is noted last.
    changing: Mutex<()>,
}

impl BlockedRooms {
    /// Those of a fleet.
    pub fn of_fleet() -> Self {
        Self {
            known: None,
            changing: Mutex::default(),
        }
    }

    /// Those of a server that is alone.
    ///
    /// # Errors
    /// If they can't be read.
    pub async fn alone(store: &MessageStore) -> Result<Self, StoreError> {
        let known = store.blocked_rooms().await?.into_iter().collect();
        Ok(Self {
            known: Some(known),
            changing: Mutex::default(),
        })
    }

    /// Whether this is one of them.
    ///
    /// # Errors
    /// Those of the store, in a fleet.
    pub async fn contains(&self, store: &MessageStore, room: &RoomId) -> Result<bool, StoreError> {
        match &self.known {
            Some(known) => Ok(known.contains(room)),
            None => store.is_blocked_in(room).await,
        }
    }

    /// The same at once, on a server that is alone; no room is to one of a fleet.
    pub fn has(&self, room: &RoomId) -> bool {
        self.known
            .as_ref()
            .is_some_and(|known| known.contains(room))
    }
}

/// A block between two users came or went: their direct room goes quiet, or comes to life again, on every instance.
///
/// # Errors
/// Those of the store; then the same once more makes up for it.
pub async fn block_changed(app: &App, one: &UserId, other: &UserId) -> Result<(), StoreError> {
    let Some(room) = app.store.direct_room_id(one, other).await? else {
        return Ok(());
    };
    let BlockedRooms { known, changing } = &app.blocked_rooms;
    let order = changing.lock().await;
    let is_blocked = app.store.is_blocked_in(&room).await?;
    if let Some(known) = known {
        let is_news = match is_blocked {
            true => known.insert(room.clone()),
            false => known.remove(&room).is_some(),
        };
        if is_news {
            app.presence.tell_all(app, &room, !is_blocked);
        }
    }
    drop(order);
    let changed = Control::RoomChanged {
        room,
        deleted: false,
    };
    bus::tell_everybody(app, changed);
    Ok(())
}
