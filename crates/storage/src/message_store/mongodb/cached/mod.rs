//! What a writer of a log must know of users and rooms, cached for seconds so that a message costs no read. Every change
//! that this process makes, or hears of from the bus, invalidates what depends on it (see `cache.rs`).
//!
//! The capacities are for what one instance serves: some tens of megabytes when all are full.

mod blocks;
mod cache;
mod member_counts;
mod memberships;
mod people;
mod rooms;

pub use blocks::BlockLookup;
pub use cache::Invalidations;
pub use member_counts::MemberCounts;
pub use memberships::{MembershipLookup, MembershipStatus};
pub use people::People;
pub use rooms::RoomLookup;
