//! The logs of the embedded store, in which each room has its own. Which have gone on is known by this process, the only
//! one that writes; what it didn't get to before it ended is found at its start.

use std::{collections::HashMap, time::Duration};

use protocol::{RoomId, Timestamp};
use storage::{
    CursorStore, EXCERPT_MAX, EventBody, FollowedBody, FollowedEntry, FollowedMessage, Lease,
    Statement, StoreError, StoredEvent,
};

use super::Notifications;
use crate::chat::news::WrittenRooms;

/// The cursor.
const LOG: &str = "notifications";

/// Entries of one read.
const ENTRIES: u32 = 200;

/// After a failure.
const PAUSE: Duration = Duration::from_secs(1);

/// There is one process, so nobody waits for the end of a lease.
const LEASE: Duration = Duration::from_secs(60);

/// Statements of one transaction.
const AT_ONCE: usize = 500;

/// How far each room was read.
type Cursors = HashMap<RoomId, u64>;

/// Derives notifications, for ever.
pub(super) async fn run(notifications: &Notifications) {
    let mut cursors = loop {
        match start(notifications).await {
            Ok(cursors) => break cursors,
            Err(error) => failed(notifications, &error).await,
        }
    };
    let mut written = WrittenRooms::All;
    loop {
        while let Err(error) = catch_up(notifications, &mut cursors, &written).await {
            failed(notifications, &error).await;
        }
        written = notifications.news.written_rooms().await;
    }
}

async fn failed(notifications: &Notifications, error: &StoreError) {
    notifications.counts.failed();
    tracing::warn!(%error, "notifications wait");
    tokio::time::sleep(PAUSE).await;
}

/// How far each room was read. At the very first start that is to its end: nobody is told of years.
async fn start(notifications: &Notifications) -> Result<Cursors, StoreError> {
    let store = &notifications.cursors;
    let holder = &notifications.holder;
    // Of a process that ended without giving it back, the lease is nobody's.
    let lease = store
        .lease(LOG, holder, far_future(), Duration::ZERO)
        .await?
        .ok_or_else(lost_lease)?;
    if lease.position.is_none() {
        let heads = notifications.store.all_heads().await?;
        for rooms in heads.chunks(AT_ONCE) {
            let notes = rooms
                .iter()
                .map(|(room, head)| CursorStore::note_room(room, *head));
            store.sql().write(None, notes.collect()).await?;
        }
        begin(notifications, &lease).await?;
        return Ok(heads.into_iter().collect());
    }
    let mut cursors = Cursors::new();
    let mut after = String::new();
    loop {
        let rooms = store.rooms(&after).await?;
        let Some((last, _)) = rooms.last() else {
            return Ok(cursors);
        };
        after = last.as_str().to_owned();
        cursors.extend(rooms);
    }
}

fn far_future() -> Timestamp {
    Timestamp::from_unix_ms(i64::MAX)
}

fn lost_lease() -> StoreError {
    StoreError::Unavailable(std::sync::Arc::new(std::io::Error::other(
        "somebody else derives notifications",
    )))
}

async fn begin(notifications: &Notifications, lease: &Lease) -> Result<(), StoreError> {
    let advance = lease.advance("begun", Timestamp::now(), LEASE);
    notifications
        .cursors
        .sql()
        .write(None, vec![advance])
        .await?;
    Ok(())
}

async fn catch_up(
    notifications: &Notifications,
    cursors: &mut Cursors,
    written: &WrittenRooms,
) -> Result<(), StoreError> {
    let all;
    let rooms = match written {
        WrittenRooms::Some(rooms) => rooms,
        WrittenRooms::All => {
            all = notifications.store.all_heads().await?;
            &all
        }
    };
    for (room, head) in rooms {
        while cursors.get(room).copied().unwrap_or(0) < *head {
            let from = cursors.get(room).copied().unwrap_or(0);
            match read(notifications, room, from).await? {
                Some(to) => drop(cursors.insert(room.clone(), to)),
                None => break,
            }
        }
    }
    Ok(())
}

/// Derives what follows from the next entries of a room, and returns up to where.
async fn read(
    notifications: &Notifications,
    room: &RoomId,
    from: u64,
) -> Result<Option<u64>, StoreError> {
    let page = notifications
        .store
        .events(room, from, u64::MAX, ENTRIES, None)
        .await;
    let events = match page {
        Ok(page) => page.items,
        // Deleted meanwhile.
        Err(StoreError::NotFound) => return Ok(None),
        Err(error) => return Err(error),
    };
    let Some(to) = events.last().map(|event| event.seq) else {
        return Ok(None);
    };
    let entries: Vec<_> = events.into_iter().filter_map(followed).collect();
    let note: Statement = CursorStore::note_room(room, to);
    notifications.add(&entries, vec![note]).await?;
    Ok(Some(to))
}

fn followed(event: StoredEvent) -> Option<FollowedEntry> {
    let body = match event.body {
        EventBody::Sent(message) if message.deleted_at.is_none() => {
            FollowedBody::Message(FollowedMessage {
                sender_id: message.sender.id,
                excerpt: message.body.chars().take(EXCERPT_MAX).collect(),
                at: message.at,
                reply_to: message.reply_to,
                mentions: message.mentions,
            })
        }
        EventBody::Deleted { of } => FollowedBody::Deleted(of),
        _ => return None,
    };
    Some(FollowedEntry {
        room_id: event.room_id,
        seq: event.seq,
        body,
    })
}
