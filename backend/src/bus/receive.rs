//! What other instances said, done here.

use std::collections::HashSet;

use gateway::{Frame, Socket};

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
            match (topics::user_of(topic), notice.unless) {
                (Some(user), unless) => app.user_sockets.send(&user, unless, &frame),
                (None, Some(unless)) => deliver_unless(app, topic, unless, &frame),
                (None, None) => drop(app.hub.publish(topic, &frame)),
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
        Message::Lost { all } => {
            app.bus.count_interruption();
            interrupted(app, (!all).then(|| vec![topic]));
        }
        Message::Control(control) => control.apply(app),
    }
}

/// Sends `frame` to the subscribers of `topic` that neither subscribe to `unless` nor are connections of the user of that
/// name.
pub(super) fn deliver_unless(app: &App, topic: &str, unless: &str, frame: &Frame) {
    let user = topics::user_of(unless);
    let sockets = user.map_or_else(Vec::new, |user| app.user_sockets.of_user(&user));
    let left_out: HashSet<_> = sockets.iter().map(Socket::token).collect();
    for socket in app.hub.sockets(topic) {
        if !left_out.contains(&socket.token()) && !socket.is_subscribed(unless) {
            socket.send(frame);
        }
    }
}

/// Messages of these topics, or of all, may have been lost. What that takes is only noted here, and done by others: the
/// lane that delivers goes on.
pub(super) fn interrupted(app: &SharedApp, topics: Option<Vec<&str>>) {
    match topics {
        None => {
            tracing::warn!("messages between instances may have been lost; everything is compared");
            app.feeds.doubts.add_all();
            Control::missed(app);
        }
        Some(topics) => {
            tracing::info!(
                topics = topics.len(),
                "messages between instances may have been lost"
            );
            app.feeds
                .doubts
                .add(topics.iter().filter_map(|topic| topics::room_of(topic)));
            if topics.iter().any(|topic| Control::come_on(topic)) {
                Control::missed(app);
            }
        }
    }
}
