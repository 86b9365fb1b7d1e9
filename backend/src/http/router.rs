//! The whole route table of the application's listener.
//!
//! What must stay true: the routes here are those of [`protocol::ROUTES`], which the documents are written from; a
//! test compares the two.

use std::{
    convert::Infallible,
    panic::AssertUnwindSafe,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::Request,
    handler::Handler,
    middleware::from_fn_with_state,
    response::{IntoResponse, Response},
    routing::{MethodFilter, MethodRouter, any, future::RouteFuture, get, on},
};
use futures_util::FutureExt;
use gateway::Gateway;
use http::{
    HeaderMap, HeaderName, StatusCode,
    header::{ACCEPT_ENCODING, CONTENT_TYPE, ORIGIN, RETRY_AFTER},
};
use hyper::body::Incoming;
use protocol::{
    ErrorBody, ErrorCode, Method,
    Method::{Delete, Get, Patch, Post, Put},
    Problem,
};
use tower::Service;
use tower_http::{
    compression::{
        CompressionLayer, Predicate,
        predicate::{NotForContentType, SizeAbove},
    },
    cors::{AllowHeaders, AllowOrigin, CorsLayer},
};

use super::{
    admin, audit, auth, blocks, devices, health, mail, me, media, members, messages, notifications,
    pages::{
        documents,
        web_client::{self, WebClient},
    },
    pipeline, publish,
    request_id::{REQUEST_ID, RequestId},
    rooms, security_headers, sessions, uploads, users,
};
use crate::{app::SharedApp, audit::actions, config::Config};

/// Bytes from which on compression is worth its while: less fits one packet anyway.
const COMPRESS_FROM: u64 = 1_024;

/// How long a browser may remember what other origins are allowed.
const CORS_AGE: Duration = Duration::from_secs(3_600);

