//! Sending a message: one durable append, its answer, and its publication, in this order.

use std::time::Instant;

use protocol::{ErrorBody, ErrorCode, MessageSent, SendMessage};
use storage::{Appended, Change, NewEntry, Occurrence, StoreError};

use super::{access, mentions, wire};
use crate::{actor::Actor, app::SharedApp, error::AppError};

/// Takes the message's place in the room's log and returns; `done` is called once that is durable, before anybody
/// else sees the message, or with the reason why it isn't.
pub fn start(
    app: &SharedApp,
    actor: &Actor,
    request: SendMessage,
    done: impl FnOnce(Result<MessageSent, AppError>) + Send + 'static,
) {
    let entry = NewEntry {
        room_id: request.room_id,
        actor: actor.user_id.clone(),
        change: Change::Send {
            client_id: Some(request.client_id),
            body: request.body,
            reply_to: request.reply_to,
            mentions: request.mentions,
        },
    };
    append(app, actor, entry, |result| {
        done(result.and_then(|appended| {
            let Occurrence::Sent(message) = &appended.event.occurrence else {
                return Err(AppError::internal(
                    "a sent message was stored as something else",
                ));
            };
            Ok(MessageSent {
                message: wire::message(message.clone(), Some(&message.sender.id)),
                duplicate: !appended.recorded,
            })
        }));
    });
}

/// As [`start`], once it is known whom the message calls, which takes a look at the room's members.
pub async fn start_calling(
    app: &SharedApp,
    actor: &Actor,
    mut request: SendMessage,
    done: impl FnOnce(Result<MessageSent, AppError>) + Send + 'static,
) {
    match mentions::decide(&app.store, &mut request).await {
        Ok(()) => start(app, actor, request, done),
        Err(error) => done(Err(error.into())),
    }
}

/// As [`start_calling`], and waits.
///
/// # Errors
/// `not_found` for a room that the actor may not see, `forbidden` for one that the actor isn't in or where a block
/// stands between the two, `invalid` for a `replyTo` that isn't a message, `unavailable` if it isn't known to be
/// durable: the same `clientId` again is safe.
pub async fn send(
    app: &SharedApp,
    actor: &Actor,
    request: SendMessage,
) -> Result<MessageSent, AppError> {
    let (sender, answer) = tokio::sync::oneshot::channel();
    start_calling(app, actor, request, |result| {
        // The one who asked may have gone; the message stays.
        drop(sender.send(result));
    })
    .await;
    answer.await.map_err(AppError::internal)?
}

/// Appends to a room's log; `done` learns the result on the room's lane, and then the room does.
pub(super) fn append(
    app: &SharedApp,
    actor: &Actor,
    entry: NewEntry,
    done: impl FnOnce(Result<&Appended, AppError>) + Send + 'static,
) {
    let Some(place) = app.fan_out.reserve(&entry.room_id, entry.bytes()) else {
        let message = "too much waits to be published; try again";
        let busy = ErrorBody::new(ErrorCode::Unavailable, message).retry_after_ms(1_000);
        return done(Err(busy.into()));
    };
    let room = entry.room_id.clone();
    let begun = Instant::now();
    let (app_done, actor) = (app.clone(), actor.clone());
    let completed = move |result: Result<Appended, StoreError>| {
        let app = app_done;
        place.hand_over(move || match result {
            Ok(appended) => {
                done(Ok(&appended));
                if appended.recorded {
                    publish(&app, &actor, appended);
                    app.metrics.delivered(begun.elapsed());
                }
            }
            // Saying why needs another look at the room, for which the lane can't wait.
            Err(StoreError::NotFound) => {
                let explaining = async move {
                    done(Err(access::explain(
                        &app,
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
    app.store.append(entry, completed);
}

fn publish(app: &SharedApp, actor: &Actor, appended: Appended) {
    let (room, seq) = (appended.event.room_id.clone(), appended.event.seq);
    app.feeds.publish(app, appended.event, actor);
    app.unread_notices.news(&room, seq);
}
