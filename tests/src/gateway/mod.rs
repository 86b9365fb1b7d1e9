//! The gateway crate behind a real listener: what official clients, a reference server and hostile clients see of it.

mod bounds;
mod differential;
mod drain;
mod echo_rooms;
pub mod fleet;
mod framing;
mod handshake;
mod heartbeat;
mod internal_listener;
mod limits;
mod link;
mod official_clients;
mod round_robin;
mod slow_consumer;
pub mod test_gateway;
mod topics;
mod trusted_proxies;
mod tunnelled_polling;
mod tunnelled_upgrade;
mod upgrade;
