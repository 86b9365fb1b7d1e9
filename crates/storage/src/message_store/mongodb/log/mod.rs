//! The rooms' logs as they are read. How entries get into them is in `write/`.

pub mod degraded;
pub mod entries;
pub mod epochs;
mod events;
mod follower;
mod gap_filler;
mod gaps;
mod history;
mod messages;
mod room_head;
mod search;
mod unread;
mod visible_heads;
mod word_index;
pub mod words;

pub use degraded::DegradedRooms;
pub use entries::{Entries, IdempotencyKey};
pub use events::Events;
pub use follower::LogFollower;
pub use gap_filler::GapFiller;
pub use gaps::GapWatch;
pub use history::History;
pub use messages::{Messages, stored_message};
pub use room_head::RoomHead;
pub use search::Search;
pub use unread::Unread;
pub use visible_heads::VisibleHeads;
pub use word_index::WordIndex;
