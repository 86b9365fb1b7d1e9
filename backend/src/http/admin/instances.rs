//! `admin/instances`: the live instances.

use axum::{Json, extract::State};
use protocol::{Instance, InstancePage};

use crate::{app::SharedApp, http::request::Administrator};

pub async fn list(State(app): State<SharedApp>, _: Administrator) -> Json<InstancePage> {
    let own = app.instances.own();
    let live = app.instances.live();
    let mut instances: Vec<_> = live
        .iter()
        .map(|instance| Instance {
            id: instance.id.to_string(),
            current: instance.id == own,
        })
        .collect();
    instances.sort_by(|a, b| a.id.cmp(&b.id));
    Json(InstancePage {
        instances,
        has_more: false,
    })
}
