//! The same packets to our gateway and to socketioxide, and what comes out.
//!
//! socketioxide is the reference because it is another implementation over the same parser: what differs is the part
//! that is ours. Where we differ on purpose the case says why, and both sides are asserted.

mod case;
mod framing;
mod generated;
mod mirror;
mod packets;
mod payloads;
mod reference;
mod running;
mod script;
