//! Events to connected clients: to the subscribers of a topic or the connections of a user, on every instance.

pub mod user_sockets;

use std::{collections::HashSet, sync::Arc};

use gateway::{Frame, Hub, Socket};
use protocol::{ServerEvent, UserId};

use self::user_sockets::UserSockets;
use crate::{
    fleet::bus::{Bus, Kind, Lost, Malformed, Message, Reader, Receiver, Writer},
    topics,
    wire::{frame, frame_in},
};

/// Delivers server events that are in no log. Cloning shares it.
#[derive(Clone)]
pub struct Delivery {
    hub: Hub,
    bus: Arc<Bus>,
    user_sockets: Arc<UserSockets>,
}

/// An event for the subscribers of a topic, as instances send it to each other.
#[derive(PartialEq, Eq)]
pub struct TopicEvent<'a> {
    /// The namespace of its subscribers.
    pub namespace: &'a str,
    /// The event's name.
    pub name: &'a str,
    /// Its arguments as JSON.
    pub arguments: &'a str,
    /// True if it may be dropped for clients that read too slowly.
    pub volatile: bool,
    /// Subscribers of this topic don't get it.
    pub unless: Option<&'a str>,
}

/// Without the arguments, which must not reach a log.
impl std::fmt::Debug for TopicEvent<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TopicEvent({})", self.name)
    }
}

impl<'a> TopicEvent<'a> {
    fn of_frame(name: &'a str, frame: &'a Frame, unless: Option<&'a str>) -> Self {
        Self {
            namespace: "/",
            name,
            arguments: frame.arguments().unwrap_or_default(),
            volatile: frame.is_volatile(),
            unless,
        }
    }

    fn read(fields: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(Self {
            namespace: fields.text()?,
            name: fields.text()?,
            arguments: fields.text()?,
            volatile: fields.flag()?,
            unless: Some(fields.text()?).filter(|topic| !topic.is_empty()),
        })
    }

    fn frame(&self) -> Frame {
        let frame = Frame::event_from_json(self.namespace, self.name, self.arguments, Vec::new());
        if self.volatile {
            frame.volatile()
        } else {
            frame
        }
    }
}

impl Message for TopicEvent<'_> {
    fn kind(&self) -> Kind {
        Kind::TOPIC_EVENT
    }

    fn write(&self, fields: &mut Writer<'_>) {
        fields.text(self.namespace);
        fields.text(self.name);
        fields.text(self.arguments);
        fields.flag(self.volatile);
        fields.text(self.unless.unwrap_or_default());
    }
}

impl Delivery {
    /// Delivery to the topics of `hub`, to `user_sockets`, and over `bus` to those of other instances.
    pub fn new(hub: Hub, bus: Arc<Bus>, user_sockets: Arc<UserSockets>) -> Self {
        Self {
            hub,
            bus,
            user_sockets,
        }
    }

    /// Sends an event to the subscribers of a topic.
    pub fn to_topic<T: ServerEvent>(&self, topic: &str, event: &T) {
        if let Some(frame) = frame(event) {
            self.frame_to_topic(topic, T::NAME, &frame);
        }
    }

    /// As [`Delivery::to_topic`]; the event may be dropped for clients that read too slowly.
    pub fn to_topic_volatile<T: ServerEvent>(&self, topic: &str, event: &T) {
        if let Some(frame) = frame(event) {
            self.frame_to_topic(topic, T::NAME, &frame.volatile());
        }
    }

    fn frame_to_topic(&self, topic: &str, name: &str, frame: &Frame) {
        self.hub.publish(topic, frame);
        self.bus
            .send(topic, &TopicEvent::of_frame(name, frame, None));
    }

    /// As [`Delivery::to_topic`], to those subscribers that aren't connections of `user`.
    pub fn to_topic_except_user<T: ServerEvent>(&self, topic: &str, user: &UserId, event: &T) {
        if let Some(frame) = frame(event) {
            let unless = topics::user(user);
            self.to_topic_here(topic, &unless, &frame);
            let event = TopicEvent::of_frame(T::NAME, &frame, Some(&unless));
            self.bus.send(topic, &event);
        }
    }

    /// Sends an event to the connections of a user that don't subscribe to the topic `unless`.
    pub fn to_user<T: ServerEvent>(&self, user: &UserId, unless: Option<&str>, event: &T) {
        if let Some(frame) = frame(event) {
            self.frame_to_user(user, unless, T::NAME, &frame);
        }
    }

    /// As [`Delivery::to_user`]; the event may be dropped for clients that read too slowly.
    pub fn to_user_volatile<T: ServerEvent>(&self, user: &UserId, event: &T) {
        if let Some(frame) = frame(event) {
            self.frame_to_user(user, None, T::NAME, &frame.volatile());
        }
    }

    /// Sends an event to the connections of a user to the namespace `/notifications`.
    pub fn notify<T: ServerEvent>(&self, user: &UserId, event: &T) {
        if let Some(frame) = frame_in(topics::NOTIFICATIONS, event) {
            self.user_sockets.notify(user, &frame);
            let event = TopicEvent {
                namespace: topics::NOTIFICATIONS,
                ..TopicEvent::of_frame(T::NAME, &frame, None)
            };
            self.bus.send(&topics::user(user), &event);
        }
    }

    fn frame_to_user(&self, user: &UserId, unless: Option<&str>, name: &str, frame: &Frame) {
        self.user_sockets.send(user, unless, frame);
        let event = TopicEvent::of_frame(name, frame, unless);
        self.bus.send(&topics::user(user), &event);
    }

    /// Sends `frame` to the subscribers of `topic` here that neither subscribe to `unless` nor are connections of the user
    /// with that topic.
    fn to_topic_here(&self, topic: &str, unless: &str, frame: &Frame) {
        let user = topics::user_of(unless);
        let sockets = user.map_or_else(Vec::new, |user| self.user_sockets.of_user(&user));
        let excluded: HashSet<_> = sockets.iter().map(Socket::token).collect();
        for socket in self.hub.sockets(topic) {
            if !excluded.contains(&socket.token()) && !socket.is_subscribed(unless) {
                socket.send(frame);
            }
        }
    }
}

impl Receiver for Delivery {
    fn kinds(&self) -> &'static [Kind] {
        &[Kind::TOPIC_EVENT]
    }

    fn receive(&self, topic: &str, _: Kind, mut fields: Reader<'_>) -> Result<(), Malformed> {
        let event = TopicEvent::read(&mut fields)?;
        let frame = event.frame();
        match (topics::user_of(topic), event.unless) {
            (Some(user), _) if event.namespace == topics::NOTIFICATIONS => {
                self.user_sockets.notify(&user, &frame);
            }
            (Some(user), unless) => self.user_sockets.send(&user, unless, &frame),
            (None, Some(unless)) => self.to_topic_here(topic, unless, &frame),
            (None, None) => drop(self.hub.publish(topic, &frame)),
        }
        Ok(())
    }

    /// These events are delivered at most once.
    fn interrupted(&self, _: &Lost<'_>) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::bus::round_trip;

    #[test]
    fn an_event_crosses_the_bus_unchanged() {
        for unless in [None, Some("room:r-1")] {
            let event = TopicEvent {
                namespace: "/",
                name: "typing:changed",
                arguments: r#"{"on":true}"#,
                volatile: unless.is_some(),
                unless,
            };
            round_trip(&event, |_, mut fields| {
                assert_eq!(TopicEvent::read(&mut fields)?, event);
                Ok(())
            });
        }
    }
}
