//! What an instance learns of who asks, and of what for.

use gateway::Config;
use http::Method;
use tokio::{io::AsyncWriteExt, net::TcpSocket};

use super::{bare_instance::BareInstance, proxy::Nginx};
use crate::{
    client::{
        http::request,
        websocket::{self, WebSocket},
    },
    gateway::test_gateway::TestGateway,
};

/// What a client claims about itself, none of which is true.
const CLAIMS: [(&str, &str); 6] = [
    ("x-forwarded-for", "203.0.113.9"),
    ("forwarded", "for=203.0.113.9"),
    ("x-real-ip", "203.0.113.9"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-host", "evil.example"),
    ("x-request-id", "mine"),
];

#[tokio::test]
async fn nothing_that_a_client_claims_reaches_an_instance() {
    let instance = BareInstance::start().await;
    let nginx = Nginx::start(&[instance.address]).await;
    for target in [
        "/health",
        "/socket.io/?EIO=4&transport=polling",
        "/socket.io/?EIO=4&transport=polling&sid=x",
    ] {
        let asking = request(nginx.http, Method::GET, target, &CLAIMS, "");
        let answering = async {
            let asked = instance.asked().await;
            assert_eq!(asked.header("x-forwarded-for"), Some("127.0.0.1"));
            assert_eq!(asked.header("x-forwarded-proto"), Some("http"));
            // With its port: pages of this host may connect.
            let host = nginx.http.to_string();
            assert_eq!(asked.header("host"), Some(&*host));
            assert_eq!(asked.header("x-forwarded-host"), Some(&*host));
            assert_eq!(asked.header("forwarded"), None);
            assert_eq!(asked.header("x-real-ip"), None);
            assert_eq!(asked.header("x-request-id").map(str::len), Some(32));
            let line = format!("GET {target} HTTP/1.1\r\n");
            assert!(asked.head.starts_with(&line), "{}", asked.head);
            asked.answer(200, "").await;
        };
        assert_eq!(tokio::join!(asking, answering).0.status, 200);
    }
}

#[tokio::test]
async fn the_address_is_that_of_the_connection() {
    let instance = BareInstance::start().await;
    let nginx = Nginx::start(&[instance.address]).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.7:0".parse().unwrap()).unwrap();
    let mut stream = socket.connect(nginx.http).await.unwrap();
    let handshake = websocket::request("EIO=4&transport=websocket");
    stream.write_all(handshake.as_bytes()).await.unwrap();
    let asked = instance.asked().await;
    assert_eq!(asked.header("x-forwarded-for"), Some("127.0.0.7"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_application_sees_the_client_and_nobody_else_may_say_who_it_is() {
    let gateway = TestGateway::start(Config {
        trusted_proxies: vec!["127.0.0.1/32".parse().unwrap()],
        ..Config::default()
    })
    .await;
    let nginx = Nginx::start(&[gateway.address]).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.7:0".parse().unwrap()).unwrap();
    let mut stream = socket.connect(nginx.http).await.unwrap();
    let handshake = websocket::request("EIO=4&transport=websocket");
    let claimed = handshake.replace("Host:", "X-Forwarded-For: 203.0.113.9\r\nHost:");
    stream.write_all(claimed.as_bytes()).await.unwrap();
    let mut socket = WebSocket::accepted(stream).await.unwrap();
    socket.send("40").await;
    socket.send(r#"421["address"]"#).await;
    let answer = loop {
        if let Some(answer) = socket.text().await.strip_prefix("431") {
            break answer.to_owned();
        }
    };
    assert_eq!(answer, r#"[["127.0.0.7","127.0.0.7"]]"#);
}

#[tokio::test]
async fn only_a_websocket_leaves_http() {
    let instance = BareInstance::start().await;
    let nginx = Nginx::start(&[instance.address]).await;
    let socket = "/socket.io/?EIO=4&transport=websocket";
    for (target, upgrade, passed) in [
        (socket, "websocket", Some("websocket")),
        (socket, "WebSocket", Some("websocket")),
        (socket, "h2c", None),
        (socket, "h2c, websocket", Some("websocket")),
        ("/api/v1/me", "websocket", None),
    ] {
        let headers = [("connection", "upgrade"), ("upgrade", upgrade)];
        let asking = request(nginx.http, Method::GET, target, &headers, "");
        let answering = async {
            let asked = instance.asked().await;
            assert_eq!(asked.header("upgrade"), passed, "{upgrade}");
            assert_eq!(asked.header("connection"), passed.and(Some("upgrade")));
            asked.answer(400, "").await;
        };
        assert_eq!(tokio::join!(asking, answering).0.status, 400);
    }
}
