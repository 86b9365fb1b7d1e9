//! Names of topics, and the marks of their subscribers.

use std::hash::{DefaultHasher, Hash, Hasher};

use protocol::{RoomId, UserId};

const ROOM: &str = "room:";
const USER: &str = "user:";

/// Everything that happens in a room; whoever subscribes is online in it.
pub fn room(id: &RoomId) -> String {
    format!("{ROOM}{id}")
}

/// The room whose topic this is.
pub fn room_of(topic: &str) -> Option<RoomId> {
    topic.strip_prefix(ROOM).map(RoomId::trusted)
}

/// A user. Other instances are told of what concerns the user on the channel of this name; what programs from outside
/// publish to it is all that its subscribers here hear.
pub fn user(id: &UserId) -> String {
    format!("{USER}{id}")
}

/// The user whose topic this is.
pub fn user_of(topic: &str) -> Option<UserId> {
    topic.strip_prefix(USER).map(UserId::trusted)
}

/// The topic of this name among the sockets of a namespace: a frame is made for one namespace, so that topics of the same
/// name in two have nothing in common.
pub fn in_namespace(namespace: &str, topic: &str) -> String {
    if namespace == "/" {
        topic.to_owned()
    } else {
        format!("{namespace},{topic}")
    }
}

/// All connections to a namespace.
pub fn everybody(namespace: &str) -> String {
    in_namespace(namespace, "everybody")
}

/// The mark under which a user subscribes to rooms, so that the sender of a message gets its own variant of it.
pub fn mark(user: &UserId) -> u64 {
    let mut hasher = DefaultHasher::new();
    user.as_str().hash(&mut hasher);
    hasher.finish()
}
