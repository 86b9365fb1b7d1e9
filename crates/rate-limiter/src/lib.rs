//! Rate limits by principal: sliding windows, counted in memory by a single instance and in Redis by the instances of a fleet.
//!
//! What must stay true: in no window, wherever it begins, are more permits granted than the limit. Of a strict tier by all
//! instances together, as long as Redis answers. Of a leased tier by all of them together up to the credit of each, a
//! twentieth of the limit: what an instance grants a principal in a window before it asks Redis for the first time, so that
//! who does little costs no round trip. While Redis doesn't answer each instance counts alone.
//!
//! A permit counts up to a sixtieth of the window longer than the window, and that of a leased tier a tenth more. Permits that
//! an instance leased and that weren't used are missing to the others for as long: at most a twentieth of the limit for
//! each instance, or two.

mod key;
mod limiter;
mod principal;
mod principals;
mod shared;
mod slots;
mod tier;

pub use key::Key;
pub use limiter::{Grant, RateLimiter, Refusal, Reservation, State, TierStats};
pub use principals::Counts;

pub use tier::{Limit, MalformedLimit, Mode, Tier};
