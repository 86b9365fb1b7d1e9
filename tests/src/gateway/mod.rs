//! The gateway crate behind a real listener: what official clients, a reference server and hostile clients see of it.

mod differential;
mod echo_rooms;
mod official_clients;
pub mod test_gateway;
