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

// Modules depend on each other in one direction but for one circle, which is the shape of the data: a connection knows the
// topics it subscribes to and the application's sessions (`connection`, `context`), topics and flushers know the connections
// that they write to (`hub`, `flusher`), and the application is given handles of connections (`handler`, `engine`, `event`,
// `ack`, `socket`). Cutting it would cost a call through a pointer for every delivery.
mod ack;
mod answer;
mod byte_budget;
mod clock;
mod close;
mod config;
mod connection;
mod context;
mod decoder;
mod engine;
mod event;
mod event_text;
mod flusher;
mod frame;
mod gateway;
mod handler;
mod handshake;
mod handshake_error;
mod head;
mod header_list;
mod heartbeat;
mod http_permits;
mod hub;
mod instance;
mod internal_key;
mod listener_limits;
mod origin;
mod outbox;
mod peers;
mod query;
mod rate_limiter;
mod read_buffer;
mod registry;
mod reply;
mod request_body;
mod server;
mod socket;
mod splice;
mod stats;
mod stream;
mod totals;
mod trusted_proxies;
mod upgrade;
mod websocket;
mod wheel;

pub use ack::Ack;
pub use close::CloseReason;
pub use config::Config;
pub use connection::Reservation;
pub use engine::{EngineHandler, EngineSocket};
pub use event::Event;
pub use frame::{EncodeError, Frame};
pub use gateway::{Gateway, http::PeerAddress, internal::serve_internal};
pub use handler::{ConnectRequest, Handled, Handler, Refusal, Session};
pub use handshake_error::HandshakeError;
pub use hub::{Hub, JoinError};
pub use instance::{InstanceId, NoInstanceId};
pub use origin::{NotAnOrigin, Origin};
pub use peers::Peers;
pub use rate_limiter::{RateLimit, RateLimiter};
pub use reply::{PayloadError, Reply};
pub use request_body::{BodyError, BodyReader};
pub use server::serve;
pub use socket::{RequestError, Socket};
pub use stats::Stats;
pub use totals::{ByteBudgetUse, ConnectionTotals, HttpConnections};
