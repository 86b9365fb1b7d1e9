//! Circuit breakers as administrators see and set them.

use serde_json::{Value, json};

use crate::server::test_app::{Answer, Person, TestApp};

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