/// A route of the table.
type Row = (Method, &'static str, MethodRouter<SharedApp>);

fn table() -> Vec<Row> {
    vec![
        row(Post, "/api/v1/auth/register", auth::register),
        row(Post, "/api/v1/auth/login", auth::login),
        row(Post, "/api/v1/auth/guest", auth::guest),
        row(Post, "/api/v1/auth/refresh", auth::refresh),
        row(Post, "/api/v1/auth/logout", auth::logout),
        row(Post, "/api/v1/auth/forgot", mail::forgot),
        row(Post, "/api/v1/auth/reset", mail::reset),
        row(Post, "/api/v1/auth/verify-email", mail::verify),
        row(Get, "/api/v1/mail/unsubscribe", mail::ask_unsubscribe),
        row(Post, "/api/v1/mail/unsubscribe", mail::unsubscribe),
        row(Get, "/api/v1/push/key", devices::push_key),
        row(Put, "/api/v1/devices/{deviceId}", devices::put),
        row(Delete, "/api/v1/devices/{deviceId}", devices::delete),
        row(Get, "/api/v1/me", me::read),
        row(Patch, "/api/v1/me", me::update),
        row(Delete, "/api/v1/me", me::delete),
        row(Post, "/api/v1/me/password", me::change_password),
        row(Put, "/api/v1/me/avatar", me::set_avatar),
        row(Get, "/api/v1/me/rooms", me::rooms),
        row(Get, "/api/v1/me/blocks", blocks::list),
        row(Put, "/api/v1/me/blocks/{userId}", blocks::put),
        row(Delete, "/api/v1/me/blocks/{userId}", blocks::delete),
        row(Get, "/api/v1/me/preferences", notifications::preferences),
        row(
            Patch,
            "/api/v1/me/preferences",
            notifications::update_preferences,
        ),
        row(Get, "/api/v1/notifications", notifications::list),
        row(
            Post,
            "/api/v1/notifications/read-all",
            notifications::read_all,
        ),
        row(
            Post,
            "/api/v1/notifications/{notificationId}/read",
            notifications::read,
        ),
        row(
            Get,
            "/api/v1/rooms/{roomId}/preferences",
            notifications::room_preferences,
        ),
        row(
            Put,
            "/api/v1/rooms/{roomId}/preferences",
            notifications::put_room_preferences,
        ),
        row(Get, "/api/v1/users", users::list),
        row(Get, "/api/v1/users/{userId}", users::read),
        row(Get, "/api/v1/sessions", sessions::list),
        row(Delete, "/api/v1/sessions", sessions::delete_others),
        row(Delete, "/api/v1/sessions/{sessionId}", sessions::delete),
        row(
            Get,
            "/api/v1/admin/users/{userId}/sessions",
            admin::sessions::list,
        ),
        row(
            Delete,
            "/api/v1/admin/users/{userId}/sessions",
            admin::sessions::delete_all,
        ),
        row(
            Delete,
            "/api/v1/admin/users/{userId}/sessions/{sessionId}",
            admin::sessions::delete,
        ),
        row(Post, "/api/v1/rooms", rooms::create),
        row(Get, "/api/v1/rooms", rooms::list),
        row(Get, "/api/v1/rooms/{roomId}", rooms::read),
        row(Patch, "/api/v1/rooms/{roomId}", rooms::update),
        row(Delete, "/api/v1/rooms/{roomId}", rooms::delete),
        row(Get, "/api/v1/rooms/{roomId}/members", members::list),
        row(Put, "/api/v1/rooms/{roomId}/members/{userId}", members::put),
        row(
            Delete,
            "/api/v1/rooms/{roomId}/members/{userId}",
            members::delete,
        ),
        row(Get, "/api/v1/rooms/{roomId}/messages", messages::list),
        row(Post, "/api/v1/rooms/{roomId}/messages", messages::post),
        row(Get, "/api/v1/rooms/{roomId}/events", messages::events),
        row(Get, "/api/v1/rooms/{roomId}/search", messages::search),
        row(Post, "/api/v1/publish", publish::publish),
        row(Get, "/api/v1/admin/instances", admin::instances::list),
        row(Get, "/api/v1/admin/keys", admin::keys::list),
        row(Post, "/api/v1/admin/keys", admin::keys::create),
        row(Delete, "/api/v1/admin/keys/{keyId}", admin::keys::delete),
        row(Get, "/api/v1/admin/circuits", admin::circuits::list),
        row(
            Put,
            "/api/v1/admin/circuits/{circuitName}",
            admin::circuits::set,
        ),
        row(Get, "/api/v1/admin/rate-limits", admin::rate_limits::read),
        row(
            Delete,
            "/api/v1/admin/rate-limits",
            admin::rate_limits::delete,
        ),
        row(Get, "/api/v1/admin/jobs", admin::jobs::list),
        row(Post, "/api/v1/admin/jobs", admin::jobs::settle),
        row(Get, "/api/v1/admin/rollups", admin::rollups::list),
        row(Get, "/api/v1/admin/audit", admin::audit::list),
        row(Get, "/api/v1/admin/audit/export", admin::audit::export),
        row(Post, "/api/v1/uploads", uploads::create),
        row(Get, "/api/v1/uploads/{uploadId}", uploads::read),
        row(
            Post,
            "/api/v1/uploads/{uploadId}/complete",
            uploads::complete,
        ),
        row(Put, pipeline::UPLOADS, uploads::put),
        row(Get, "/media/{key}", media::read),
        row(Get, "/health", health::ready),
        row(Get, "/health/live", health::live),
        row(Get, "/health/ready", health::ready),
        row(Get, "/live", health::live),
        row(Get, "/ready", health::ready),
        row(Get, "/api/docs", web_client::api_viewer),
        row(Get, "/api/docs/events", documents::events),
        row(Get, "/api/openapi.json", documents::openapi),
        row(Get, "/api/asyncapi.json", documents::asyncapi),
    ]
}

fn row<H, T>(method: Method, path: &'static str, handler: H) -> Row
where
    H: Handler<T, SharedApp>,
    T: 'static,
{
    let filter = match method {
        Get => MethodFilter::GET,
        Post => MethodFilter::POST,
        Put => MethodFilter::PUT,
        Patch => MethodFilter::PATCH,
        Delete => MethodFilter::DELETE,
    };
    (method, path, on(filter, handler))
}

/// Everything that is served over HTTP; requests of the transport go to `gateway`.
pub fn router(app: SharedApp, gateway: Gateway) -> HttpRouter {
    let cors = cors(&app.config);
    let transport = gateway.config().path.clone();
    // Its path is written with more slashes or fewer by some, which no pattern of a route covers.
    let observed = app.clone();
    let client = Arc::new(WebClient::new(&app.config.media));
    let page = client.clone();
    let transport_or_file = move |request: Request| {
        let (gateway, app, client) = (gateway.clone(), observed.clone(), client.clone());
        async move {
            let (started, method) = (Instant::now(), request.method().clone());
            let id = RequestId::of(request.headers());
            let hsts = security_headers::hsts(&app.config, request.headers());
            let mut response = if gateway.config().serves(request.uri().path()) {
                // A poll takes as long as nothing happens, which says nothing of the server.
                match AssertUnwindSafe(gateway.http(request)).catch_unwind().await {
                    Ok(answer) => answer.into_response(),
                    Err(panic) => pipeline::panicked(&*panic),
                }
            } else if let Some(refused) = pipeline::refuse_bot(&app, &request) {
                refused
            } else {
                let file = client.file(&request).into_response();
                let took = started.elapsed();
                app.metrics.answered(&method, None, file.status(), took);
                file
            };
            pipeline::finish(&mut response, &method, None, &id, hsts, started.elapsed());
            response
        }
    };
    let plain = table()
        .into_iter()
        .fold(Router::new(), |router, (method, path, handler)| {
            let handler = match actions::of_route(method, path) {
                Some(action) => {
                    let recorded = audit::Recorded::new(app.clone(), action);
                    handler.route_layer(from_fn_with_state(recorded, audit::record))
                }
                None => handler,
            };
            router.route(path, handler)
        })
        .route(
            "/",
            get(move |headers: HeaderMap| async move { page.page(&headers) }),
        )
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(app.clone(), pipeline::serve))
        .route(&transport, any(transport_or_file.clone()))
        .fallback(transport_or_file)
        .with_state(app);
    let complete = plain
        .clone()
        .layer(CompressionLayer::new().compress_when(worth_compressing()))
        .layer(cors);
    HttpRouter { plain, complete }
}

/// The routes, with and without what only some clients ask for.
#[derive(Clone)]
pub struct HttpRouter {
    plain: Router,
    /// For browsers on pages of other origins, and for clients that take compressed answers.
    complete: Router,
}

impl Service<http::Request<Incoming>> for HttpRouter {
    type Response = Response;
    type Error = Infallible;
    type Future = RouteFuture<Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Incoming>) -> Self::Future {
        let headers = request.headers();
        if headers.contains_key(ORIGIN) || headers.contains_key(ACCEPT_ENCODING) {
            self.complete.call(request)
        } else {
            self.plain.call(request)
        }
    }
}

