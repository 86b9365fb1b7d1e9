//! `admin/jobs`: jobs that failed for good.

use axum::{Json, extract::State};
use protocol::{
    DeadJob, DeadJobsSettled, ListDeadJobs, NumberedPage, Pagination, SettleDeadJobs,
    limits::PAGE_DEFAULT,
};

use crate::{
    app::{App, SharedApp},
    audit::record::Trail,
    error::AppError,
    http::request::{Administrator, JsonBody, Query},
    jobs::Jobs,
};

pub async fn list(
    State(app): State<SharedApp>,
    _: Administrator,
    Query(request): Query<ListDeadJobs>,
) -> Result<Json<NumberedPage<DeadJob>>, AppError> {
    let store = jobs(&app)?.queue().store();
    let page = request.page.unwrap_or(1);
    let limit = request.limit.unwrap_or(PAGE_DEFAULT);
    let (dead, total) = store.dead(request.kind.as_deref(), page, limit).await?;
    let shown = |job: storage::DeadJob| DeadJob {
        kind: job.kind,
        id: job.id,
        enqueued_at: job.enqueued_at,
        died_at: job.died_at,
        attempts: job.attempts,
        error: job.error,
    };
    Ok(Json(NumberedPage {
        data: dead.into_iter().map(shown).collect(),
        pagination: Pagination::new(total, page, limit),
    }))
}

pub async fn settle(
    State(app): State<SharedApp>,
    trail: Trail,
    _: Administrator,
    JsonBody(request): JsonBody<SettleDeadJobs>,
) -> Result<Json<DeadJobsSettled>, AppError> {
    let jobs = jobs(&app)?;
    let (kind, id) = (request.kind.as_str(), request.id.as_deref());
    trail.note(|record| {
        record.set_target("job", kind);
        record.set_detail("action", request.action.name());
        if let Some(id) = id {
            record.set_detail("id", id);
        }
    });
    let store = jobs.queue().store();
    let settled = store.settle_dead(request.action, kind, id).await?;
    if settled == 0 && id.is_some() {
        return Err(AppError::not_found("job"));
    }
    jobs.queue().wake();
    Ok(Json(DeadJobsSettled { jobs: settled }))
}

/// None in a fleet without tables.
fn jobs(app: &App) -> Result<&Jobs, AppError> {
    app.jobs
        .as_ref()
        .ok_or_else(|| AppError::not_found("route"))
}
