//! Direct rooms whose two users are separated by a block: neither hears of the other there. The store refuses what would
//! be written; what is only sent (typing, read receipts, presence) is checked here.
//!
//! What must stay true: a single instance knows all of them, so that sending needs no I/O. An instance of a fleet asks the
//! store, which remembers for seconds and forgets when a block changes.

use dashmap::DashSet;
use protocol::RoomId;
use storage::{MessageStore, StoreError};
use tokio::sync::Mutex;

/// Rooms closed by a block.
pub struct BlockedRooms {
    store: MessageStore,
    /// Of a single instance: all of them.
    known: Option<DashSet<RoomId>>,
    /// Of two changes of one room the later one is applied last.
    changing: Mutex<()>,
}

/// How a room changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockChange {
    /// It is closed now.
    Closed,
    /// It is open again.
    Opened,
    /// It stays as it was, or that isn't known here.
    Unknown,
}

impl BlockedRooms {
    /// Those of a fleet.
    pub fn of_fleet(store: MessageStore) -> Self {
        Self {
            store,
            known: None,
            changing: Mutex::default(),
        }
    }

    /// Those of a single instance.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn load(store: MessageStore) -> Result<Self, StoreError> {
        let known = store.blocked_rooms().await?.into_iter().collect();
        Ok(Self {
            store,
            known: Some(known),
            changing: Mutex::default(),
        })
    }

    /// True if the room is closed.
    ///
    /// # Errors
    /// Those of the store, in a fleet.
    pub async fn contains(&self, room: &RoomId) -> Result<bool, StoreError> {
        match &self.known {
            Some(known) => Ok(known.contains(room)),
            None => self.store.is_blocked_in(room).await,
        }
    }

    /// As [`BlockedRooms::contains`], at once: of a single instance. False in a fleet.
    pub fn has(&self, room: &RoomId) -> bool {
        self.known
            .as_ref()
            .is_some_and(|known| known.contains(room))
    }

    /// Reads again whether the room is closed, and calls `then` with the change before the next one can be applied.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn reload(
        &self,
        room: &RoomId,
        then: impl FnOnce(BlockChange),
    ) -> Result<(), StoreError> {
        let _order = self.changing.lock().await;
        let is_closed = self.store.is_blocked_in(room).await?;
        then(match &self.known {
            Some(known) if is_closed && known.insert(room.clone()) => BlockChange::Closed,
            Some(known) if !is_closed && known.remove(room).is_some() => BlockChange::Opened,
            _ => BlockChange::Unknown,
        });
        Ok(())
    }
}
