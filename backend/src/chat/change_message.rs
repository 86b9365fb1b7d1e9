//! Edits, deletions and reactions: each an entry of the room's log that changes a message's present state.

use std::sync::Arc;

use protocol::{
    AttachmentId, ChangeAccepted, DeleteMessage, EditAccepted, EditMessage, ReactToMessage,
    RoomRole,
};
use storage::{Appended, Change, EventBody, NewEntry};

use super::{Chat, access, send_message::append};
use crate::{auth::actor::Actor, error::AppError, wire};

/// `message:edit`: one's own messages only. `done` is called when it is durable.
pub fn edit(
    chat: &Arc<Chat>,
    actor: &Actor,
    request: EditMessage,
    done: impl FnOnce(Result<EditAccepted, AppError>) + Send + 'static,
) {
    let change = Change::Edit {
        of: request.seq,
        body: request.body,
    };
    let (viewer, urls) = (actor.user_id.clone(), chat.urls.clone());
    append(
        chat,
        actor,
        entry(actor, request.room_id, change),
        move |result| {
            done(result.and_then(|appended| {
                let EventBody::Edited { message, .. } = &appended.event.body else {
                    return Err(AppError::internal("an edit was stored as something else"));
                };
                Ok(EditAccepted {
                    message: wire::message(message.clone(), Some(&viewer), &urls),
                    seq: appended.event.seq,
                })
            }));
        },
    );
}

/// `message:delete`: one's own messages, or anybody's as a moderator. Resolves when the deletion has its position in the
/// order of the connection's events; `done` is called when it is durable, and before it `removed` with what was attached, if
/// anything was.
pub async fn delete(
    chat: &Arc<Chat>,
    actor: &Actor,
    request: DeleteMessage,
    removed: impl FnOnce(Vec<AttachmentId>) + Send + 'static,
    done: impl FnOnce(Result<ChangeAccepted, AppError>) + Send + 'static,
) {
    let role = match access::member(chat, actor, &request.room_id).await {
        Ok(role) => role,
        Err(refusal) => return done(Err(refusal)),
    };
    let change = Change::Delete {
        of: request.seq,
        moderator: role >= RoomRole::Moderator,
    };
    append(
        chat,
        actor,
        entry(actor, request.room_id, change),
        |result| {
            if let Ok(appended) = &result
                && !appended.removed.is_empty()
            {
                removed(appended.removed.clone());
            }
            done(result.map(accepted));
        },
    );
}

/// `message:react`. `done` is called when it is durable.
pub fn react(
    chat: &Arc<Chat>,
    actor: &Actor,
    request: ReactToMessage,
    done: impl FnOnce(Result<ChangeAccepted, AppError>) + Send + 'static,
) {
    let change = Change::React {
        of: request.seq,
        emoji: request.emoji,
        on: request.on,
    };
    append(
        chat,
        actor,
        entry(actor, request.room_id, change),
        |result| done(result.map(accepted)),
    );
}

fn entry(actor: &Actor, room_id: protocol::RoomId, change: Change) -> NewEntry {
    NewEntry {
        room_id,
        actor: actor.user_id.clone(),
        change,
    }
}

fn accepted(appended: &Appended) -> ChangeAccepted {
    ChangeAccepted {
        seq: appended.event.seq,
    }
}
