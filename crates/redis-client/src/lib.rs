//! Redis as Tertulia uses it: one server, Sentinel or Cluster, distinguished by the address alone.

mod backoff;
mod client;
mod error;
mod layout;
mod link;
mod node;
mod options;
mod resp;
mod routes;
mod routing;
mod script;
mod server_load;
mod slots;
mod stats;
mod stream;
mod subscriber;
mod task;
mod topology;
mod url;

pub use client::{RedisClient, ServerFacts};
pub use error::RedisError;
pub use options::Options;
pub use redis::{Cmd, FromRedisValue, ToRedisArgs, Value, cmd};
pub use script::{Command, Script};
pub use server_load::ServerLoad;
pub use slots::{PARTITIONS, partition_of, slot, tag};
pub use stats::Stats;
pub use subscriber::{Incoming, Interrupted, Received, Subscriber};
pub use url::{MalformedUrl, RedisUrl};
