//! The whole server, in this process: its real HTTP and sockets on port 0, its real store in a directory of its own.
//! Where a process has to end, or to print, it is the built one.

pub mod api;
mod bad_input;
mod blocks;
mod changes;
pub mod chat_client;
mod command_line;
mod configuration;
mod conversations;
mod crash;
mod direct_rooms;
mod emitter;
mod hang_ups;
mod history;
mod http;
mod logs;
mod members;
mod messages;
mod metrics;
mod overload;
mod pages;
mod presence;
mod publish;
mod rate_limits;
mod receipts;
mod resume;
mod rights;
mod rooms;
mod search;
pub mod server_process;
mod sessions;
mod shutdown;
mod slow_consumer;
mod store_faults;
pub mod test_app;
mod typing;
mod unread;
