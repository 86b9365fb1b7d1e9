//! Jobs of a fleet: instances enqueue them, workers run them, administrators see what failed for good.

use std::{net::SocketAddr, time::Duration};

use ::http::Method;
use protocol::{DeadJobAction, Timestamp};
use serde_json::json;
use stack::PostgresDatabase;
use storage::{DeadJob, JobStore, Postgres, PostgresConfig, Sql};
use tertulia::{admin, config::Config, server::StartError, worker};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

use crate::{client::http::request, deadline::within, server::test_app::TestApp};

/// A running worker.
struct Worker {
    operations: SocketAddr,
    stop: oneshot::Sender<()>,
    running: JoinHandle<Result<(), StartError>>,
}

impl Worker {
    async fn start(config: Config) -> Self {
        let operations = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (stop, stopped) = oneshot::channel();
        Self {
            operations: operations.local_addr().unwrap(),
            stop,
            running: tokio::spawn(worker::start(config, operations, async {
                drop(stopped.await);
            })),
        }
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        let ended = within("the worker's end", self.running).await;
        ended.unwrap().unwrap();
    }
}

async fn shows(operations: SocketAddr, path: &str, text: &str) {
    within(text, async {
        loop {
            let answer = request(operations, Method::GET, path, &[], "").await;
            if answer.text().contains(text) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}

/// Waits until a counter isn't 0.
async fn counts(operations: SocketAddr, series: &str) {
    within(series, async {
        loop {
            let answer = request(operations, Method::GET, "/metrics", &[], "").await;
            let mut lines = answer.text().lines();
            if lines.any(|line| line.starts_with(series) && !line.ends_with(" 0")) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}

/// A fleet with tables, and with a broker if that is wanted.
async fn fleet(database: &PostgresDatabase, with_broker: bool) -> TestApp {
    let prefix = format!("test-{:016x}", rand::random::<u64>());
    let broker = stack::address("RABBITMQ_URL");
    let mut variables = vec![("DATABASE_URL", database.url.as_str())];
    if with_broker {
        variables.push(("RABBITMQ_URL", &broker));
        variables.push(("RABBITMQ_PREFIX", &prefix));
    }
    Postgres::migrate(&postgres(database)).await.unwrap();
    TestApp::start_fleet(&variables).await
}

fn postgres(database: &PostgresDatabase) -> PostgresConfig {
    PostgresConfig {
        url: database.url.parse().unwrap(),
        replica_urls: Vec::new(),
        write_pool_size: 2,
        read_pool_size: 2,
        ca_file: None,
    }
}

const SUCCEEDED: &str = r#"tertulia_job_runs_total{kind="jobs.expire_dead",outcome="succeeded"}"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_runs_what_instances_enqueue() {
    let database = PostgresDatabase::shared();
    let app = fleet(&database, true).await;
    let config = app.configuration();
    let published = r#"tertulia_rabbitmq_published_total{outcome="confirmed"}"#;
    let instances = app.operations().address();
    shows(
        instances,
        "/metrics",
        r#"tertulia_rabbitmq_connected{use="publish"} 1"#,
    )
    .await;
    // One of the two has published it.
    let other = app.operations().address();
    tokio::select! {
        () = counts(instances, published) => {}
        () = counts(other, published) => {}
    }
    let worker = Worker::start(config.clone()).await;
    shows(
        worker.operations,
        "/health/ready",
        r#""rabbitmq":{"status":"ok""#,
    )
    .await;
    counts(worker.operations, SUCCEEDED).await;
    let connected = r#"tertulia_rabbitmq_connected{use="consume"} 1"#;
    shows(worker.operations, "/metrics", connected).await;
    // It is no instance: clients' requests aren't sent to it.
    shows(worker.operations, "/metrics", "tertulia_users_online 0").await;
    worker.stop().await;

    let mut wrong = config.clone();
    wrong.jobs.kinds = Some(vec!["jobs.unknown".to_owned()]);
    let refused = Worker::start(wrong).await.running.await.unwrap();
    let message = refused.unwrap_err().to_string();
    assert!(
        message.contains("jobs.unknown") && message.contains("jobs.expire_dead"),
        "{message}"
    );
    let mut alone = config;
    alone.jobs.broker = None;
    let refused = Worker::start(alone).await.running.await.unwrap();
    assert!(refused.unwrap_err().to_string().contains("RABBITMQ_URL"));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_without_a_broker_run_jobs_themselves() {
    let database = PostgresDatabase::shared();
    let app = fleet(&database, false).await;
    let (one, other) = (app.operations().address(), app.operations().address());
    tokio::select! {
        () = counts(one, SUCCEEDED) => {}
        () = counts(other, SUCCEEDED) => {}
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_failed_for_good_are_listed_replayed_and_dropped() {
    let database = PostgresDatabase::shared();
    let (app, root) = fleet(&database, false)
        .await
        .with_administrator("root")
        .await;
    let tables = Sql::postgres(Postgres::connect(postgres(&database)).unwrap());
    let store = JobStore::new(tables);
    for id in ["1", "2", "3", "4"] {
        let dead = DeadJob {
            kind: "test.gone".to_owned(),
            id: id.to_owned(),
            payload: r#"{"secret":true}"#.to_owned(),
            enqueued_at: Timestamp::now(),
            died_at: Timestamp::now(),
            attempts: 3,
            error: "the service is gone".to_owned(),
        };
        store.keep_dead(dead).await.unwrap();
    }
    let path = "/api/v1/admin/jobs";
    let listed = app
        .get(&format!("{path}?kind=test.gone&limit=3"), Some(&root))
        .await;
    let listed = listed.expect(200);
    assert_eq!(listed["pagination"]["total"], 4);
    assert_eq!(listed["data"].as_array().unwrap().len(), 3);
    let first = &listed["data"][0];
    assert_eq!(
        (first["attempts"].as_u64(), first["error"].as_str()),
        (Some(3), Some("the service is gone"))
    );
    assert!(!listed.to_string().contains("secret"));
    let settle = async |action: &str, id: Option<&str>| {
        let mut body = json!({ "action": action, "kind": "test.gone" });
        if let Some(id) = id {
            body["id"] = id.into();
        }
        app.post(path, Some(&root), body).await
    };
    assert_eq!(settle("replay", Some("1")).await.expect(200)["jobs"], 1);
    assert_eq!(settle("drop", Some("2")).await.expect(200)["jobs"], 1);
    assert_eq!(settle("drop", Some("2")).await.code(), "not_found");
    assert_eq!(settle("forget", Some("3")).await.code(), "invalid");
    let waiting = store.waiting(Timestamp::now()).await.unwrap();
    assert!(
        waiting
            .iter()
            .any(|kind| kind.kind == "test.gone" && kind.due == 1)
    );
    let ana = app.register("ana").await;
    assert_eq!(app.get(path, Some(&ana)).await.code(), "forbidden");

    // The commands.
    let config = app.configuration();
    let lines = admin::dead_jobs(&config, Some("test.gone")).await.unwrap();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].contains("the service is gone"), "{lines:?}");
    let action = DeadJobAction::Drop;
    assert_eq!(
        admin::settle_dead_jobs(&config, action, "test.gone", None)
            .await
            .unwrap(),
        2
    );
    admin::settle_dead_jobs(&config, action, "test.gone", None)
        .await
        .unwrap_err();
    app.stop().await;
}
