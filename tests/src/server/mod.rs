//! The whole server, in this process: its real HTTP and sockets on port 0, its real store in a directory of its own.

mod chat_client;
mod conversations;
mod http;
mod test_app;
