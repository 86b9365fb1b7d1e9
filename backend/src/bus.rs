//! Delivery between instances.
//!
//! What happens on one instance and concerns clients of others goes over the bus: to the instances that have
//! subscribers of its topic, or to all of them. With the embedded back ends there are no others, and nothing is sent.
//!
//! What must stay true: nothing durable depends on a message of the bus. Whatever is lost on it is found again: events
//! of rooms by comparing with the log (`chat/room_repair.rs`), who may read a room by comparing with its members
//! (`chat/reconciliation.rs`), presence and revocations by reading them anew. So every loss has to be known: one on the
//! way here is told as an interruption, one of ours is told to the others (`losses.rs`). What nobody could know of, as
//! of an instance that died, is found by comparing from time to time.

mod control;
mod envelope;
mod link;
mod losses;
mod message;
mod receive;

pub use control::Control;
pub use envelope::BUS_VERSION;
pub use link::{BusStats, Interest, Link, Traffic};
pub use message::{Event, Message, Notice};

use crate::{
    app::App,
    chat::{topics, wire::frame},
};
use std::sync::atomic::Ordering;

use gateway::Frame;
use protocol::{ServerEvent, UserId};

/// The topic whose channel every instance listens to.
const EVERYBODY: &str = "all";

/// The way to the other instances, if there can be any.
pub struct Bus {
    link: Option<Link>,
}

impl Bus {
    /// The bus of a server that is alone.
    pub fn in_process() -> Self {
        Self { link: None }
    }

    /// The bus of a fleet.
    pub fn redis(link: Link) -> Self {
        Self { link: Some(link) }
    }

    /// The connection to the others.
    pub fn link(&self) -> Option<&Link> {
        self.link.as_ref()
    }

    /// Messages may have been lost on their way here.
    fn count_interruption(&self) {
        if let Some(link) = &self.link {
            link.stats().interruptions.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Sends `message` to the other instances with subscribers of `topic`. What becomes of it here is the caller's.
    pub fn send(&self, topic: &str, message: &Message<'_>) {
        if let Some(link) = &self.link {
            link.send(topic, message);
        }
    }

    /// Wants what other instances send for `topic`, for as long as the interest lives.
    pub fn want(&self, topic: &str) -> Option<Interest> {
        Some(self.link.as_ref()?.want(topic))
    }

    /// Waits a moment until what was sent is on its way.
    pub async fn settle(&self) {
        if let Some(link) = &self.link {
            link.settle().await;
        }
    }
}

/// Publishes a server event to all subscribers of a topic, on every instance.
pub fn publish<T: ServerEvent>(app: &App, topic: &str, event: &T) {
    if let Some(frame) = frame(event) {
        publish_frame(app, topic, T::NAME, &frame);
    }
}

/// As [`publish`], for what is told at most once: it is the first to go when a client reads too slowly.
pub fn publish_volatile<T: ServerEvent>(app: &App, topic: &str, event: &T) {
    if let Some(frame) = frame(event) {
        publish_frame(app, topic, T::NAME, &frame.volatile());
    }
}

/// As [`publish`], for a frame of the namespace `/` with the event `name`.
pub fn publish_frame(app: &App, topic: &str, name: &str, frame: &Frame) {
    app.hub.publish(topic, frame);
    app.bus.send(topic, &notice(name, frame, None));
}

/// As [`publish`], to those subscribers of `topic` that aren't connections of `user`.
pub fn publish_unless_user<T: ServerEvent>(app: &App, topic: &str, user: &UserId, event: &T) {
    if let Some(frame) = frame(event) {
        receive::deliver_unless(app, topic, &topics::user(user), &frame);
        let unless = topics::user(user);
        app.bus.send(topic, &notice(T::NAME, &frame, Some(&unless)));
    }
}

/// Sends a server event to all connections of a user that don't subscribe to `unless`, on every instance.
pub fn publish_to_user<T: ServerEvent>(app: &App, user: &UserId, unless: Option<&str>, event: &T) {
    if let Some(frame) = frame(event) {
        app.user_sockets.send(user, unless, &frame);
        app.bus
            .send(&topics::user(user), &notice(T::NAME, &frame, unless));
    }
}

/// As [`publish_to_user`], for what is the first to go when a client reads too slowly.
pub fn publish_to_user_volatile<T: ServerEvent>(app: &App, user: &UserId, event: &T) {
    if let Some(frame) = frame(event) {
        let frame = frame.volatile();
        app.user_sockets.send(user, None, &frame);
        app.bus
            .send(&topics::user(user), &notice(T::NAME, &frame, None));
    }
}

fn notice<'a>(name: &'a str, frame: &'a Frame, unless: Option<&'a str>) -> Message<'a> {
    Message::Notice(Notice {
        namespace: "/",
        name,
        arguments: frame.arguments().unwrap_or_default(),
        volatile: frame.is_volatile(),
        unless,
    })
}

/// Makes a change felt on every instance: here before this returns, elsewhere as soon as they hear of it.
pub fn tell_everybody(app: &App, control: Control) {
    app.bus.send(EVERYBODY, &Message::Control(control.clone()));
    control.apply(app);
}
