//! The wire protocol of Tertulia as Rust types: event names, payloads, acks, error codes and HTTP
//! bodies. Server, tests and load generator use these types, and the OpenAPI and AsyncAPI
//! documents are generated from them, so they can't disagree.
//!
//! What must stay true: nothing here does I/O or knows a framework; a field of a wire type is
//! never renamed or removed; a request is only acted on after [`Request::validate`].

pub mod ack;
pub mod api_key;
pub mod asyncapi;
pub mod audit;
mod bounds;
pub mod cache;
pub mod circuit;
pub mod connect;
pub mod day;
pub mod epoch;
pub mod error;
pub mod event;
pub mod health;
pub mod history;
pub mod id;
pub mod instance;
pub mod job;
pub mod limits;
pub mod member;
pub mod message;
mod named;
pub mod notification;
pub mod openapi;
pub mod page;
pub mod presence;
pub mod publish;
pub mod rate_limit;
pub mod request;
pub mod rollup;
pub mod room;
pub mod room_event;
pub mod schema;
pub mod secret;
pub mod session;
pub mod timestamp;
pub mod tokens;
pub mod upload;
pub mod user;

pub use ack::Ack;
pub use api_key::*;
pub use asyncapi::{asyncapi, notification_message};
pub use audit::*;
pub use cache::*;
pub use circuit::*;
pub use connect::*;
pub use day::{Day, MalformedDay};
pub use epoch::Epoch;
pub use error::{ErrorBody, ErrorCode, Problem};
pub use event::*;
pub use health::*;
pub use history::*;
pub use id::{
    ApiKeyId, AttachmentId, CircuitName, DeviceId, MalformedId, MessageId, NotificationId, RoomId,
    SessionId, UserId,
};
pub use instance::*;
pub use job::*;
pub use member::*;
pub use message::*;
pub use notification::*;
pub use openapi::{Credential, Method, ROUTES, Route, openapi};
pub use page::*;
pub use presence::*;
pub use publish::*;
pub use rate_limit::*;
pub use request::{Invalid, Request, read, read_json, read_query};
pub use rollup::*;
pub use room::*;
pub use room_event::*;
pub use secret::Secret;
pub use session::*;
pub use timestamp::Timestamp;
pub use tokens::*;
pub use upload::*;
pub use user::*;
