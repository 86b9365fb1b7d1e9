//! Rooms that a client had before it reconnected: subscribed again, with what was missed first.

use std::{collections::BTreeMap, sync::Arc};

use gateway::Socket;
use protocol::{LostRoom, ResumePoint, ResumedRoom, RoomId, RoomResumed};

use super::ChatSession;
use crate::{
    chat::{
        access,
        room_feeds::{REPLAY_BYTES, Replay, Since},
        rooms,
        wire::frame,
    },
    error::AppError,
};

/// How far the client has each of its rooms.
pub(super) type Points = BTreeMap<RoomId, ResumePoint>;

/// Subscribes one room after the other. What all of them missed together is bounded like what one did: the client
/// pages what is beyond that, at its own pace.
pub(super) async fn resume(session: &Arc<ChatSession>, socket: &Socket, points: Points) {
    let mut bytes = REPLAY_BYTES;
    for (room, point) in points {
        if let Err(error) = resume_room(session, socket, &room, point, &mut bytes).await {
            let lost = RoomResumed::Lost(LostRoom {
                room_id: room,
                error: error.into_body(),
            });
            if let Some(frame) = frame(&lost) {
                socket.send(&frame);
            }
        }
    }
}

async fn resume_room(
    session: &Arc<ChatSession>,
    socket: &Socket,
    room: &RoomId,
    point: ResumePoint,
    bytes: &mut usize,
) -> Result<(), AppError> {
    let ChatSession { app, actor, .. } = &**session;
    let role = access::see(app, actor, room).await?.role;
    if role.is_none() {
        // Left, or kicked, meanwhile.
        return Err(AppError::not_found("room"));
    }
    let since = Since {
        seq: point.seq,
        epoch: point.epoch,
        bytes: *bytes,
    };
    let begin = |replay: Replay| {
        *bytes = bytes.saturating_sub(replay.bytes());
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
    rooms::subscribe(app, actor, socket, room, Some(since), begin).await
}
