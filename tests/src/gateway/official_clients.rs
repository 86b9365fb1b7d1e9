//! The official clients, unmodified. Their cases are in `tests/clients`, in their own languages; here they are started
//! against a gateway and have to succeed.

use std::time::Duration;

use gateway::{Config, Stats};

use crate::{
    client::official::{javascript_tests, python_tests},
    gateway::{
        fleet::{Instance, fleet},
        round_robin::RoundRobin,
        test_gateway::TestGateway,
    },
};

/// Pings often, so that all cases live through some.
fn config() -> Config {
    Config {
        ping_interval: Duration::from_millis(500),
        // Bursts of thousands of events are what the cases send.
        event_burst: 10_000,
        ..Config::default()
    }
}

async fn gateway() -> TestGateway {
    TestGateway::start(config()).await
}

/// Three instances behind a proxy that sends every request to the next one.
struct Spread {
    instances: [Instance; 3],
    front: RoundRobin,
}

impl Spread {
    async fn start() -> Self {
        let instances = fleet(config()).await;
        let front = RoundRobin::start(&instances).await;
        Self { instances, front }
    }

    fn url(&self) -> String {
        format!("http://{}", self.front.address)
    }

    fn count(&self, of: fn(&Stats) -> u64) -> u64 {
        let stats = self.instances.iter().map(|i| of(i.hub.stats()));
        stats.sum()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn socket_io_client() {
    let gateway = gateway().await;
    let url = format!("http://{}", gateway.address);
    javascript_tests("gateway.test.mjs", &[("GATEWAY_URL", &url)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ws() {
    let gateway = gateway().await;
    let url = format!("http://{}", gateway.address);
    javascript_tests("websocket.test.mjs", &[("GATEWAY_URL", &url)]).await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn socket_io_client_without_sticky_sessions() {
    let spread = Spread::start().await;
    javascript_tests("gateway.test.mjs", &[("GATEWAY_URL", &spread.url())]).await;
    assert!(spread.count(Stats::tunnelled_polls) > 100);
    assert!(spread.count(Stats::tunnelled_upgrades) > 5);
}

async fn python_socketio_spread(cases: &str) -> Spread {
    let spread = Spread::start().await;
    let url = spread.url();
    python_tests(&format!("gateway_test.{cases}"), &[("GATEWAY_URL", &url)]).await;
    spread
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_socketio_without_sticky_sessions_over_websocket() {
    let spread = python_socketio_spread("OverWebSocket").await;
    assert_eq!(spread.count(Stats::tunnelled_upgrades), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_socketio_without_sticky_sessions_over_polling() {
    let spread = python_socketio_spread("OverPolling").await;
    assert!(spread.count(Stats::tunnelled_polls) > 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_socketio_without_sticky_sessions_over_upgrade() {
    let spread = python_socketio_spread("OverUpgrade").await;
    assert!(spread.count(Stats::tunnelled_upgrades) > 5);
}
