//! Jobs of a server that is alone.

use std::time::Duration;

use super::test_app::{TestApp, on_a_fleet};
use crate::deadline::within;

#[tokio::test(flavor = "multi_thread")]
async fn a_server_runs_its_own_jobs() {
    if on_a_fleet() {
        // Its tables are in PostgreSQL, which tests of the fleet give it.
        return;
    }
    let app = TestApp::start().await;
    let succeeded = r#"tertulia_job_runs_total{kind="jobs.expire_dead",outcome="succeeded"}"#;
    within("a job that has succeeded", async {
        while !metrics(&app)
            .await
            .lines()
            .any(|line| line.starts_with(succeeded) && !line.ends_with(" 0"))
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    app.stop().await;
}

/// What operators see.
async fn metrics(app: &TestApp) -> String {
    let operations = app.operations().address();
    let answer =
        crate::client::http::request(operations, ::http::Method::GET, "/metrics", &[], "").await;
    answer.text().to_owned()
}
