//! The whole server, in this process: its real HTTP and sockets on port 0, its real store in a directory of its own.

mod blocks;
mod changes;
mod chat_client;
mod conversations;
mod history;
mod http;
mod members;
mod messages;
mod presence;
mod receipts;
mod resume;
mod rooms;
mod search;
mod sessions;
mod test_app;
mod typing;
mod unread;
