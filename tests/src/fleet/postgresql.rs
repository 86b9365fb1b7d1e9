//! PostgreSQL of a fleet: its commands, what operators see of it, and that chat goes on without it.

use ::http::Method;
use stack::{PostgresDatabase, Stack};

use super::fleet::Fleet;
use crate::{client::http::request, deadline::within, server::test_app::TestApp};

#[tokio::test(flavor = "multi_thread")]
async fn the_command_migrates_it_once() {
    let database = PostgresDatabase::shared();
    let fleet = Fleet::new().with("DATABASE_URL", &database.url);
    for _ in 0..2 {
        let (done, printed) = fleet.run(&["migrate"]).await;
        assert!(done, "{printed}");
    }
    let fleet = fleet.with("DATABASE_URL", "postgres://ana:hidden@127.0.0.1:9/chat");
    let (done, printed) = fleet.run(&["migrate"]).await;
    assert!(!done && !printed.contains("hidden"), "{printed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn chat_goes_on_without_it_and_operators_see_why() {
    let stack = Stack::start(&["postgresql"]);
    let database = PostgresDatabase::on(&stack);
    let app = TestApp::start_fleet(&[
        ("DATABASE_URL", &database.url),
        ("DATABASE_REPLICA_URLS", &database.replica_urls),
    ])
    .await;
    let is = async |status: &str| {
        within(status, async {
            loop {
                let report = app.operations().get("/health", None).await;
                if report.body["checks"]["postgresql"]["status"] == status {
                    return;
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        })
        .await;
    };
    is("ok").await;
    let metrics = async || {
        let operations = app.operations().address();
        let answer = request(operations, Method::GET, "/metrics", &[], "").await;
        answer.text().to_owned()
    };
    within("a replica in rotation", async {
        let in_rotation = "tertulia_postgresql_replicas{state=\"in_rotation\"} 1";
        while !metrics().await.contains(in_rotation) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    let ana = app.register("ana").await;
    let mut anas = app.connect(&ana).await;
    let room = anas.create("public", "hall").await;
    anas.say(&room, "with it").await;

    for member in ["postgresql/primary", "postgresql/replica"] {
        stack.signal_processes(member, "", "KILL");
    }
    is("degraded").await;
    anas.say(&room, "without it").await;
    app.get("/health/ready", None).await.expect(200);
    within("a metric that says so", async {
        while !metrics()
            .await
            .contains("tertulia_postgresql_primary_answers 0")
        {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;

    stack.up();
    is("ok").await;
    anas.say(&room, "with it again").await;
    app.stop().await;
    drop(database);
}
