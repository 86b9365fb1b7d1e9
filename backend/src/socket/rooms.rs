//! `room:create` and `room:join`: what subscribes the connection.

use std::sync::Arc;

use gateway::{Handled, Socket};
use protocol::{CreateRoom, JoinRoom, Room, RoomBody, UserId};
use serde::Serialize;

use super::{Answer, Asked, ChatSession, read, refuse, reply};
use crate::{
    chat::{replay::Replay, rooms},
    error::AppError,
};

pub(super) fn create(session: Arc<ChatSession>, socket: Socket, asked: Asked) -> Handled {
    let request: Result<CreateRoom, AppError> = read(&asked);
    let mut ack = asked.into_answer();
    Some(Box::pin(async move {
        let created = async {
            let ChatSession { app, actor, .. } = &*session;
            let room = rooms::create_and_join(&app.chat, actor, &socket, request?).await?;
            Ok(RoomBody { room })
        };
        let created = created.await;
        if let Ok(RoomBody { room }) = &created {
            ack.note(|record| record.set_target("room", room.id.as_str()));
        }
        reply(ack, created);
    }))
}

pub(super) fn join(session: Arc<ChatSession>, socket: Socket, asked: Asked) -> Handled {
    let request: Result<JoinRoom, AppError> = read(&asked);
    let ack = asked.into_answer();
    match request {
        Err(error) => {
            refuse(ack, error);
            None
        }
        Ok(request) => Some(Box::pin(async move {
            let ChatSession { app, actor, .. } = &*session;
            let since = request.since.map(|seq| (seq, request.epoch));
            // The answer is sent under the feed's lock, ahead of every later event; a refusal afterwards.
            let mut ack = Some(ack);
            let begin = |room: Room, replay: Replay, is_new_member: bool| {
                if let Some(mut ack) = ack.take() {
                    if !is_new_member {
                        ack.changed_nothing();
                    }
                    send_joined(ack, &room, &replay, &actor.user_id);
                }
            };
            let joined =
                rooms::join(&app.chat, actor, &socket, &request.room_id, since, begin).await;
            if let (Err(error), Some(ack)) = (joined, ack) {
                refuse(ack, error);
            }
        })),
    }
}

/// The ack of `room:join`. The missed events are copied from their frames, which may be those of a whole crowd.
fn send_joined(ack: Answer, room: &Room, replay: &Replay, viewer: &UserId) {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Joined<'a> {
        ok: bool,
        room: &'a Room,
        head_seq: u64,
        complete: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        reset: Option<bool>,
    }
    let joined = Joined {
        ok: true,
        room,
        head_seq: replay.head_seq,
        complete: replay.complete,
        reset: replay.reset.then_some(true),
    };
    match serde_json::to_string(&joined) {
        Ok(mut json) => {
            json.pop();
            json.push_str(",\"missed\":[");
            for (index, event) in replay.events.iter().enumerate() {
                if index > 0 {
                    json.push(',');
                }
                event.write_json_for(viewer, &mut json);
            }
            json.push_str("]}");
            if let Some(ack) = ack.done() {
                ack.send_json(json, Vec::new());
            }
        }
        Err(error) => refuse(ack, AppError::internal(error)),
    }
}
