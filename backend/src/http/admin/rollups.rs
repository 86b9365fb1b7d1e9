//! `admin/rollups`: what happened on each day.

use axum::{Json, extract::State};
use protocol::{ListRollups, RollupPage};

use crate::{
    app::SharedApp,
    error::AppError,
    http::request::{Administrator, Query},
    rollups,
};

pub async fn list(
    State(app): State<SharedApp>,
    _: Administrator,
    Query(request): Query<ListRollups>,
) -> Result<Json<RollupPage>, AppError> {
    // None in a fleet without tables.
    let rollups = app.rollups.as_ref();
    let rollups = rollups.ok_or_else(|| AppError::not_found("route"))?;
    Ok(Json(rollups::list(rollups, &request).await?))
}
