//! Long polling and the upgrade: order, ends, and requests that are broken off.

use std::{
    io::Write,
    net::Shutdown,
    thread,
    time::{Duration, Instant},
};

use gateway::{CloseReason, Config, PeerAddress};
use http::Request;
use http_body_util::Full;

use crate::{
    client::{Client, body, connect, open_polling, request, rest},
    server::{PATIENCE, Server, eventually},
};

/// A gateway whose next ping is what a waiting poll gets.
fn pinging() -> Server {
    Server::start(Config {
        ping_interval: Duration::from_millis(300),
        ..Config::default()
    })
}

#[test]
fn what_is_queued_comes_before_the_end() {
    let server = Server::start(Config::default());
    let sid = open_polling(&server);
    let (address, query) = (server.address, sid.clone());
    let poll = thread::spawn(move || body(address, "GET", &query, ""));
    let post = request(server.address, "POST", &sid, r#"42["last words",3]"#);
    // Whichever is seen first: the packets were taken, or the connection has ended.
    assert!(post.starts_with("HTTP/1.1"), "{post}");
    assert_eq!(poll.join().unwrap(), r#"42["words","xxx"]"#);
    // A close packet would keep some clients from coming back.
    let last = request(server.address, "GET", &sid, "");
    assert!(last.starts_with("HTTP/1.1 400"), "{last}");
    assert_eq!(server.gateway.connections(), 0);
}

#[test]
fn a_payload_has_no_more_packets_than_every_client_takes() {
    let server = Server::start(Config::default());
    let sid = open_polling(&server);
    let echoes: Vec<_> = (0..40).map(|n| format!(r#"42{n}["echo"]"#)).collect();
    let payload = echoes.join("\u{1e}");
    assert_eq!(body(server.address, "POST", &sid, &payload), "ok");
    let mut answers = Vec::new();
    while answers.len() < echoes.len() {
        let payload = body(server.address, "GET", &sid, "");
        let packets: Vec<_> = payload.split('\u{1e}').map(str::to_owned).collect();
        assert!(packets.len() <= 16, "{payload}");
        answers.extend(packets);
    }
    let expected: Vec<_> = (0..40).map(|n| format!("43{n}[]")).collect();
    assert_eq!(answers, expected);
}

#[test]
fn a_poll_waits_while_an_upgrade_only_was_asked_for() {
    let server = pinging();
    let sid = open_polling(&server);
    let upgrading = Client::handshake(connect(server.address), &sid);
    assert_eq!(body(server.address, "GET", &sid, ""), "2");
    drop(upgrading);
}

#[test]
fn a_poll_ends_when_the_upgrade_is_probed_and_nothing_is_lost() {
    let server = Server::start(Config::default());
    let sid = open_polling(&server);
    let (address, query) = (server.address, sid.clone());
    let poll = thread::spawn(move || body(address, "GET", &query, ""));
    let mut upgrading = Client::handshake(connect(server.address), &sid);
    upgrading.send("2probe");
    assert_eq!(upgrading.text(), "3probe");
    assert_eq!(poll.join().unwrap(), "6");
    assert_eq!(body(server.address, "POST", &sid, r#"421["echo",1]"#), "ok");
    for packet in ["5", r#"421["echo",2]"#, r#"421["echo",3]"#] {
        upgrading.send(packet);
    }
    for answer in ["431[1]", "431[2]", "431[3]"] {
        assert_eq!(upgrading.text(), answer);
    }
}

#[test]
fn an_upgrade_that_fails_leaves_the_connection_polling() {
    let server = pinging();
    let sid = open_polling(&server);
    let uri = format!("/socket.io/?EIO=4&transport=websocket{sid}");
    // No server hands this request's connection over.
    let request = Request::get(uri)
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA==")
        .extension(PeerAddress(server.address))
        .body(Full::<bytes::Bytes>::default())
        .unwrap();
    let response = server.runtime.block_on(server.gateway.http(request));
    assert_eq!(response.status(), 101);
    assert_eq!(body(server.address, "GET", &sid, ""), "2");
    let mut upgrading = Client::handshake(connect(server.address), &sid);
    upgrading.send("2probe");
    assert_eq!(upgrading.text(), "3probe");
}

/// A POST whose body is announced and never finished.
fn unfinished_post(server: &Server, sid: &str) -> std::net::TcpStream {
    let mut stream = connect(server.address);
    write!(
        stream,
        "POST /socket.io/?EIO=4&transport=polling{sid} HTTP/1.1\r\nhost: test\r\ncontent-length: 100\r\n\r\n42"
    )
    .unwrap();
    stream
}

#[test]
fn a_body_that_never_ends_is_not_waited_for() {
    let server = Server::start(Config {
        ping_interval: Duration::from_millis(100),
        ping_timeout: Duration::from_millis(100),
        ..Config::default()
    });
    let sid = open_polling(&server);
    let begun = Instant::now();
    let response = rest(&mut unfinished_post(&server, &sid));
    assert!(response.starts_with("HTTP/1.1 4"), "{response}");
    assert!(begun.elapsed() < PATIENCE / 2);
}

#[test]
fn a_post_broken_off_ends_the_connection() {
    let server = Server::start(Config::default());
    let sid = open_polling(&server);
    let stream = unfinished_post(&server, &sid);
    stream.shutdown(Shutdown::Both).unwrap();
    eventually("the connection ends", || {
        server.closed(CloseReason::TransportError) == 1
    });
}

#[test]
fn a_second_poll_ends_the_connection_and_the_first_says_so() {
    let server = Server::start(Config::default());
    let sid = open_polling(&server);
    let (address, query) = (server.address, sid.clone());
    let poll = move || request(address, "GET", &query, "");
    // Either may come first; the other one is too many.
    let polls = [thread::spawn(poll.clone()), thread::spawn(poll)].map(|p| p.join().unwrap());
    let ended = polls.iter().filter(|p| p.ends_with("\r\n\r\n1")).count();
    let refused = polls.iter().filter(|p| p.starts_with("HTTP/1.1 400"));
    assert_eq!((ended, refused.count()), (1, 1), "{polls:?}");
    assert!(request(address, "GET", &sid, "").starts_with("HTTP/1.1 400"));
}
