//! The whole route table of the application's listener, and what every request goes through.
//!
//! What must stay true: the routes here are those of [`protocol::ROUTES`], which the documents are written from; a
//! test compares the two.

use std::{
    any::Any,
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::{Request, State},
    handler::Handler,
    middleware::{Next, from_fn, from_fn_with_state, map_response},
    response::{IntoResponse, Response},
    routing::{MethodFilter, MethodRouter, any, get, on},
};
use gateway::Gateway;
use http::{
    HeaderName, HeaderValue, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER},
};
use protocol::{
    ErrorBody, ErrorCode, Method,
    Method::{Delete, Get, Patch, Post, Put},
    Problem,
};
use tower_http::{
    catch_panic::CatchPanicLayer,
    compression::{
        CompressionLayer, Predicate,
        predicate::{NotForContentType, SizeAbove},
    },
    cors::{AllowHeaders, AllowOrigin, CorsLayer},
};

use super::{
    admin, audit, auth, blocks, health, me, members, messages,
    pages::{documents, web_client},
    publish, request_log, rooms, security_headers, sessions, users,
};
use crate::{app::SharedApp, audit::actions, config::Config, error::AppError};

/// How long a client is kept waiting for an answer.
const TIME: Duration = Duration::from_secs(30);

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
        row(Get, "/api/v1/me", me::read),
        row(Patch, "/api/v1/me", me::update),
        row(Delete, "/api/v1/me", me::delete),
        row(Post, "/api/v1/me/password", me::change_password),
        row(Get, "/api/v1/me/rooms", me::rooms),
        row(Get, "/api/v1/me/blocks", blocks::list),
        row(Put, "/api/v1/me/blocks/{userId}", blocks::put),
        row(Delete, "/api/v1/me/blocks/{userId}", blocks::delete),
        row(Get, "/api/v1/users", users::list),
        row(Get, "/api/v1/users/{userId}", users::read),
        row(Get, "/api/v1/sessions", sessions::list),
        row(Delete, "/api/v1/sessions/{sessionId}", sessions::delete),
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
pub fn router(app: SharedApp, gateway: Gateway) -> Router {
    let cors = cors(&app.config);
    let transport = gateway.config().path.clone();
    // Its path is written with more slashes or fewer by some, which no pattern of a route covers.
    let observed = app.clone();
    let transport_or_file = move |request: Request| {
        let (gateway, app) = (gateway.clone(), observed.clone());
        async move {
            // A poll takes as long as nothing happens, which says nothing of the server.
            if gateway.config().serves(request.uri().path()) {
                return gateway.http(request).await.into_response();
            }
            let (started, method) = (Instant::now(), request.method().clone());
            let file = web_client::file(request).await.into_response();
            app.metrics
                .answered(&method, None, file.status(), started.elapsed());
            file
        }
    };
    table()
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
        .route("/", get(web_client::html))
        .layer(from_fn_with_state(app.clone(), once_started))
        // Behind the routes that take their time by design: polls wait for news.
        .layer(from_fn(in_time))
        .layer(from_fn_with_state(app.clone(), request_log::observe))
        .route(&transport, any(transport_or_file.clone()))
        .fallback(transport_or_file)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(CompressionLayer::new().compress_when(worth_compressing()))
        .layer(cors)
        .layer(map_response(security_headers::add))
        .layer(from_fn(request_log::log))
        .with_state(app)
}

/// Answers a request that takes too long, and keeps answers of the API out of caches.
///
/// A request that has begun goes on to its end, in a task of its own: what follows a write (telling who was removed,
/// cutting a revoked session's connections) must not depend on whether the client waits for the answer.
async fn in_time(request: Request, next: Next) -> Response {
    let served = tokio::spawn(next.run(request));
    let mut response = match tokio::time::timeout(TIME, served).await {
        Ok(Ok(response)) => response,
        Ok(Err(ended)) => match ended.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(cancelled) => AppError::internal(cancelled).into_response(),
        },
        Err(_) => {
            let body = ErrorBody::new(
                ErrorCode::Unavailable,
                "the request took too long; try again",
            );
            AppError::from(body.retry_after_ms(1_000)).into_response()
        }
    };
    response
        .headers_mut()
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Until everything is there that the server needs, only its health and its pages are served.
async fn once_started(State(app): State<SharedApp>, request: Request, next: Next) -> Response {
    if app.startup.is_over() || !request.uri().path().starts_with("/api/v1/") {
        return next.run(request).await;
    }
    let body = ErrorBody::new(ErrorCode::Unavailable, "the server is starting; try again");
    AppError::from(body.retry_after_ms(1_000)).into_response()
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

fn panicked(cause: Box<dyn Any + Send>) -> Response {
    let text = cause.downcast_ref::<&str>().copied();
    let text = text.or_else(|| cause.downcast_ref::<String>().map(String::as_str));
    AppError::internal(format_args!(
        "a handler panicked: {}",
        text.unwrap_or("unknown")
    ))
    .into_response()
}

fn worth_compressing() -> impl Predicate {
    SizeAbove::new(COMPRESS_FROM).and(NotForContentType::IMAGES)
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
            request_log::REQUEST_ID,
            HeaderName::from_static("ratelimit-limit"),
            HeaderName::from_static("ratelimit-remaining"),
            HeaderName::from_static("ratelimit-reset"),
        ])
        .max_age(CORS_AGE)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use axum::body::Body;
    use protocol::ROUTES;
    use tower::ServiceExt;

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

    async fn ask(router: Router) -> (StatusCode, Problem) {
        let answer = router.oneshot(Request::new(Body::empty())).await.unwrap();
        let status = answer.status();
        let body = axum::body::to_bytes(answer.into_body(), 10_000)
            .await
            .unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn what_takes_too_long_may_be_tried_again() {
        let router = Router::new().route("/", get(std::future::pending::<()>));
        let (status, problem) = ask(router.layer(from_fn(in_time))).await;
        assert_eq!(
            (status, problem.code),
            (StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Unavailable)
        );
        assert!(problem.retryable && problem.retry_after_ms.is_some());
    }

    #[tokio::test]
    async fn a_panic_says_nothing_of_its_cause() {
        async fn panicking() {
            panic!("a secret");
        }
        let router = Router::new().route("/", get(panicking));
        let (status, problem) = ask(router.layer(CatchPanicLayer::custom(panicked))).await;
        assert_eq!(
            (status, problem.code),
            (StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::Internal)
        );
        assert!(!problem.detail.contains("secret"));
    }
}
