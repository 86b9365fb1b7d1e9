//! Sending a message: one durable append, its answer, and its publication, in this order.

use std::{sync::Arc, time::Instant};

use protocol::{ErrorBody, ErrorCode, MessageSent, SendMessage, UserId};
use storage::{Appended, Change, EventBody, NewEntry, StoreError, StoredAttachment};

use super::{Chat, access, mentions};
use crate::{auth::actor::Actor, error::AppError, wire};

/// Queues the message for the room's log and returns; `attachments` are those that it asks for. `done` is called once it is durable, before anybody else sees the
/// message, or with the reason why it isn't.
pub fn start(
    chat: &Arc<Chat>,
    actor: &Actor,
    request: SendMessage,
    attachments: Vec<StoredAttachment>,
    done: impl FnOnce(Result<MessageSent, AppError>) + Send + 'static,
) {
    let urls = chat.urls.clone();
    let entry = NewEntry {
        room_id: request.room_id,
        actor: actor.user_id.clone(),
        change: Change::Send {
            client_id: Some(request.client_id),
            body: request.body,
            reply_to: request.reply_to,
            mentions: request.mentions,
            attachments,
        },
    };
    append(chat, actor, entry, move |result| {
        done(result.and_then(|appended| {
            let EventBody::Sent(message) = &appended.event.body else {
                return Err(AppError::internal(
                    "a sent message was stored as something else",
                ));
            };
            Ok(MessageSent {
                message: wire::message(message.clone(), Some(&message.sender.id), &urls),
                duplicate: !appended.recorded,
            })
        }));
    });
}

/// As [`start`], after the mentions were decided, which reads the room's members.
pub async fn start_with_mentions(
    chat: &Arc<Chat>,
    actor: &Actor,
    mut request: SendMessage,
    attachments: Vec<StoredAttachment>,
    done: impl FnOnce(Result<MessageSent, AppError>) + Send + 'static,
) {
    match mentions::decide(&chat.store, &mut request).await {
        Ok(()) => start(chat, actor, request, attachments, done),
        Err(error) => done(Err(error.into())),
    }
}

/// As [`start_with_mentions`], and waits.
///
/// # Errors
/// `not_found` for a room that the actor may not see, `forbidden` for one that the actor isn't a member of or where
/// a block separates the two, `invalid` for a `replyTo` that isn't a message, `unavailable` if it isn't known to be
/// durable: the same `clientId` again is safe.
pub async fn send(
    chat: &Arc<Chat>,
    actor: &Actor,
    request: SendMessage,
    attachments: Vec<StoredAttachment>,
) -> Result<MessageSent, AppError> {
    let (sender, answer) = tokio::sync::oneshot::channel();
    start_with_mentions(chat, actor, request, attachments, |result| {
        // The one who asked may have gone; the message stays.
        drop(sender.send(result));
    })
    .await;
    answer.await.map_err(AppError::internal)?
}

/// Appends to a room's log. `done` gets the result on the room's queue, then the room does.
pub(super) fn append(
    chat: &Arc<Chat>,
    actor: &Actor,
    entry: NewEntry,
    done: impl FnOnce(Result<&Appended, AppError>) + Send + 'static,
) {
    let Some(permit) = chat.publish_queues.reserve(&entry.room_id, entry.bytes()) else {
        let message = "too much waits to be published; try again";
        let busy = ErrorBody::new(ErrorCode::Unavailable, message).retry_after_ms(1_000);
        return done(Err(busy.into()));
    };
    let room = entry.room_id.clone();
    let begun = Instant::now();
    let (chat_done, actor) = (chat.clone(), actor.clone());
    let completed = move |result: Result<Appended, StoreError>| {
        let chat = chat_done;
        permit.run(move || match result {
            Ok(appended) => {
                done(Ok(&appended));
                if appended.recorded {
                    publish(&chat, &actor.user_id, appended);
                    chat.delivery_seconds.record(begun.elapsed());
                }
            }
            // The reason takes another read of the room, for which the queue can't wait.
            Err(StoreError::NotFound) => {
                let explaining = async move {
                    done(Err(access::explain(
                        &chat,
                        &actor,
                        &room,
                        StoreError::NotFound,
                    )
                    .await));
                };
                match tokio::runtime::Handle::try_current() {
                    Ok(runtime) => drop(runtime.spawn(explaining)),
                    Err(_) => tracing::debug!("refused while shutting down"),
                }
            }
            Err(error) => done(Err(error.into())),
        });
    };
    chat.store.append(entry, completed);
}

/// Tells a room of what was recorded, in the order of its queue.
pub(super) fn publish(chat: &Chat, actor: &UserId, appended: Appended) {
    let (room, seq) = (appended.event.room_id.clone(), appended.event.seq);
    chat.feeds.publish(appended.event, actor);
    chat.unread_notices.record_event(&room, seq);
}
