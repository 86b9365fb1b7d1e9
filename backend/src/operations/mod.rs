//! The operations listener: metrics, and health with the names of what the server depends on. It belongs to a network
//! that clients don't reach; clients' own listener answers health without names.

mod scrape;

use axum::{
    Router, extract::State, http::header::CONTENT_TYPE, response::IntoResponse, routing::get,
};
use gateway::Gateway;
use std::time::Duration;
use tokio::task::spawn_blocking;

use crate::{app::SharedApp, error::AppError, http::health, metrics::Metrics};

/// How often observations are taken in, whether somebody asks for them or not.
const UPKEEP: Duration = Duration::from_secs(5);

/// The format that Prometheus calls text, in the version that it reads.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Everything that is served to operators.
pub fn router(app: SharedApp, gateway: Gateway) -> Router {
    Router::new()
        .route(
            "/metrics",
            get(move |State(app): State<SharedApp>| async move {
                let redis = scrape::redis_loads(&app).await;
                // Goes through all connections.
                let text = spawn_blocking(move || {
                    app.metrics
                        .render(|scrape| scrape::read(&app, &gateway, &redis, scrape))
                });
                match text.await {
                    Ok(text) => ([(CONTENT_TYPE, TEXT)], text).into_response(),
                    Err(error) => AppError::internal(error).into_response(),
                }
            }),
        )
        .route("/health", get(health::ready_in_detail))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready_in_detail))
        .route("/live", get(health::live))
        .route("/ready", get(health::ready_in_detail))
        .with_state(app)
}

/// Takes in what was observed, for ever.
pub async fn run_upkeep(metrics: &Metrics) {
    let mut ticks = tokio::time::interval(UPKEEP);
    loop {
        ticks.tick().await;
        metrics.run_upkeep();
    }
}
