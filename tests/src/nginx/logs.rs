//! What nginx writes down of requests: not what would let somebody in.

use gateway::Config;
use http::{Method, StatusCode};
use serde_json::Value;
use tokio::{io::AsyncWriteExt, net::TcpStream};

use super::proxy::{Nginx, Port};
use crate::{
    client::{http::request, polling::Polling, websocket::WebSocket},
    deadline::within,
    gateway::test_gateway::TestGateway,
};

/// What must not be found, beside sids; parts of everything that is sent here.
const SECRETS: [&str; 4] = ["EIO=", "transport", "hush", "sid"];

#[tokio::test]
async fn no_query_is_in_any_log_whatever_becomes_of_the_request() {
    let gateway = TestGateway::start(Config::default()).await;
    let gone = Port::reserve();
    let changes = [
        ("site/http.conf", "rate=10r/s", "rate=1r/m"),
        ("site/server.conf", "burst=50 ", "burst=1 "),
    ];
    let nginx = Nginx::start_with(&[gateway.address, gone.address], &changes).await;
    let polling = Polling::open(nginx.http).await;
    polling.send("40").await;
    // Some of these meet the instance that isn't there.
    for _ in 0..4 {
        polling.post("42[\"echo\",\"hush\"]").await;
        polling.get().await;
    }
    let sid = &polling.sid;
    let upgrade = format!("EIO=4&transport=websocket&sid={sid}");
    for _ in 0..3 {
        drop(WebSocket::handshake(nginx.http, &upgrade).await);
    }
    let targets = [
        format!("/socket.io/?EIO=4&transport=polling&sid={sid}"),
        "/api/v1/auth/login?hush".to_owned(),
        "/api/v1/rooms?query=hush".to_owned(),
        "/metrics?hush".to_owned(),
        "/socket.io?hush".to_owned(),
        "/socket.io/x/..%2f?hush".to_owned(),
    ];
    let long = "x".repeat(2_000_000);
    let referrer = [
        ("referer", "https://chat.example/?hush"),
        ("authorization", "Bearer hush"),
    ];
    for target in &targets {
        for address in [nginx.http, nginx.redirect] {
            request(address, Method::GET, target, &referrer, "").await;
            request(address, Method::POST, target, &referrer, "").await;
            request(address, Method::POST, target, &[], long.clone()).await;
        }
        // Whoever gives up before there is an answer, and what is no request.
        let line = format!("GET {target} HTTP/1.1\r\n");
        for rest in [
            "host: localhost\r\n\r\n",
            "host:\u{1}\r\n\r\n",
            "\0",
            "host: a\r\nhost: b\r\n\r\n",
        ] {
            let mut stream = TcpStream::connect(nginx.http).await.unwrap();
            stream
                .write_all([&line, rest].concat().as_bytes())
                .await
                .unwrap();
        }
    }
    // All instances lost: what nginx would have most to say about.
    nginx.reload(&[gone.address]);
    within("the new configuration", async {
        while nginx.get("/health").await.status != StatusCode::SERVICE_UNAVAILABLE {}
    })
    .await;
    for target in &targets {
        request(nginx.http, Method::GET, target, &referrer, "").await;
    }

    let log = nginx.stop().await;
    for secret in SECRETS.iter().copied().chain([&**sid]) {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret}");
    }
    // And it does say what became of them.
    let lines = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let told: Vec<_> = lines.filter(|line| line["path"] == "/socket.io/").collect();
    for (status, instance_status) in [("200", "200"), ("503", "502"), ("413", "")] {
        let found = told.iter().find(|line| {
            line["status"] == status
                && line["instance_status"]
                    .as_str()
                    .unwrap()
                    .ends_with(instance_status)
        });
        let line = found.unwrap_or_else(|| panic!("no {status} in {log}"));
        assert_eq!(line["address"], "127.0.0.1");
    }
}
