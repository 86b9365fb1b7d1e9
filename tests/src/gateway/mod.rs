//! The gateway crate behind a real listener: what official clients, a reference server and hostile clients see of it.

mod differential;
mod drain;
mod echo_rooms;
mod framing;
mod handshake;
mod heartbeat;
mod limits;
mod official_clients;
mod slow_consumer;
mod test_gateway;
mod topics;
mod upgrade;
