//! The operations listener: what is counted is shown, and what is shown is documented.

use ::http::Method;

use std::{collections::BTreeSet, fs, path::Path};

use super::test_app::{TestApp, on_a_fleet};
use crate::client::http::request;

/// The value of a series, such as `tertulia_connections`.
fn value(metrics: &str, series: &str) -> Option<f64> {
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map(|value| value.parse().unwrap())
}

async fn scrape(app: &TestApp) -> String {
    let answer = request(app.operations().address(), Method::GET, "/metrics", &[], "").await;
    assert_eq!(answer.status, 200);
    answer.text().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_is_counted() {
    let app = TestApp::start_embedded().await;
    let ana = app.register("ana").await;
    let mut socket = app.connect(&ana).await;
    let room = socket.create("public", "kitchen").await;
    socket.say(&room, "one").await;
    app.get("/api/v1/me", None).await;
    app.get("/nowhere.png", None).await;
    let metrics = scrape(&app).await;
    for (series, at_least) in [
        ("tertulia_connections", 1.0),
        ("tertulia_connections_opened_total", 1.0),
        ("tertulia_events_total", 2.0),
        ("tertulia_deliveries_total", 1.0),
        ("tertulia_rooms", 1.0),
        ("tertulia_users_online", 1.0),
        ("tertulia_delivery_seconds_count", 1.0),
        ("tertulia_store_seconds_count{operation=\"append\"}", 1.0),
        ("tertulia_store_seconds_count{operation=\"write\"}", 2.0),
        ("tertulia_store_grouped_writes_total", 3.0),
        ("tertulia_sqlite_wal_bytes", 1.0),
        (
            "tertulia_http_requests_total{method=\"POST\",route=\"/api/v1/auth/register\",status=\"2xx\"}",
            1.0,
        ),
        (
            "tertulia_http_requests_total{method=\"GET\",route=\"/api/v1/me\",status=\"4xx\"}",
            1.0,
        ),
        (
            "tertulia_http_request_seconds_count{method=\"GET\",route=\"/api/v1/me\"}",
            1.0,
        ),
        (
            "tertulia_http_requests_total{method=\"any\",route=\"none\",status=\"4xx\"}",
            1.0,
        ),
        ("process_resident_memory_bytes", 1.0),
        ("tokio_tasks", 1.0),
    ] {
        let value = value(&metrics, series);
        assert!(
            value.is_some_and(|value| value >= at_least),
            "{series} is {value:?} in\n{metrics}"
        );
    }
    // Nothing of what clients sent is a label.
    assert!(
        !metrics.contains("nowhere") && !metrics.contains(&room),
        "{metrics}"
    );
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_shown_is_documented() {
    let app = TestApp::start().await;
    let ana = app.register("ana").await;
    app.connect(&ana).await;
    let metrics = scrape(&app).await;
    let shown: BTreeSet<_> = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .collect();
    let groups = tertulia::operations::groups();
    let described: BTreeSet<_> = groups
        .iter()
        .flat_map(|(_, metrics)| *metrics)
        .map(|m| m.name)
        .collect();
    for line in &shown {
        let name = line.split(' ').next().unwrap();
        assert!(described.contains(name), "{name} isn't described");
    }
    if on_a_fleet() {
        for name in [
            "tertulia_bus_connected",
            "tertulia_redis_connected{use=\"redis\"}",
        ] {
            assert_eq!(value(&metrics, name), Some(1.0), "{name}");
        }
        let stored = "tertulia_mongodb_messages_total{outcome=\"stored\"}";
        assert_eq!(value(&metrics, stored), Some(0.0), "{stored}");
    }
    app.stop().await;
}

#[test]
fn the_page_of_metrics_is_written_from_the_code() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = fs::read_to_string(root.join("docs/metrics.md")).unwrap_or_default();
    let written = tertulia::operations::document();
    if page != written {
        let path = root.join("target/metrics.md");
        fs::write(&path, written).unwrap();
        panic!(
            "docs/metrics.md is out of date; the new one is {}",
            path.display()
        );
    }
}
