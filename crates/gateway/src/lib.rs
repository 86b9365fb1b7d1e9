//! Engine.IO v4 and Socket.IO v5 connections, and topics to publish to them.
//!
//! Standard Socket.IO clients connect over WebSocket, HTTP long polling, and the upgrade between the two. The crate
//! knows connections, namespaces, events and topics, nothing of what is said in them:
//!
//! - [`Handler`] decides who may connect to a namespace and gives each connection a [`Session`], which is called for
//!   its events in the order they were sent.
//! - [`Hub`] holds the topics. [`Socket::join`] subscribes a socket, [`Hub::publish`] sends one [`Frame`], encoded
//!   once, to all that subscribe.
//! - [`Gateway`] holds the connections under one path, [`serve`] accepts them on a listener beside any HTTP service.
//! - [`Peers`] are the other instances of a fleet. A request may reach any instance: the one that it belongs to
//!   answers it, by way of its internal listener ([`serve_internal`]).
//!
//! What stays true:
//! - A connection's events are handled in order, and a session is registered before its client is told so.
//! - Subscribers of a topic see its frames in the order in which they were published.
//! - Whatever a client can make grow is bounded: see [`Config`].
//! - A client that reads too slowly loses volatile frames first, then the backlog of its topics, which it is told
//!   ([`Session::lagging`]), and its connection last.
//! - Publishing may happen on any thread and never blocks.
//!
//! `examples/chat.rs` is a whole server in a page.

mod answer;
mod byte_budget;
mod close;
mod config;
mod connection;
mod decoder;
mod flusher;
mod frame;
mod gateway;
mod handler;
mod handshake;
mod handshake_error;
mod head;
mod header_list;
mod heartbeat;
mod http;
mod http_permits;
mod hub;
mod instance;
mod internal;
mod internal_key;
mod listener_limits;
mod origin;
mod outbox;
mod packet;
mod peers;
mod polling;
mod query;
mod read_buffer;
mod request_body;
mod server;
mod socket;
mod splice;
mod stats;
mod stream;
mod trusted_proxies;
mod tunnel;
mod upgrade;
mod websocket;

pub use close::CloseReason;
pub use config::Config;
pub use connection::Reservation;
pub use frame::{EncodeError, Frame};
pub use gateway::{ByteBudgetUse, ConnectionTotals, Gateway, HttpConnections};
pub use handler::{
    Ack, ConnectRequest, EngineHandler, EngineSocket, Event, Handled, Handler, PayloadError,
    Refusal, Reply, Session,
};
pub use handshake_error::HandshakeError;
pub use http::PeerAddress;
pub use hub::{Hub, JoinError};
pub use instance::{InstanceId, NoInstanceId};
pub use internal::serve_internal;
pub use origin::{NotAnOrigin, Origin};
pub use peers::Peers;
pub use request_body::{BodyError, BodyReader};
pub use server::serve;
pub use socket::{RequestError, Socket};
pub use stats::Stats;
