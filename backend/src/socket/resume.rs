//! Rooms that a client had before it reconnected: subscribed again, with what was missed first.
//!
//! A crowd may come back at once. Its connections take turns, and wait for theirs; what the store can't say now is asked
//! again. Only a room that the store says is lost is told to be; what isn't known in time ends the connection, so that its
//! client comes back.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use gateway::{CloseReason, Socket};
use protocol::{ErrorCode, LostRoom, ResumePoint, ResumedRoom, RoomId, RoomResumed};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep, timeout_at},
};

use super::ChatSession;
use crate::{
    chat::{
        removals::Moment,
        room_feeds::{REPLAY_BYTES, Replay, Since},
        rooms::{self, Entry},
        wire::frame,
    },
    error::AppError,
};

/// How far the client has each of its rooms.
pub(super) type Points = BTreeMap<RoomId, ResumePoint>;

/// Connections that resume at once: enough to keep the store busy, and few enough that others who ask it don't wait
/// behind a crowd.
const AT_ONCE: usize = 32;

/// How long a connection waits for its rooms, in all.
const PATIENCE: Duration = Duration::from_secs(60);

/// Before a room that the store couldn't say anything of is asked for again; longer each time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The turns of connections that resume.
pub struct Turns(Semaphore);

impl Default for Turns {
    fn default() -> Self {
        Self(Semaphore::new(AT_ONCE))
    }
}

/// Subscribes one room after the other. What all of them missed together is bounded like what one did: the client
/// pages what is beyond that, at its own pace.
pub(super) async fn resume(session: &Arc<ChatSession>, socket: &Socket, mut points: Points) {
    let turns = &session.app.resuming.0;
    let deadline = Instant::now() + PATIENCE;
    let mut bytes = REPLAY_BYTES;
    let mut pause = FIRST_PAUSE;
    loop {
        let Ok(Ok(turn)) = timeout_at(deadline, turns.acquire()).await else {
            break;
        };
        // Its state takes 20 KB: only those whose turn it is have one.
        points = Box::pin(pass(session, socket, points, &mut bytes)).await;
        drop(turn);
        if points.is_empty() {
            return;
        }
        if Instant::now() + pause > deadline {
            break;
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    tracing::debug!(rooms = points.len(), "rooms couldn't be resumed in time");
    socket.close(CloseReason::TryLater);
}

/// Takes each room once; returns those of which nothing is known now.
async fn pass(
    session: &Arc<ChatSession>,
    socket: &Socket,
    points: Points,
    bytes: &mut usize,
) -> Points {
    let ChatSession { app, actor, .. } = &**session;
    let seen = app.removals.now();
    let rooms: Vec<RoomId> = points.keys().cloned().collect();
    let memberships = match app.store.memberships(&actor.user_id, &rooms).await {
        Ok(memberships) => memberships,
        Err(error) => {
            let error = AppError::from(error);
            if error.code() == ErrorCode::Unavailable {
                return points;
            }
            for room in rooms {
                lost(socket, room, &error);
            }
            return Points::new();
        }
    };
    let mut unknown = Points::new();
    for ((room, point), membership) in points.into_iter().zip(memberships) {
        let resumed = match membership {
            Some(membership) if membership.role.is_some() => {
                resume_room(session, socket, seen, &room, point.clone(), bytes).await
            }
            // Left, or kicked, meanwhile; or there is no such room.
            _ => Err(AppError::not_found("room")),
        };
        match resumed {
            Ok(()) => {}
            Err(error) if error.code() == ErrorCode::Unavailable => {
                unknown.insert(room, point);
            }
            Err(error) => lost(socket, room, &error),
        }
    }
    unknown
}

fn lost(socket: &Socket, room_id: RoomId, error: &AppError) {
    let error = error.body().clone();
    if let Some(frame) = frame(&RoomResumed::Lost(LostRoom { room_id, error })) {
        socket.send(&frame);
    }
}

async fn resume_room(
    session: &Arc<ChatSession>,
    socket: &Socket,
    seen: Moment,
    room: &RoomId,
    point: ResumePoint,
    bytes: &mut usize,
) -> Result<(), AppError> {
    let ChatSession { app, actor, .. } = &**session;
    let since = Since {
        seq: point.seq,
        epoch: point.epoch,
        bytes: *bytes,
    };
    let begin = |replay: Replay| {
        *bytes = bytes.saturating_sub(replay.bytes(&actor.user_id));
        for event in &replay.events {
            socket.send(event.frame_for(&actor.user_id));
        }
        let resumed = RoomResumed::Resumed(ResumedRoom {
            room_id: room.clone(),
            head_seq: replay.head_seq,
            complete: replay.complete,
            reset: replay.reset.then_some(true),
        });
        if let Some(frame) = frame(&resumed) {
            socket.send(&frame);
        }
    };
    let entry = Entry {
        socket,
        reserved: None,
        seen,
        joins: false,
    };
    rooms::subscribe(app, actor, entry, room, Some(since), begin).await
}
