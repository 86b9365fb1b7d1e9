//! The official clients through nginx: all that they can do with a gateway they can do through it.

use std::time::Duration;

use gateway::{Config, Stats};

use super::proxy::Nginx;
use crate::{
    client::official::{javascript_tests, python_tests},
    gateway::{
        fleet::{Instance, fleet},
        test_gateway::TestGateway,
    },
};

/// Pings often, so that all cases live through some.
fn config() -> Config {
    Config {
        ping_interval: Duration::from_millis(500),
        // Bursts of thousands of events are what the cases send.
        event_burst: 10_000,
        trusted_proxies: vec!["127.0.0.1/32".parse().unwrap()],
        ..Config::default()
    }
}

async fn gateway() -> (TestGateway, Nginx) {
    let gateway = TestGateway::start(config()).await;
    let nginx = Nginx::start(&[gateway.address]).await;
    (gateway, nginx)
}

/// Three instances that pass requests on to each other, behind one nginx.
async fn spread() -> ([Instance; 3], Nginx) {
    let instances = fleet(config()).await;
    let nginx = Nginx::start(&instances.each_ref().map(|i| i.address)).await;
    (instances, nginx)
}

fn count(instances: &[Instance], of: fn(&Stats) -> u64) -> u64 {
    instances.iter().map(|i| of(i.hub.stats())).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn socket_io_client_over_tls() {
    let (_gateway, nginx) = gateway().await;
    let url = format!("https://{}", nginx.https);
    let certificate = nginx.certificate();
    let certificate = certificate.to_str().unwrap();
    let environment = [("GATEWAY_URL", &*url), ("NODE_EXTRA_CA_CERTS", certificate)];
    javascript_tests("gateway.test.mjs", &environment).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn socket_io_client() {
    let (_gateway, nginx) = gateway().await;
    let url = format!("http://{}", nginx.http);
    javascript_tests("gateway.test.mjs", &[("GATEWAY_URL", &url)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_socketio_over_tls() {
    let (_gateway, nginx) = gateway().await;
    let url = format!("https://{}", nginx.https);
    let certificate = nginx.certificate();
    let certificate = certificate.to_str().unwrap();
    let environment = [("GATEWAY_URL", &*url), ("SSL_CERT_FILE", certificate)];
    python_tests("gateway_test", &environment).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn socket_io_client_without_sticky_sessions() {
    let (instances, nginx) = spread().await;
    let url = format!("http://{}", nginx.http);
    javascript_tests("gateway.test.mjs", &[("GATEWAY_URL", &url)]).await;
    assert!(count(&instances, Stats::tunnelled_polls) > 100);
    assert!(count(&instances, Stats::tunnelled_upgrades) > 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_socketio_without_sticky_sessions() {
    let (instances, nginx) = spread().await;
    let url = format!("http://{}", nginx.http);
    python_tests("gateway_test", &[("GATEWAY_URL", &url)]).await;
    assert!(count(&instances, Stats::tunnelled_polls) > 100);
}
