//! Ends of connections: who is notices, what still arrives, what is let go.

use std::{io::Read, net::Shutdown};

use gateway::{CloseReason, Config};
use socket2::{Domain, Type};

use crate::{
    client::{Client, connect},
    server::{PATIENCE, Server, eventually},
};

#[test]
fn a_panic_of_the_application_ends_its_connection_alone() {
    let server = Server::start(Config::default());
    let mut other = Client::connect(&server);
    let mut client = Client::connect(&server);
    assert_eq!(client.call("join", r#""room""#), "[true]");
    client.send(r#"42["panic"]"#);
    assert_eq!(u16::from(client.closed().code), 1013);
    eventually("the connection is gone", || {
        server.gateway.connections() == 1
    });
    assert_eq!(server.hub.subscribers("room"), 0);
    let notices = server.notices.disconnected.lock().clone();
    assert_eq!(notices, [(vec!["room".to_owned()], CloseReason::TryLater)]);
    assert_eq!(other.call("echo", "1"), "[1]");
}

#[test]
fn a_client_that_leaves_is_let_go_whoever_keeps_its_socket() {
    let server = Server::start(Config::default());
    let mut client = Client::connect(&server);
    assert_eq!(client.call("keep", "1"), r#"["kept"]"#);
    let stream = client.0.get_mut();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut byte = [0];
    assert_eq!(stream.read(&mut byte).unwrap(), 0);
}

#[test]
fn what_was_sent_before_the_close_arrives_before_it() {
    const LENGTH: usize = 16_000_000;
    let server = Server::start(Config::default());
    let socket = socket2::Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(16_384).unwrap();
    socket.connect(&server.address.into()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut client = Client::over(socket.into());
    client.enter();
    client.send(&format!(r#"42["last words",{LENGTH}]"#));
    assert_eq!(client.text().len(), LENGTH + r#"42["words",""]"#.len());
    let close = client.closed();
    assert_eq!(
        (u16::from(close.code), &*close.reason),
        (1013, "try again later")
    );
}

#[test]
fn stopping_does_not_wait_for_connections_that_ask_nothing() {
    let server = Server::start(Config::default());
    let idle = connect(server.address);
    // Accepted in order: when this one is served, so is the idle one.
    drop(Client::open(&server));
    server.stop.send_replace(true);
    let serving = server.serving;
    let stopping = async { tokio::time::timeout(PATIENCE / 4, serving).await };
    let stopped = server.runtime.block_on(stopping);
    stopped.expect("stops at once").unwrap();
    drop(idle);
}
