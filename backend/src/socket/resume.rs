//! Resuming: a client that reconnects is subscribed again to the rooms that it had, and sent what it missed first.
//!
//! A crowd may reconnect at once. Its connections wait for a permit; what the store can't answer now is asked again. A room
//! is reported as lost only on a definite answer of the store. What isn't known in time closes the connection, so that its
//! client tries again.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use gateway::{CloseReason, Socket};
use protocol::{ErrorCode, LostRoom, ResumePoint, ResumedRoom, RoomId, RoomResumed};
use tokio::time::{Instant, sleep, timeout_at};

use super::ChatSession;
use crate::{
    chat::{
        removals::RemovalMark,
        replay::{REPLAY_BYTES, Replay, Since},
        rooms,
        subscriptions::Reserved,
    },
    error::AppError,
    wire::frame,
};

/// The point up to which the client has each of its rooms.
pub(super) type Points = BTreeMap<RoomId, ResumePoint>;

/// Connections that resume at once: enough to keep the store busy, and few enough that other reads don't wait behind a
/// crowd.
pub const RESUMING: usize = 32;

/// How long resuming may take, in all.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The pause before rooms that the store couldn't read are asked for again; longer each time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Subscribes one room after the other. What all of them missed together is bounded like what one did: the client
/// pages what is beyond that, at its own pace.
pub(super) async fn resume(session: &Arc<ChatSession>, socket: &Socket, mut points: Points) {
    let deadline = Instant::now() + TIMEOUT;
    let mut bytes = REPLAY_BYTES;
    let mut pause = FIRST_PAUSE;
    loop {
        let acquiring = session.app.resuming.acquire();
        let Ok(Ok(permit)) = timeout_at(deadline, acquiring).await else {
            break;
        };
        // Its future takes 20 KB: only connections with a permit have one.
        points = Box::pin(pass(session, socket, points, &mut bytes)).await;
        drop(permit);
        if points.is_empty() {
            return;
        }
        if Instant::now() + pause > deadline {
            break;
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    tracing::debug!(
        rooms = points.len(),
        "some rooms couldn't be resumed in time"
    );
    socket.close(CloseReason::TryLater);
}

/// Tries each room once; returns those that couldn't be read.
async fn pass(
    session: &Arc<ChatSession>,
    socket: &Socket,
    points: Points,
    bytes: &mut usize,
) -> Points {
    let ChatSession { app, actor, .. } = &**session;
    let mark = app.chat.mark();
    let rooms: Vec<RoomId> = points.keys().cloned().collect();
    let memberships = match app.chat.memberships(&actor.user_id, &rooms).await {
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
                resume_room(session, socket, mark, &room, point.clone(), bytes).await
            }
            // No longer a member, or the room was deleted.
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
    mark: RemovalMark,
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
    let reserved = Reserved::since(mark);
    rooms::subscribe(&app.chat, actor, socket, reserved, room, Some(since), begin).await
}
