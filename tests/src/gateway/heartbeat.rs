//! Pings, and the two ways to be too late.

use std::time::Duration;

use gateway::{CloseReason, Config};

use super::test_gateway::TestGateway;
use crate::{
    client::{
        polling::Polling,
        websocket::{Incoming, WebSocket},
    },
    deadline::becomes,
};

fn quick() -> Config {
    Config {
        ping_interval: Duration::from_millis(50),
        ping_timeout: Duration::from_millis(200),
        connect_timeout: Duration::from_millis(200),
        ..Config::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_answers_stays() {
    let gateway = TestGateway::start(Config {
        // A loaded machine may take its time for a pong.
        ping_timeout: Duration::from_secs(20),
        ..quick()
    })
    .await;
    let mut socket = gateway.websocket().await;
    for _ in 0..5 {
        assert_eq!(socket.next().await, Incoming::Text("2".into()));
        socket.send("3").await;
    }
    let polling = gateway.polling().await;
    for _ in 0..5 {
        assert_eq!(polling.receive().await, ["2"]);
        polling.send("3").await;
    }
    assert_eq!(gateway.gateway.connections(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_answer_is_closed() {
    let gateway = TestGateway::start(quick()).await;
    let mut socket = gateway.websocket().await;
    assert_eq!(socket.closed().await.0, 1008);
    becomes("the end of the silent", 1, || {
        gateway.closed(CloseReason::PingTimeout)
    })
    .await;
    let ended = gateway.rooms.ended.lock()[0].clone();
    assert_eq!(ended.reason, CloseReason::PingTimeout);

    let polling = gateway.polling().await;
    while polling.get().await.status == 200 {}
    becomes("the end of the silent", 2, || {
        gateway.closed(CloseReason::PingTimeout)
    })
    .await;
    assert_eq!(gateway.gateway.connections(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_connects_to_no_namespace_is_closed() {
    let gateway = TestGateway::start(Config {
        ping_interval: Duration::from_secs(20),
        ..quick()
    })
    .await;
    let mut socket = WebSocket::open(gateway.address).await;
    assert_eq!(socket.closed().await.0, 1008);
    let polling = Polling::open(gateway.address).await;
    while polling.get().await.status == 200 {}
    // Refused by the only namespace it asked for, or gone from it: the same.
    let mut refused = WebSocket::open(gateway.address).await;
    refused.send("40/refused,").await;
    assert!(refused.text().await.starts_with("44/refused,"));
    assert_eq!(refused.closed().await.0, 1008);
    let mut left = gateway.websocket().await;
    left.send("41").await;
    assert_eq!(left.closed().await.0, 1008);
    becomes("their end", 4, || {
        gateway.closed(CloseReason::ConnectTimeout)
    })
    .await;
}
