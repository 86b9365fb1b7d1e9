//! `admin/audit`: who did what.

use axum::{
    Json,
    body::{Body, Bytes},
    extract::State,
    response::{IntoResponse, Response},
};
use futures_util::{future::BoxFuture, stream};
use http::header::CONTENT_TYPE;
use protocol::{
    AuditEntry, ErrorBody, ErrorCode, ExportAudit, ListAudit, NumberedPage, Pagination,
    limits::{PAGE_BYTES_MAX, PAGE_DEFAULT},
};
use storage::{AuditCursor, AuditFilter, AuditStore};
use tokio::sync::OwnedSemaphorePermit;

use crate::{
    app::{App, SharedApp},
    audit::record::Trail,
    error::AppError,
    http::request::{Administrator, Query},
};

/// Entries of an export that are read at once.
const EXPORTED: u32 = 500;

/// The filter of a query: both have the same fields.
macro_rules! filter_of {
    ($request:ident) => {
        AuditFilter {
            from: $request.from,
            to: $request.to,
            action: $request.action,
            actor_id: $request.actor_id,
            target_kind: $request.target_kind,
            target_id: $request.target_id,
            outcome: $request.outcome,
            address: $request.address,
        }
    };
}

pub async fn list(
    State(app): State<SharedApp>,
    trail: Trail,
    _: Administrator,
    Query(request): Query<ListAudit>,
) -> Result<Json<NumberedPage<AuditEntry>>, AppError> {
    let store = store(&app)?;
    note(&trail, &request);
    let (page, limit) = (
        request.page.unwrap_or(1),
        request.limit.unwrap_or(PAGE_DEFAULT),
    );
    let filter = filter_of!(request);
    let (entries, total) = store.page(&filter, page, limit).await?;
    Ok(Json(NumberedPage {
        data: entries.into_iter().map(shown).collect(),
        pagination: Pagination::new(total, page, limit),
    }))
}

/// Reads no faster than the client does.
pub async fn export(
    State(app): State<SharedApp>,
    trail: Trail,
    _: Administrator,
    Query(request): Query<ExportAudit>,
) -> Result<Response, AppError> {
    let store = store(&app)?.clone();
    note(&trail, &request);
    let busy = || {
        let message = "too many exports are running; try again";
        AppError::from(ErrorBody::new(ErrorCode::Unavailable, message).retry_after_ms(5_000))
    };
    let permit = app.audit.exports().try_acquire_owned();
    let mut export = Export {
        store,
        filter: filter_of!(request),
        after: None,
        whole: false,
        _permit: permit.map_err(|_| busy())?,
    };
    // A refusal of the store is still an answer.
    let first = export.next().await?;
    let chunks = stream::try_unfold((first, export), |(ready, mut export)| async move {
        let Some(chunk) = ready else { return Ok(None) };
        let next = export.next().await.inspect_err(|error| {
            tracing::warn!(%error, "an export of the audit log was broken off");
        })?;
        Ok::<_, AppError>(Some((chunk, (next, export))))
    });
    let content_type = [(CONTENT_TYPE, "application/x-ndjson")];
    Ok((content_type, Body::from_stream(chunks)).into_response())
}

/// What remains of an export.
struct Export {
    store: AuditStore,
    filter: AuditFilter,
    after: Option<AuditCursor>,
    whole: bool,
    _permit: OwnedSemaphorePermit,
}

impl Export {
    /// The next lines; `None` at the end. Boxed, since the compiler can't tell otherwise that a stream of it may change threads.
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, AppError>> {
        Box::pin(self.read())
    }

    async fn read(&mut self) -> Result<Option<Bytes>, AppError> {
        if self.whole {
            return Ok(None);
        }
        let entries = self
            .store
            .export(&self.filter, self.after.as_ref(), EXPORTED)
            .await?;
        self.whole = entries.len() < EXPORTED as usize;
        self.after = entries.last().map(storage::AuditEntry::cursor);
        if entries.is_empty() {
            return Ok(None);
        }
        let mut lines = Vec::with_capacity(PAGE_BYTES_MAX / 8);
        for entry in entries {
            serde_json::to_writer(&mut lines, &shown(entry)).map_err(AppError::internal)?;
            lines.push(b'\n');
        }
        Ok(Some(lines.into()))
    }
}

fn store(app: &App) -> Result<&AuditStore, AppError> {
    app.audit
        .store()
        .ok_or_else(|| AppError::not_found("route"))
}

/// What was asked for, which is worth recording of who reads.
fn note(trail: &Trail, request: &impl serde::Serialize) {
    if let Ok(query) = serde_json::to_value(request) {
        trail.note(|record| record.set_detail("query", query));
    }
}

fn shown(entry: storage::AuditEntry) -> AuditEntry {
    AuditEntry {
        id: entry.id,
        at: entry.at,
        action: entry.action,
        outcome: entry.outcome,
        actor_id: entry.actor_id,
        actor_kind: entry.actor_kind,
        session_id: entry.session_id,
        address: entry.address,
        target_kind: entry.target_kind,
        target_id: entry.target_id,
        details: entry
            .details
            .and_then(|details| serde_json::from_str(&details).ok()),
        request_id: entry.request_id,
        instance: entry.instance,
    }
}
