//! Requests that open a connection, or try to.

use std::{net::SocketAddr, time::Duration};

use ::http::{Method, StatusCode};
use gateway::{Config, HandshakeError};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{fleet::fleet, test_gateway::TestGateway};
use crate::{
    client::{
        http::request,
        polling::Polling,
        websocket::{self, WebSocket},
    },
    deadline::{becomes, within},
};

/// Sends `bytes` and nothing more; what the server says until it closes.
async fn unfinished(gateway: &TestGateway, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut said = Vec::new();
    within("the end of a handshake", stream.read_to_end(&mut said))
        .await
        .unwrap();
    String::from_utf8(said).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_never_finishes_is_closed() {
    let gateway = TestGateway::start(Config {
        handshake_timeout: Duration::from_millis(200),
        ..Config::default()
    })
    .await;
    let valid = websocket::request("EIO=4&transport=websocket");
    for bytes in ["", "GET", "GET /socket.io/", &valid[..valid.len() - 2]] {
        let said = unfinished(&gateway, bytes.as_bytes()).await;
        assert!(said.starts_with("HTTP/1.1 408 "), "{bytes:?}: {said:?}");
    }
    let refused = gateway.hub.stats().refused();
    let refused: Vec<_> = refused.filter(|(_, count)| *count > 0).collect();
    assert_eq!(refused, [(HandshakeError::TooSlow, 4)]);
    assert_eq!(gateway.hub.stats().opened(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_may_come_byte_by_byte_and_the_frames_too() {
    let gateway = TestGateway::start(Config::default()).await;
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    for byte in websocket::request("EIO=4&transport=websocket").as_bytes() {
        stream.write_all(&[*byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut socket = WebSocket::accepted(stream).await.unwrap();
    assert!(socket.text().await.starts_with("0{"));
    for byte in [websocket::text("40"), websocket::text(r#"421["echo",1]"#)].concat() {
        socket.write(&[byte]).await;
        tokio::task::yield_now().await;
    }
    assert!(socket.text().await.starts_with("40{"));
    assert_eq!(socket.text().await, r#"42["welcome",{}]"#);
    assert_eq!(socket.text().await, "431[1]");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_may_follow_in_the_same_segment() {
    let gateway = TestGateway::start(Config::default()).await;
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    let bytes = [
        websocket::request("EIO=4&transport=websocket").into_bytes(),
        websocket::text("40"),
        websocket::text(r#"421["echo",1]"#),
    ]
    .concat();
    stream.write_all(&bytes).await.unwrap();
    let mut socket = WebSocket::accepted(stream).await.unwrap();
    assert!(socket.text().await.starts_with("0{"));
    assert!(socket.text().await.starts_with("40{"));
    assert_eq!(socket.text().await, r#"42["welcome",{}]"#);
    assert_eq!(socket.text().await, "431[1]");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_one_is_answered_as_by_the_official_server() {
    let gateway = TestGateway::start(Config::default()).await;
    for (query, code) in [
        ("EIO=4", 0),
        ("EIO=4&transport=carrier-pigeon", 0),
        ("transport=websocket", 5),
        ("EIO=3&transport=websocket", 5),
        ("EIO=4&transport=websocket&sid=unknown", 1),
        ("EIO=4&transport=polling", 3),
    ] {
        let refused = WebSocket::handshake(gateway.address, query).await;
        let (status, body) = refused.err().expect(query);
        assert_eq!(status, StatusCode::BAD_REQUEST, "{query}");
        assert!(
            body.contains(&format!("\"code\":{code},")),
            "{query}: {body}"
        );
    }
    for (method, query, code) in [
        (Method::GET, "EIO=4", 0),
        (Method::GET, "EIO=3&transport=polling", 5),
        (Method::GET, "EIO=4&transport=polling&sid=unknown", 1),
        (Method::POST, "EIO=4&transport=polling&sid=unknown", 1),
        (Method::POST, "EIO=4&transport=polling", 2),
        (Method::PUT, "EIO=4&transport=polling", 2),
        (Method::GET, "EIO=4&transport=websocket", 3),
    ] {
        let target = format!("/socket.io/?{query}");
        let response = request(gateway.address, method.clone(), &target, &[], "").await;
        assert_eq!(response.status, StatusCode::BAD_REQUEST, "{method} {query}");
        let body: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
        assert_eq!(body["code"], code, "{method} {query}");
    }
    for (missing, replacement) in [
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""),
        ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 8"),
        ("Connection: Upgrade\r\n", ""),
        ("GET ", "POST "),
    ] {
        let valid = websocket::request("EIO=4&transport=websocket");
        let wrong = valid.replace(missing, replacement);
        assert_ne!(valid, wrong);
        let said = unfinished(&gateway, wrong.as_bytes()).await;
        assert!(said.starts_with("HTTP/1.1 400 "), "{wrong:?}: {said:?}");
    }
    assert_eq!(gateway.hub.stats().opened(), 0);
}

/// A handshake as the first request of its connection, or behind another one, which an HTTP server answers both.
async fn asked(address: SocketAddr, first: bool, handshake: &str) -> WebSocket {
    let mut stream = TcpStream::connect(address).await.unwrap();
    if !first {
        let other = "GET /socket.io/?EIO=4 HTTP/1.1\r\nHost: localhost\r\n\r\n";
        stream.write_all(other.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"}") {
            let reading = stream.read_buf(&mut answer);
            assert_ne!(within("an answer", reading).await.unwrap(), 0);
        }
    }
    stream.write_all(handshake.as_bytes()).await.unwrap();
    let accepted = WebSocket::accepted(stream).await;
    accepted.unwrap_or_else(|refused| panic!("{handshake}: {refused:?}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_and_subprotocols_are_understood_on_every_way() {
    let [owner, other] = fleet(Config::default()).await;
    for (line, instead, protocol) in [
        ("Upgrade: websocket", "Upgrade: websocket", None),
        (
            "Connection: Upgrade",
            "Connection: keep-alive\r\nConnection: Upgrade",
            None,
        ),
        (
            "Connection: Upgrade",
            "Connection: keep-alive,\tupgrade ,",
            None,
        ),
        ("Upgrade: websocket", "Upgrade: h2c, WebSocket", None),
        (
            "Upgrade: websocket",
            "upgrade:\th2c\r\nUPGRADE:websocket\t",
            None,
        ),
        (
            "Upgrade: websocket",
            "Upgrade: websocket\r\nSec-WebSocket-Protocol: Chat,\tv2",
            Some("Chat"),
        ),
        (
            "Upgrade: websocket",
            "Upgrade: websocket\r\nSec-WebSocket-Protocol: v2\r\nSec-WebSocket-Protocol: Chat",
            Some("v2"),
        ),
    ] {
        for first in [true, false] {
            let handshake = |query: &str| {
                let valid = websocket::request(query);
                assert!(valid.contains(line));
                valid.replace(line, instead)
            };
            let new = handshake("EIO=4&transport=websocket");
            let mut socket = asked(owner.address, first, &new).await;
            assert_eq!(socket.protocol.as_deref(), protocol, "{instead}");
            assert!(socket.text().await.starts_with("0{"));
            let polling = owner.polling().await;
            let upgrade = handshake(&format!("EIO=4&transport=websocket&sid={}", polling.sid));
            let mut socket = asked(other.address, first, &upgrade).await;
            assert_eq!(socket.protocol.as_deref(), protocol, "{instead}");
            socket.send("2probe").await;
            assert_eq!(socket.text().await, "3probe");
        }
    }
    assert_eq!(other.hub.stats().tunnelled_upgrades(), 14);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slashes_make_no_other_path() {
    let [owner, other] = fleet(Config::default()).await;
    for path in ["/socket.io", "//socket.io/", "/socket.io//"] {
        let target = format!("{path}?EIO=4&transport=polling");
        let response = request(owner.address, Method::GET, &target, &[], "").await;
        assert_eq!(response.status, StatusCode::OK, "{path}");
        let sid = response.text().split('"').nth(3).unwrap().to_owned();
        let target = format!("{target}&sid={sid}");
        let posted = request(other.address, Method::POST, &target, &[], "40").await;
        assert_eq!(posted.text(), "ok", "{path}");
        for first in [true, false] {
            let handshake = websocket::request("EIO=4&transport=websocket");
            let handshake = handshake.replace("/socket.io/", path);
            let mut socket = asked(owner.address, first, &handshake).await;
            assert!(socket.text().await.starts_with("0{"), "{path}");
        }
    }
    assert_eq!(other.hub.stats().tunnelled_polls(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_another_origin_is_refused() {
    let gateway = TestGateway::start(Config {
        allowed_origins: Some(vec!["https://Chat.example:443".parse().unwrap()]),
        ..Config::default()
    })
    .await;
    let target = "/socket.io/?EIO=4&transport=polling";
    for (origin, status) in [
        ("https://chat.example", StatusCode::OK),
        ("https://evil.example", StatusCode::FORBIDDEN),
        ("null", StatusCode::FORBIDDEN),
    ] {
        let headers = [("origin", origin)];
        let response = request(gateway.address, Method::GET, target, &headers, "").await;
        assert_eq!(response.status, status, "{origin}");
        let upgrade = websocket::request("EIO=4&transport=websocket");
        let upgrade = upgrade.replace("Host:", &format!("Origin: {origin}\r\nHost:"));
        let mut stream = TcpStream::connect(gateway.address).await.unwrap();
        stream.write_all(upgrade.as_bytes()).await.unwrap();
        let accepted = WebSocket::accepted(stream)
            .await
            .map_err(|(status, _)| status);
        match status {
            StatusCode::OK => assert!(accepted.is_ok(), "{origin}"),
            refused => assert_eq!(accepted.err(), Some(refused), "{origin}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_gateway_asks_to_come_back() {
    let gateway = TestGateway::start(Config {
        max_connections: 2,
        ..Config::default()
    })
    .await;
    let mut first = gateway.websocket().await;
    let second = gateway.polling().await;
    let target = "/socket.io/?EIO=4&transport=polling";
    let response = request(gateway.address, Method::GET, target, &[], "").await;
    assert_eq!(response.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(response.headers.contains_key("retry-after"));
    let refused = WebSocket::handshake(gateway.address, "EIO=4&transport=websocket").await;
    assert_eq!(refused.err().unwrap().0, StatusCode::SERVICE_UNAVAILABLE);
    // Nobody else suffers, and who leaves makes room.
    first.send(r#"421["echo",1]"#).await;
    assert_eq!(first.text().await, "431[1]");
    second.send("1").await;
    becomes("a place is free", 1, || gateway.gateway.connections()).await;
    Polling::open(gateway.address).await;
}
