//! Messages between instances.
//!
//! What happens on one instance and concerns clients of others goes over the bus: to the instances that have
//! subscribers of its topic, or to all of them. With the embedded back ends there are no others, and nothing is sent.
//! The bus carries bytes; the components that registered as receivers know what they mean.
//!
//! What must stay true: nothing durable depends on a message of the bus. Whatever is lost on it is found again: events
//! of rooms by comparing with the log (`chat/room_feeds.rs`), who may read a room by comparing with its members
//! (`chat/reconciliation.rs`), presence and revocations by reading them again. So every loss has to be known: one on the
//! way here is reported as an interruption, one of ours is reported to the others (`losses.rs`). What nobody can know of,
//! as of an instance that died, is found by comparing from time to time.

mod channels;
mod codec;
mod envelope;
mod interests;
mod link;
mod losses;
mod receivers;

#[cfg(test)]
pub use codec::round_trip;
pub use codec::{Kind, Malformed, Message, Reader, Writer};
pub use envelope::BUS_VERSION;
pub use interests::Interest;
pub use link::{BusStats, Link, LinkTasks};
use protocol::UserId;
pub use receivers::{Lost, Receiver, Receivers};

use crate::topics;

/// The topic that every instance is interested in.
const EVERYBODY: &str = "all";

/// The bus of one instance.
pub struct Bus {
    link: Option<Link>,
}

impl Bus {
    /// The bus of a single instance.
    pub fn in_process() -> Self {
        Self { link: None }
    }

    /// The bus of a fleet.
    pub fn redis(link: Link) -> Self {
        Self { link: Some(link) }
    }

    /// The connection to the other instances, if there can be any.
    pub fn link(&self) -> Option<&Link> {
        self.link.as_ref()
    }

    /// True if there can be other instances.
    pub fn has_peers(&self) -> bool {
        self.link.is_some()
    }

    /// Sends `message` to the other instances that are interested in `topic`. Its effect here is the caller's.
    pub fn send(&self, topic: &str, message: &impl Message) {
        if let Some(link) = &self.link {
            link.send(topic, message);
        }
    }

    /// Sends `message` to all other instances.
    pub fn send_to_all(&self, message: &impl Message) {
        self.send(EVERYBODY, message);
    }

    /// Registers interest in what other instances send on `topic`, until the result is dropped.
    pub fn interest(&self, topic: &str) -> Option<Interest> {
        Some(self.link.as_ref()?.interest(topic))
    }

    /// True if another instance has a connection of this user; false if that can't be found out.
    pub async fn has_listeners_of(&self, user: &UserId) -> bool {
        match &self.link {
            Some(link) => link.has_listeners(&topics::user(user)).await,
            None => false,
        }
    }

    /// Waits until what was sent has reached Redis, at most a second.
    pub async fn flush(&self) {
        if let Some(link) = &self.link {
            link.flush().await;
        }
    }
}
