//! The rules of chat: who may do what, and what the others learn of it. No HTTP and no sockets' events in here; both
//! lead to these functions.

pub mod access;
pub mod blocked_rooms;
pub mod change_message;
pub mod fan_out;
pub mod history;
pub mod members;
pub mod mentions;
pub mod presence;
pub mod presence_sets;
pub mod read_receipts;
pub mod reconciliation;
pub mod removals;
pub mod room_doubts;
pub mod room_feed;
pub mod room_feeds;
pub mod room_repair;
pub mod rooms;
pub mod search_turns;
pub mod send_message;
pub mod topics;
pub mod typing;
pub mod unread;
pub mod wire;