async fn method_not_allowed() -> Response {
    let status = StatusCode::METHOD_NOT_ALLOWED;
    let body = ErrorBody::new(
        ErrorCode::Invalid,
        "the route doesn't take this method; the header Allow says which",
    );
    let problem = Problem {
        title: "Method Not Allowed".into(),
        status: status.as_u16(),
        ..Problem::from(body)
    };
    let content_type = [(CONTENT_TYPE, "application/problem+json")];
    (status, content_type, axum::Json(problem)).into_response()
}

fn worth_compressing() -> impl Predicate {
    // Files are compressed already, mostly, and their parts can't be.
    SizeAbove::new(COMPRESS_FROM)
        .and(NotForContentType::IMAGES)
        .and(NotForContentType::const_new("application/octet-stream"))
}

/// Pages of allowed origins may use all of the server, with whatever headers and credentials: nothing is granted for a
/// cookie, but a proxy in front may need its own, and clients that send them aren't answered without this.
fn cors(config: &Config) -> CorsLayer {
    let origins = match &config.allowed_origins {
        None => AllowOrigin::mirror_request(),
        Some(origins) => {
            let origins = origins.clone();
            AllowOrigin::predicate(move |origin, _| {
                let origin = origin.to_str().ok().and_then(|origin| origin.parse().ok());
                origin.is_some_and(|origin| origins.contains(&origin))
            })
        }
    };
    CorsLayer::new()
        .allow_origin(origins)
        .allow_credentials(true)
        .allow_methods([
            http::Method::GET,
            http::Method::POST,
            http::Method::PUT,
            http::Method::PATCH,
            http::Method::DELETE,
        ])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([
            RETRY_AFTER,
            REQUEST_ID,
            HeaderName::from_static("ratelimit-limit"),
            HeaderName::from_static("ratelimit-remaining"),
            HeaderName::from_static("ratelimit-reset"),
        ])
        .max_age(CORS_AGE)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use protocol::ROUTES;

    use super::*;

    #[test]
    fn the_router_serves_what_the_documents_describe() {
        let served: BTreeSet<_> = table()
            .iter()
            .map(|(method, path, _)| (*path, *method))
            .collect();
        let described: BTreeSet<_> = ROUTES
            .iter()
            .map(|route| (route.path, route.method))
            .collect();
        assert_eq!(served, described);
    }
}
