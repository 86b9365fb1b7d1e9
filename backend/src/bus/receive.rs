//! What other instances said, done here.

use gateway::Frame;

use super::{
    Control,
    message::{Malformed, Message, Notice},
};
use crate::{
    app::{App, SharedApp},
    chat::{room_feed::FeedEvent, topics},
};

/// Does what the messages of an envelope say, in their order.
pub(super) fn all(app: &SharedApp, topic: &str, mut messages: &[u8]) -> Result<(), Malformed> {
    while !messages.is_empty() {
        match Message::read(&mut messages)? {
            Some(message) => one(app, topic, message),
            None => tracing::debug!("a newer instance says something unknown"),
        }
    }
    Ok(())
}

fn one(app: &SharedApp, topic: &str, message: Message<'_>) {
    match message {
        Message::Event(event) => {
            if let Some(room) = topics::room_of(topic) {
                app.feeds.release(app, &room, FeedEvent::received(&event));
            }
        }
        Message::Notice(notice) => {
            let Notice {
                namespace,
                name,
                arguments,
                ..
            } = notice;
            let mut frame = Frame::event_from_json(namespace, name, arguments, Vec::new());
            if notice.volatile {
                frame = frame.volatile();
            }
            match notice.unless {
                Some(unless) => deliver_unless(app, topic, unless, &frame),
                None => drop(app.hub.publish(topic, &frame)),
            }
        }
        Message::Unread { room, head_seq } => {
            if let Some(user) = topics::user_of(topic) {
                app.unread_notices.note(&room, &user, head_seq);
            }
        }
        Message::Presence => {
            if let Some(room) = topics::room_of(topic) {
                app.presence.changed_elsewhere(&room);
            }
        }
        Message::Control(control) => control.apply(app),
    }
}

/// Sends `frame` to the subscribers of `topic` that don't subscribe to `unless`.
pub(super) fn deliver_unless(app: &App, topic: &str, unless: &str, frame: &Frame) {
    for socket in app.hub.sockets(topic) {
        if !socket.is_subscribed(unless) {
            socket.send(frame);
        }
    }
}

/// Messages of these topics, or of all, may have been lost.
pub(super) async fn interrupted(app: &SharedApp, topics: Option<Vec<&str>>) {
    match topics {
        None => {
            tracing::warn!("messages between instances may have been lost; everything is compared");
            app.feeds.doubt_all(app);
            app.presence.doubt_all();
            Control::missed(app).await;
        }
        Some(topics) => {
            tracing::info!(
                topics = topics.len(),
                "messages between instances may have been lost"
            );
            for room in topics.iter().filter_map(|topic| topics::room_of(topic)) {
                app.feeds.doubt(app, &room);
                app.presence.changed_elsewhere(&room);
            }
            if topics.iter().any(|topic| Control::come_on(topic)) {
                Control::missed(app).await;
            }
        }
    }
}
