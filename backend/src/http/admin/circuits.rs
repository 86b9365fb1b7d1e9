//! `admin/circuits`: the circuit breakers.

use axum::{Json, extract::State};
use protocol::{CircuitBody, CircuitName, CircuitPage, SetCircuit};

use crate::{
    app::SharedApp,
    audit::record::Trail,
    error::AppError,
    http::request::{Administrator, JsonBody, Path},
};

pub async fn list(State(app): State<SharedApp>, _: Administrator) -> Json<CircuitPage> {
    Json(CircuitPage {
        circuits: app.circuits.list(),
        has_more: false,
    })
}

pub async fn set(
    State(app): State<SharedApp>,
    trail: Trail,
    Administrator(actor): Administrator,
    Path(name): Path<CircuitName>,
    JsonBody(request): JsonBody<SetCircuit>,
) -> Result<Json<CircuitBody>, AppError> {
    trail.note(|record| {
        record.set_detail("state", request.state.name());
    });
    let circuit = app.circuits.set(name.as_str(), request.state).await?;
    tracing::info!(circuit = %name, mode = ?request.state, user = %actor.user_id, "an administrator set a circuit");
    Ok(Json(CircuitBody { circuit }))
}
