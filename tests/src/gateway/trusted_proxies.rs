//! Clients behind proxies: where the application sees them, and whose word that depends on.

use ::http::{Method, StatusCode};
use gateway::Config;
use tokio::{io::AsyncWriteExt, net::TcpStream};

use super::{fleet::fleet, round_robin::RoundRobin, test_gateway::TestGateway};
use crate::client::{
    http::request,
    polling::Polling,
    websocket::{self, WebSocket},
};

fn trusting(network: &str) -> Config {
    Config {
        trusted_proxies: vec![network.parse().unwrap()],
        ..Config::default()
    }
}

/// What the application says of a polling client that says it is at `forwarded`.
async fn polled(gateway: &TestGateway, forwarded: &str) -> String {
    let headers = [("x-forwarded-for", forwarded)];
    let target = "/socket.io/?EIO=4&transport=polling";
    let open = request(gateway.address, Method::GET, target, &headers, "").await;
    let sid = open.text().split('"').nth(3).unwrap().to_owned();
    let target = format!("{target}&sid={sid}");
    let send = |body: &'static str| request(gateway.address, Method::POST, &target, &[], body);
    assert_eq!(send("40").await.text(), "ok");
    assert_eq!(send(r#"421["address"]"#).await.text(), "ok");
    loop {
        let poll = request(gateway.address, Method::GET, &target, &[], "").await;
        if let Some((_, address)) = poll.text().split_once("431") {
            return address.into();
        }
    }
}

/// The same of a WebSocket client.
async fn websocketed(gateway: &TestGateway, forwarded: &str) -> String {
    let head = websocket::request("EIO=4&transport=websocket");
    let head = head.replace("Host:", &format!("X-Forwarded-For: {forwarded}\r\nHost:"));
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut socket = WebSocket::accepted(stream).await.unwrap();
    socket.send("40").await;
    socket.send(r#"421["address"]"#).await;
    loop {
        if let Some(address) = socket.text().await.strip_prefix("431") {
            return address.into();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trusted_one_says_where_the_client_is() {
    let gateway = TestGateway::start(trusting("127.0.0.0/8")).await;
    let client = r#"[["203.0.113.9","203.0.113.9"]]"#;
    let forwarded = "198.51.100.7, 203.0.113.9, 127.0.0.2";
    assert_eq!(polled(&gateway, forwarded).await, client);
    assert_eq!(websocketed(&gateway, forwarded).await, client);
    let proxy = r#"[["127.0.0.1","127.0.0.1"]]"#;
    assert_eq!(polled(&gateway, "nobody").await, proxy);
    assert_eq!(websocketed(&gateway, "nobody").await, proxy);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_else_does() {
    let gateway = TestGateway::start(trusting("10.0.0.0/8")).await;
    let peer = r#"[["127.0.0.1","127.0.0.1"]]"#;
    assert_eq!(polled(&gateway, "203.0.113.9").await, peer);
    assert_eq!(websocketed(&gateway, "203.0.113.9").await, peer);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_the_host_that_a_trusted_one_names_may_connect() {
    let status = |proxies: &'static str, origin: &'static str| async move {
        let gateway = TestGateway::start(Config {
            allowed_origins: Some(Vec::new()),
            ..trusting(proxies)
        })
        .await;
        let headers = [
            ("origin", origin),
            ("x-forwarded-host", "chat.example"),
            ("x-forwarded-proto", "https"),
        ];
        let target = "/socket.io/?EIO=4&transport=polling";
        request(gateway.address, Method::GET, target, &headers, "")
            .await
            .status
    };
    let (own, insecure) = ("https://chat.example", "http://chat.example");
    assert_eq!(status("127.0.0.1/32", own).await, StatusCode::OK);
    assert_eq!(
        status("127.0.0.1/32", insecure).await,
        StatusCode::FORBIDDEN
    );
    assert_eq!(status("10.0.0.0/8", own).await, StatusCode::FORBIDDEN);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_owner_believes_the_instance_that_passes_a_request_on() {
    let instances: [_; 2] = fleet(trusting("127.0.0.0/8")).await;
    let front = RoundRobin::start(&instances).await;
    let polling = Polling::open(front.address).await;
    polling.send("40").await;
    polling.send(r#"421["address"]"#).await;
    let mut received = Vec::new();
    while received.len() < 3 {
        received.extend(polling.receive().await);
    }
    assert_eq!(received[2], r#"431[["127.0.0.1","127.0.0.1"]]"#);
    let tunnelled = instances.iter().map(|i| i.hub.stats().tunnelled_polls());
    assert!(tunnelled.sum::<u64>() > 0);
}
