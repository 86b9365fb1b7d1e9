//! `health`: the routes of probes.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use protocol::{HealthReport, HealthStatus};
use std::collections::BTreeMap;

use crate::app::SharedApp;

/// The routes of this file, which are served when there isn't room for others.
pub const PATHS: [&str; 5] = [
    "/health",
    "/health/live",
    "/health/ready",
    "/live",
    "/ready",
];

/// Whether the process works.
pub async fn live(State(app): State<SharedApp>) -> Json<HealthReport> {
    Json(app.health.live())
}

/// Whether everything works that the server can't do without: for clients, without the names of dependencies.
pub async fn ready(State(app): State<SharedApp>) -> Response {
    answer(HealthReport {
        checks: BTreeMap::new(),
        ..app.health.ready().await
    })
}

/// As [`ready`], with the names of dependencies: for operators.
pub async fn ready_in_detail(State(app): State<SharedApp>) -> Response {
    answer(app.health.ready().await)
}

fn answer(report: HealthReport) -> Response {
    let status = match report.status {
        HealthStatus::Ok | HealthStatus::Degraded => StatusCode::OK,
        HealthStatus::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, Json(report)).into_response()
}
