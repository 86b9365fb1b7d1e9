//! The audit log of a fleet: queue → spool on disk → streams of Redis → the database.

pub mod consumer;
pub mod forwarder;
mod segment;
pub mod spool;
pub mod streams;
