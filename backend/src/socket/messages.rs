//! Events that write to a room's log. They are queued here, in the order sent, and are answered when durable.

use gateway::{Event, Handled};
use protocol::SendMessage;

use super::{ChatSession, read, refuse, reply};
use crate::chat::{change_message, mentions, send_message};

/// Reads the event and starts the rule; a refusal is answered at once.
macro_rules! start {
    ($session:expr, $event:expr, $rule:path) => {{
        let request = read(&$event);
        let ack = $event.into_ack();
        match request {
            Ok(request) => $rule(&$session.app.chat, &$session.actor, request, |result| {
                reply(ack, result)
            }),
            Err(error) => refuse(ack, error),
        }
        None
    }};
}

/// Waits before it is queued only if it mentions somebody.
pub(super) fn send(session: &ChatSession, event: Event) -> Handled {
    let request = read::<SendMessage>(&event);
    let ack = event.into_ack();
    match request {
        Ok(request) if mentions::has_any(&request) => {
            let (app, actor) = (session.app.clone(), session.actor.clone());
            Some(Box::pin(async move {
                let done = |result| reply(ack, result);
                send_message::start_with_mentions(&app.chat, &actor, request, done).await;
            }))
        }
        Ok(request) => {
            let done = |result| reply(ack, result);
            send_message::start(&session.app.chat, &session.actor, request, done);
            None
        }
        Err(error) => {
            refuse(ack, error);
            None
        }
    }
}

pub(super) fn edit(session: &ChatSession, event: Event) -> Handled {
    start!(session, event, change_message::edit)
}

pub(super) fn react(session: &ChatSession, event: Event) -> Handled {
    start!(session, event, change_message::react)
}

/// Waits for the actor's role before it is queued.
pub(super) fn delete(session: &ChatSession, event: Event) -> Handled {
    let request = read(&event);
    let ack = event.into_ack();
    match request {
        Ok(request) => {
            let (app, actor) = (session.app.clone(), session.actor.clone());
            Some(Box::pin(async move {
                change_message::delete(&app.chat, &actor, request, |result| reply(ack, result))
                    .await;
            }))
        }
        Err(error) => {
            refuse(ack, error);
            None
        }
    }
}
