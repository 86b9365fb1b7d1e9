//! Recording of what requests do: whatever `audit/actions.rs` has an action for, once its outcome is known.

use axum::{
    extract::{FromRequestParts, Request, State},
    http::request::Parts,
    middleware::Next,
    response::Response,
};
use gateway::PeerAddress;
use protocol::{ApiKeyId, AuditOutcome, Credential, ErrorCode, ROUTES};

use super::request_id::RequestId;
use crate::{
    app::SharedApp,
    audit::{
        actions::RouteAction,
        record::{Record, Trail},
    },
    error::{AppError, Concerns},
};

/// What the middleware of one route knows.
#[derive(Clone)]
pub struct Recorded {
    app: SharedApp,
    action: &'static RouteAction,
    /// Whether its callers have proved who they are before it does anything.
    proven: bool,
}

impl Recorded {
    /// Of a route.
    pub fn new(app: SharedApp, action: &'static RouteAction) -> Self {
        let mut routes = ROUTES.iter();
        let route = routes.find(|route| route.method == action.method && route.path == action.path);
        let proven = route.is_none_or(|route| {
            matches!(
                route.needs,
                Credential::AccessToken | Credential::Administrator
            )
        });
        Self {
            app,
            action,
            proven,
        }
    }
}

/// Serves a request and records what it did. Within what goes on when the client is gone.
pub async fn record(
    State(recorded): State<Recorded>,
    mut request: Request,
    next: Next,
) -> Response {
    if !recorded.app.audit.is_on() {
        return next.run(request).await;
    }
    let trail = Trail::new(begun(&request, recorded.action));
    request.extensions_mut().insert(trail.clone());
    let mut ending = Ending {
        recorded,
        trail,
        // Of a handler that panics.
        refusal: Some(ErrorCode::Internal),
    };
    let response = next.run(request).await;
    if let Some(Concerns { user, reason }) = response.extensions().get() {
        ending.trail.note(|record| {
            if let Some(user) = user {
                record.set_target("user", user.as_str());
            }
            record.set_detail("reason", *reason);
        });
    }
    let failed = || (!response.status().is_success()).then_some(ErrorCode::Internal);
    let code = response.extensions().get::<ErrorCode>().copied();
    ending.refusal = code.or_else(failed);
    response
}

fn begun(request: &Request, action: &RouteAction) -> Record {
    let mut record = Record::new(action.recording.name(), AuditOutcome::Succeeded);
    let extensions = request.extensions();
    if let Some(PeerAddress(peer)) = extensions.get() {
        record = record.from_address(peer.ip().to_canonical());
    }
    if let Some(RequestId(id)) = extensions.get() {
        record = record.in_request(id.clone());
    }
    let mut parameters = parameters(action.path, request.uri().path());
    if let Some((name, id)) = parameters.next() {
        // Somebody may have put a whole API key there instead of its id.
        if name != "keyId" || ApiKeyId::is_form_of(id) {
            record.set_target(name.strip_suffix("Id").unwrap_or(name), id);
        }
    }
    for (name, id) in parameters {
        // Only what an id looks like: anything may stand in a path.
        if id.parse::<protocol::UserId>().is_ok() {
            record.set_detail(name, id);
        }
    }
    record
}

/// The names in a pattern of a path, and what stands in their place.
fn parameters<'a>(
    pattern: &'static str,
    path: &'a str,
) -> impl Iterator<Item = (&'static str, &'a str)> {
    let pairs = pattern.split('/').zip(path.split('/'));
    pairs.filter_map(|(pattern, part)| {
        let name = pattern.strip_prefix('{')?.strip_suffix('}')?;
        Some((name, part))
    })
}

/// Records at the end, also where a handler panics.
struct Ending {
    recorded: Recorded,
    trail: Trail,
    refusal: Option<ErrorCode>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        let Recorded {
            app,
            action,
            proven,
        } = &self.recorded;
        let record = self.trail.record();
        app.audit
            .record_outcome(action.recording, record, self.refusal, *proven);
    }
}

impl FromRequestParts<SharedApp> for Trail {
    type Rejection = AppError;

    async fn from_request_parts(parts: &mut Parts, _: &SharedApp) -> Result<Self, AppError> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_those_of_the_pattern() {
        let found = parameters(
            "/api/v1/rooms/{roomId}/members/{userId}",
            "/api/v1/rooms/r1/members/u2",
        );
        assert_eq!(
            found.collect::<Vec<_>>(),
            [("roomId", "r1"), ("userId", "u2")]
        );
        assert_eq!(parameters("/api/v1/me", "/api/v1/me").count(), 0);
    }
}
