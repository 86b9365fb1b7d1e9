//! Circuit breakers as administrators see and set them. In use on a fleet with PostgreSQL.

use serde_json::{Value, json};
use stack::PostgresDatabase;

use crate::{
    deadline::within,
    server::test_app::{Answer, Person, TestApp, on_a_fleet},
};

const CIRCUITS: &str = "/api/v1/admin/circuits";

async fn listed(app: &TestApp, admin: &Person) -> Value {
    let mut page = app.get(CIRCUITS, Some(admin)).await.expect(200);
    assert_eq!(page["hasMore"], false);
    page["circuits"].take()
}

async fn set(app: &TestApp, admin: &Person, name: &str, state: &str) -> Answer {
    let path = format!("{CIRCUITS}/{name}");
    app.put(&path, admin, json!({ "state": state })).await
}

#[tokio::test(flavor = "multi_thread")]
async fn only_circuits_in_use_are_there() {
    let (app, admin) = TestApp::start().await.with_administrator("ada").await;
    assert_eq!(listed(&app, &admin).await, json!([]));
    for name in ["postgresql", "nothing"] {
        let answer = set(&app, &admin, name, "open").await;
        answer.refused("not_found");
    }
    let answer = set(&app, &admin, "postgresql", "ajar").await;
    assert!(answer.refused("invalid").starts_with("state"));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_circuit_is_set_on_all_instances() {
    if !on_a_fleet() {
        return;
    }
    let database = PostgresDatabase::shared();
    let app = TestApp::start_with(&[("DATABASE_URL", &database.url)]).await;
    app.migrate().await;
    let (app, admin) = app.with_administrator("ada").await;
    // One instance after the other is asked.
    let everywhere = async |mode: &str, state: &str| {
        within("a circuit that is set", async {
            let mut instances = 0;
            while instances < 2 {
                let circuits = listed(&app, &admin).await;
                let circuit = &circuits[0];
                assert_eq!(circuit["name"], "postgresql");
                let is_set = circuit["mode"] == mode && circuit["state"] == state;
                instances = if is_set { instances + 1 } else { 0 };
            }
        })
        .await;
    };
    everywhere("automatic", "closed").await;
    let opened = set(&app, &admin, "postgresql", "open").await.expect(200);
    assert_eq!(opened["circuit"]["state"], "open");
    everywhere("open", "open").await;
    within("a report of it", async {
        loop {
            let report = app.operations().get("/health/ready", None).await;
            assert_eq!(report.status, 200, "chat goes on");
            if report.body["status"] == "degraded" {
                let message = &report.body["checks"]["postgresql"]["message"];
                assert_eq!(message, "the circuit breaker is open");
                return;
            }
        }
    })
    .await;
    set(&app, &admin, "postgresql", "automatic")
        .await
        .expect(200);
    everywhere("automatic", "closed").await;
    app.stop().await;
    drop(database);
}
