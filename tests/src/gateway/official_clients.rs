//! The official clients, unmodified. Their cases are in `tests/clients`, in their own languages; here they are started
//! against a gateway and have to succeed.

use std::time::Duration;

use gateway::Config;

use crate::{
    client::official::{javascript_tests, python_tests},
    gateway::test_gateway::TestGateway,
};

/// Pings often, so that all cases live through some.
async fn gateway() -> TestGateway {
    TestGateway::start(Config {
        ping_interval: Duration::from_millis(500),
        // Bursts of thousands of events are what the cases send.
        event_burst: 10_000,
        ..Config::default()
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn socket_io_client() {
    let gateway = gateway().await;
    let url = format!("http://{}", gateway.address);
    javascript_tests("gateway.test.mjs", &[("GATEWAY_URL", &url)]).await;
}

async fn python_socketio(cases: &str) {
    let gateway = gateway().await;
    let url = format!("http://{}", gateway.address);
    python_tests(&format!("gateway_test.{cases}"), &[("GATEWAY_URL", &url)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_socketio_over_websocket() {
    python_socketio("OverWebSocket").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_socketio_over_polling() {
    python_socketio("OverPolling").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_socketio_over_upgrade() {
    python_socketio("OverUpgrade").await;
}
