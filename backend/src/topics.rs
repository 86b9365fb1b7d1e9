//! Names of topics, and the marks of their subscribers.

use std::hash::{DefaultHasher, Hash, Hasher};

use protocol::{RoomId, UserId};

/// The namespace of what concerns a user outside of rooms.
pub const NOTIFICATIONS: &str = "/notifications";

const ROOM: &str = "room:";
const USER: &str = "user:";

/// The topic of a room. Its subscribers get everything that happens in the room, and are online in it.
pub fn room(id: &RoomId) -> String {
    format!("{ROOM}{id}")
}

/// The room whose topic this is.
pub fn room_of(topic: &str) -> Option<RoomId> {
    topic.strip_prefix(ROOM).map(RoomId::trusted)
}

/// The topic of a user. Other instances send on it what concerns the user. Sockets subscribe to it only for what programs
/// from outside publish.
pub fn user(id: &UserId) -> String {
    format!("{USER}{id}")
}

/// The user whose topic this is.
pub fn user_of(topic: &str) -> Option<UserId> {
    topic.strip_prefix(USER).map(UserId::trusted)
}

/// The name of a topic within a namespace. A frame is made for one namespace, so topics of the same name in two
/// namespaces are different topics.
pub fn in_namespace(namespace: &str, topic: &str) -> String {
    if namespace == "/" {
        topic.to_owned()
    } else {
        format!("{namespace},{topic}")
    }
}

/// The topic of all connections to a namespace.
pub fn everybody(namespace: &str) -> String {
    in_namespace(namespace, "everybody")
}

/// The mark of a user's subscriptions to rooms, by which the sender of a message gets a variant of its own.
pub fn mark(user: &UserId) -> u64 {
    let mut hasher = DefaultHasher::new();
    user.as_str().hash(&mut hasher);
    hasher.finish()
}
