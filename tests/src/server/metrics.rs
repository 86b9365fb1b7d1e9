//! The operations listener: what is counted is shown, and what is shown is documented.

use std::{collections::BTreeSet, fs, path::Path, sync::Mutex, time::Duration};

use ::http::Method;
use protocol::ErrorCode;
use serde_json::json;
use tokio::net::TcpStream;

use super::{
    chat_client::ChatClient,
    test_app::{TestApp, on_a_fleet},
};
use crate::{
    client::{http::request, polling::Polling},
    deadline::PATIENCE,
};

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

/// Scrapes until each series has at least this value.
pub async fn counted(app: &TestApp, expected: &[(&str, f64)]) -> String {
    let last = Mutex::new(String::new());
    let counting = async {
        loop {
            let metrics = scrape(app).await;
            let reached = |(series, at_least): &(&str, f64)| {
                value(&metrics, series).is_some_and(|value| value >= *at_least)
            };
            let missing = expected.iter().find(|expected| !reached(expected));
            let Some((series, at_least)) = missing else {
                return metrics;
            };
            *last.lock().unwrap() = format!("{series} isn't {at_least} in\n{metrics}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    match tokio::time::timeout(PATIENCE, counting).await {
        Ok(metrics) => metrics,
        Err(_) => panic!("{}", last.lock().unwrap()),
    }
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
    let metrics = counted(
        &app,
        &[
            ("tertulia_connections{transport=\"websocket\"}", 1.0),
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
        ],
    )
    .await;
    // Nothing of what clients sent is a label.
    assert!(
        !metrics.contains("nowhere") && !metrics.contains(&room),
        "{metrics}"
    );
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_timed_by_event_and_refusals_counted_by_code() {
    let app = TestApp::start_embedded().await;
    let ana = app.register("ana").await;
    let mut socket = app.connect(&ana).await;
    let room = socket.create("public", "kitchen").await;
    for body in ["one", "two"] {
        socket.say(&room, body).await;
    }
    let unknown = json!({ "roomId": "00000000-0000-7000-8000-000000000000" });
    socket.refused("room:join", unknown).await;
    socket.refused("no:such event", json!({})).await;
    app.get("/api/v1/me", None).await;
    let address = app.address();
    let nobody = ChatClient::try_connect(address, json!({ "token": "forged" })).await;
    assert!(nobody.is_err());
    let metrics = counted(
        &app,
        &[
            ("tertulia_ack_seconds_count{event=\"room:create\"}", 1.0),
            ("tertulia_ack_seconds_count{event=\"message:send\"}", 2.0),
            ("tertulia_ack_seconds_count{event=\"room:join\"}", 1.0),
            ("tertulia_ack_seconds_count{event=\"other\"}", 1.0),
            (
                "tertulia_errors_total{channel=\"ack\",code=\"not_found\"}",
                1.0,
            ),
            (
                "tertulia_errors_total{channel=\"ack\",code=\"invalid\"}",
                1.0,
            ),
            (
                "tertulia_errors_total{channel=\"http\",code=\"unauthenticated\"}",
                1.0,
            ),
            (
                "tertulia_errors_total{channel=\"connect\",code=\"unauthenticated\"}",
                1.0,
            ),
        ],
    )
    .await;
    assert!(!metrics.contains("no:such"), "{metrics}");
    for code in ErrorCode::ALL {
        let series = format!(
            "tertulia_errors_total{{channel=\"ack\",code=\"{}\"}}",
            code.as_str()
        );
        assert!(value(&metrics, &series).is_some(), "{series}");
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_counted_by_what_they_are_and_queues_by_what_they_hold() {
    let app = TestApp::start_with(&[]).await;
    let ana = app.register("ana").await;
    let _socket = app.connect(&ana).await;
    // All at the instance that the metrics are read from.
    let address = app.address();
    let polling = Polling::open(address).await;
    // Its answer waits for a poll that doesn't come.
    polling.send("40").await;
    let idle = TcpStream::connect(address).await.unwrap();
    for query in ["EIO=3&transport=polling", "EIO=4&transport=pigeon"] {
        let target = format!("/socket.io/?{query}");
        request(address, Method::GET, &target, &[], "").await;
    }
    let expected = [
        ("tertulia_connections{transport=\"polling\"}", 1.0),
        ("tertulia_queue_connections", 1.0),
        ("tertulia_queue_frames", 1.0),
        ("tertulia_queue_bytes", 128.0),
        ("tertulia_http_connections{kind=\"ordinary\"}", 1.0),
        ("tertulia_http_connections{kind=\"spare\"}", 0.0),
        ("tertulia_http_connections{kind=\"internal\"}", 0.0),
        ("tertulia_byte_budget_used_bytes{budget=\"queues\"}", 0.0),
        ("tertulia_byte_budget_max_bytes{budget=\"queues\"}", 1e6),
        ("tertulia_byte_budget_max_bytes{budget=\"bodies\"}", 1e6),
        (
            "tertulia_connections_refused_total{reason=\"protocol_version\"}",
            1.0,
        ),
        (
            "tertulia_connections_refused_total{reason=\"unknown_transport\"}",
            1.0,
        ),
    ];
    counted(&app, &expected).await;
    drop(idle);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_that_is_missed_is_counted() {
    let variables = [("PING_INTERVAL_MS", "100"), ("PING_TIMEOUT_MS", "100")];
    let app = TestApp::start_with(&variables).await;
    // Nobody polls, so no ping is answered.
    Polling::open(app.address()).await;
    let expected = [
        ("tertulia_heartbeats_missed_total", 1.0),
        (
            "tertulia_connections_closed_total{reason=\"no_namespace\"}",
            0.0,
        ),
        (
            "tertulia_connections_closed_total{reason=\"ping_timeout\"}",
            1.0,
        ),
    ];
    counted(&app, &expected).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_is_measured_and_says_how_loaded_it_is() {
    if !on_a_fleet() {
        return;
    }
    let app = TestApp::start().await;
    app.register("ana").await;
    let expected = [
        ("tertulia_redis_command_seconds_count{use=\"redis\"}", 1.0),
        (
            "tertulia_redis_command_seconds_count{use=\"redis_sessions\"}",
            1.0,
        ),
        ("tertulia_redis_commands_waiting{use=\"redis\"}", 0.0),
        (
            "tertulia_redis_commands_failed_total{use=\"redis\",error=\"unanswered\"}",
            0.0,
        ),
        ("tertulia_redis_memory_used_bytes{use=\"redis\"}", 1e5),
        ("tertulia_redis_memory_max_bytes{use=\"redis\"}", 0.0),
        ("tertulia_redis_clients{use=\"redis\"}", 1.0),
    ];
    counted(&app, &expected).await;
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
    let groups = tertulia::metrics::catalogue::groups();
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
    let written = tertulia::metrics::catalogue::document();
    if page != written {
        let path = root.join("target/metrics.md");
        fs::write(&path, written).unwrap();
        panic!(
            "docs/metrics.md is out of date; the new one is {}",
            path.display()
        );
    }
}
