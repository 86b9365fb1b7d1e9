//! Events that write to a room's log. They are queued here, in the order sent, and are answered when durable.

use gateway::Handled;
use protocol::SendMessage;

use super::{Asked, ChatSession, read, refuse, reply};
use crate::{
    chat::{change_message, mentions, send_message},
    media,
};

/// Reads the event and starts the rule; a refusal is answered at once.
macro_rules! start {
    ($session:expr, $asked:expr, $rule:path) => {{
        let request = read(&$asked);
        let ack = $asked.into_answer();
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
pub(super) fn send(session: &ChatSession, asked: Asked) -> Handled {
    let request = read::<SendMessage>(&asked);
    let ack = asked.into_answer();
    match request {
        // They have to be taken first.
        Ok(request) if !request.attachments.is_empty() => {
            let (app, actor) = (session.app.clone(), session.actor.clone());
            Some(Box::pin(async move {
                let done = |result| reply(ack, result);
                media::send(app.media.as_ref(), &actor, request, done).await;
            }))
        }
        Ok(request) if mentions::has_any(&request) => {
            let (app, actor) = (session.app.clone(), session.actor.clone());
            Some(Box::pin(async move {
                let done = |result| reply(ack, result);
                send_message::start_with_mentions(&app.chat, &actor, request, Vec::new(), done)
                    .await;
            }))
        }
        Ok(request) => {
            let done = |result| reply(ack, result);
            send_message::start(&session.app.chat, &session.actor, request, Vec::new(), done);
            None
        }
        Err(error) => {
            refuse(ack, error);
            None
        }
    }
}

pub(super) fn edit(session: &ChatSession, asked: Asked) -> Handled {
    start!(session, asked, change_message::edit)
}

pub(super) fn react(session: &ChatSession, asked: Asked) -> Handled {
    start!(session, asked, change_message::react)
}

/// Waits for the actor's role before it is queued.
pub(super) fn delete(session: &ChatSession, asked: Asked) -> Handled {
    let request = read(&asked);
    let ack = asked.into_answer();
    match request {
        Ok(request) => {
            let (app, actor) = (session.app.clone(), session.actor.clone());
            Some(Box::pin(async move {
                let done = |result| reply(ack, result);
                media::delete(app.media.as_ref(), &app.chat, &actor, request, done).await;
            }))
        }
        Err(error) => {
            refuse(ack, error);
            None
        }
    }
}
