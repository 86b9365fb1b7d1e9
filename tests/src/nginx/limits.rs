//! What one address, or one request, may take.

use gateway::{CloseReason, Config};
use http::{Method, StatusCode};
use protocol::ErrorCode;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    bare_instance::BareInstance,
    problem::problem,
    proxy::{Nginx, Port},
};
use crate::{
    client::{http::request, polling::Polling, websocket::WebSocket},
    deadline::within,
    gateway::test_gateway::TestGateway,
    server::test_app::TestApp,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signing_in_is_limited_by_address() {
    let app = TestApp::start().await;
    let nginx = Nginx::start_with(
        &[app.address()],
        &[
            ("site/http.conf", "rate=10r/s", "rate=1r/m"),
            ("site/server.conf", "burst=50 ", "burst=2 "),
        ],
    )
    .await;
    let json = [("content-type", "application/json")];
    let body = r#"{"username":"nobody","password":"not the right one"}"#;
    let login = || request(nginx.http, Method::POST, "/api/v1/auth/login", &json, body);
    for _ in 0..3 {
        assert_eq!(login().await.status, StatusCode::UNAUTHORIZED);
    }
    let refused = login().await;
    let problem = problem(&refused);
    assert_eq!(problem.code, ErrorCode::RateLimited);
    assert_eq!(
        problem.detail,
        "too many requests from this address; try again later"
    );
    // Everything else goes on.
    assert_eq!(
        nginx.get("/api/v1/me").await.status,
        StatusCode::UNAUTHORIZED
    );
    WebSocket::open(nginx.http).await;
}

#[tokio::test]
async fn handshakes_are_limited_by_address_and_those_who_are_in_are_not() {
    let gateway = TestGateway::start(Config::default()).await;
    let nginx = Nginx::start_with(
        &[gateway.address],
        &[
            ("site/http.conf", "rate=100r/s", "rate=1r/m"),
            ("site/server.conf", "burst=500 ", "burst=1 "),
        ],
    )
    .await;
    let polling = Polling::open(nginx.http).await;
    let mut socket = WebSocket::open(nginx.http).await;
    refuses_handshakes(&nginx).await;
    polling.send("40").await;
    for _ in 0..5 {
        polling.send("42[\"echo\"]").await;
        polling.receive().await;
    }
    socket.send("40").await;
    assert!(socket.text().await.starts_with("40"));
}

#[tokio::test]
async fn connections_are_limited_by_address() {
    let gateway = TestGateway::start(Config::default()).await;
    let fewer = (
        "site/server.conf",
        "tertulia_connections 1000;",
        "tertulia_connections 3;",
    );
    let nginx = Nginx::start_with(&[gateway.address], &[fewer]).await;
    let mut sockets = Vec::new();
    for _ in 0..3 {
        sockets.push(WebSocket::open(nginx.http).await);
    }
    let refused = nginx.get("/health").await;
    assert_eq!(problem(&refused).code, ErrorCode::Unavailable);
    refuses_handshakes(&nginx).await;
    sockets.pop();
    within("room", async {
        while nginx
            .get("/socket.io/?EIO=4&transport=polling")
            .await
            .status
            != StatusCode::OK
        {}
    })
    .await;
}

#[tokio::test]
async fn a_body_is_limited_and_the_room_above_max_payload_is_the_instance_s() {
    let gateway = TestGateway::start(Config::default()).await;
    let nginx = Nginx::start(&[gateway.address]).await;
    for path in ["/api/v1/rooms", "/socket.io/?EIO=4&transport=polling&sid=x"] {
        let body = "x".repeat(1_200_000);
        let refused = request(nginx.http, Method::POST, path, &[], body).await;
        assert_eq!(problem(&refused).code, ErrorCode::TooLarge, "{path}");
    }
    let polling = Polling::open(nginx.http).await;
    polling.send("40").await;
    let body = ["42", &"x".repeat(Config::default().max_payload)].concat();
    assert_ne!(polling.post(body).await.status, StatusCode::OK);
    assert_eq!(gateway.closed(CloseReason::TooLarge), 1);
}

#[tokio::test]
async fn an_announced_body_is_refused_before_it_is_sent() {
    let instance = Port::reserve();
    let nginx = Nginx::start(&[instance.address]).await;
    let mut stream = TcpStream::connect(nginx.http).await.unwrap();
    let head =
        "POST /api/v1/rooms HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2000000000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    assert!(read_to_end(&mut stream).await.starts_with("HTTP/1.1 413 "));
}

#[tokio::test]
async fn half_a_request_is_waited_for_no_longer_than_a_moment() {
    let instance = BareInstance::start().await;
    let nginx = Nginx::start(&[instance.address]).await;
    let mut head = TcpStream::connect(nginx.http).await.unwrap();
    head.write_all(b"GET /socket.io/?EIO=4 HTTP/1.1\r\nhost: loc")
        .await
        .unwrap();
    let mut body = TcpStream::connect(nginx.http).await.unwrap();
    let half = "POST /api/v1/rooms HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n{";
    body.write_all(half.as_bytes()).await.unwrap();
    tokio::join!(read_to_end(&mut head), read_to_end(&mut body));
    assert!(!instance.is_asked_more());
}

/// 503 is what clients come back after, of either transport.
async fn refuses_handshakes(nginx: &Nginx) {
    let upgrade = [("connection", "upgrade"), ("upgrade", "websocket")];
    for (transport, headers) in [("polling", &[][..]), ("websocket", &upgrade)] {
        let target = format!("/socket.io/?EIO=4&transport={transport}");
        let refused = request(nginx.http, Method::GET, &target, headers, "").await;
        assert_eq!(problem(&refused).code, ErrorCode::Unavailable);
    }
}

/// What comes until the connection is closed, or reset.
async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut received = Vec::new();
    within("the end", async {
        while matches!(stream.read_buf(&mut received).await, Ok(1..)) {}
    })
    .await;
    String::from_utf8(received).unwrap()
}
