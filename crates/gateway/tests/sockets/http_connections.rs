//! TCP connections that aren't a WebSocket: bounded, refused, counted.

use std::io::Write;

use gateway::{Config, HandshakeError, HttpConnections};

use crate::{
    client::{Client, body, connect, rest},
    server::{PATIENCE, Server, eventually},
};

#[test]
fn connections_that_are_no_websocket_yet_are_bounded() {
    let server = Server::start(Config {
        max_http_connections: 2,
        handshake_timeout: PATIENCE,
        ..Config::default()
    });
    let mut unfinished = connect(server.address);
    unfinished.write_all(b"GET /socket.io/").unwrap();
    let idle = connect(server.address);
    // What can't wait has a place; it isn't told before it says what it wants.
    let mut third = connect(server.address);
    write!(third, "GET / HTTP/1.1\r\n\r\n").unwrap();
    let refused = rest(&mut third);
    assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
    assert!(refused.contains("retry-after"), "{refused}");
    let taken = server.gateway.http_connections();
    assert_eq!((taken.ordinary, taken.internal), (2, 0));
    drop((idle, unfinished));
    eventually("there is room again", || {
        let mut stream = connect(server.address);
        write!(stream, "GET / HTTP/1.1\r\nconnection: close\r\n\r\n").unwrap();
        rest(&mut stream).starts_with("HTTP/1.1 400")
    });
    // WebSockets aren't counted.
    let websockets: Vec<_> = (0..4).map(|_| Client::connect(&server)).collect();
    assert!(body(server.address, "GET", "", "").starts_with('0'));
    let totals = server.gateway.connection_totals();
    assert_eq!((totals.websocket, totals.polling), (4, 1));
    drop(websockets);
    eventually("all permits are returned", || {
        server.gateway.http_connections() == HttpConnections::default()
    });
}

#[test]
fn a_refusal_is_counted_once() {
    let server = Server::start(Config {
        max_connections: 0,
        ..Config::default()
    });
    let stream = connect(server.address);
    let url = format!(
        "ws://{}/socket.io/?EIO=4&transport=websocket",
        server.address
    );
    assert!(tungstenite::client(url, stream).is_err());
    let refused = server.hub.stats().refused();
    let refused: Vec<_> = refused.filter(|(_, count)| *count > 0).collect();
    assert_eq!(refused, [(HandshakeError::NoRoom, 1)]);
}
