//! What a fleet promises when a part of it fails, and the commands for those who run it.

mod audit;
mod away;
mod bucket_away;
mod clocks;
mod commands;
mod crowd;
mod faults;
#[expect(clippy::module_inception, reason = "the fleet that these tests start")]
mod fleet;
mod instance_dies;
mod link;
mod notifications;
mod postgresql;
mod presence;
mod rate_limits;
mod redis_away;
mod rights;
mod scripts;
mod start;
mod store_away;
mod worker;
mod worker_killed;
mod worker_process;
