//! What every request of the table goes through, in one layer: each layer of a stack costs allocations, and together they
//! cost more than most reads.

use std::{
    future::poll_fn,
    panic::AssertUnwindSafe,
    task::Poll,
    time::{Duration, Instant},
};

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{
    HeaderValue, Method, StatusCode,
    header::{CACHE_CONTROL, USER_AGENT},
};
use protocol::{ErrorBody, ErrorCode};

use super::{
    health, rate_limit,
    request_id::{REQUEST_ID, RequestId},
    security_headers,
};
use crate::{
    app::{App, SharedApp},
    error::AppError,
    limits::unfinished::UnfinishedRequest,
    metrics::Channel,
};

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// How long a client is kept waiting for an answer.
const TIME: Duration = Duration::from_secs(30);

/// Where the bytes of uploads come in, which take as long as the client's network needs; a pause ends them sooner.
pub const UPLOADS: &str = "/media/uploads/{uploadId}";
const UPLOAD_TIME: Duration = Duration::from_secs(15 * 60);

/// Serves a request of the table: in time, once the server has started, within its rate limits, observed, and with what every answer says.
pub async fn serve(State(app): State<SharedApp>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = RequestId::of(request.headers());
    request.extensions_mut().insert(id.clone());
    let method = request.method().clone();
    let path = request.extensions().get::<MatchedPath>().cloned();
    let path = path.as_ref().map(MatchedPath::as_str);
    let time = if path == Some(UPLOADS) {
        UPLOAD_TIME
    } else {
        TIME
    };
    let hsts = security_headers::hsts(&app.config, request.headers());
    let mut response = if let Some(refused) = refuse_bot(&app, &request) {
        refused
    } else if is_early(&app, &request) {
        unavailable("the server is starting; try again")
    } else {
        match rate_limit::admit(&app, &mut request, path.unwrap_or_default()).await {
            Ok(admitted) => {
                let (grant, unfinished) = admitted.unzip();
                let mut response = run(request, next, unfinished, time).await;
                if let Some(grant) = grant {
                    rate_limit::add_headers(&mut response, grant);
                }
                response
            }
            Err(error) => error.into_response(),
        }
    };
    response
        .headers_mut()
        .entry(CACHE_CONTROL)
        .or_insert(NO_STORE);
    let status = response.status();
    let took = started.elapsed();
    app.metrics.answered(&method, path, status, took);
    if let Some(code) = response.extensions().get::<ErrorCode>() {
        app.metrics.refused(Channel::Http, *code);
    }
    finish(&mut response, &method, path, &id, hsts, took);
    response
}

/// The refusal of a program that isn't served, by what it calls itself. Health checks are answered whoever asks.
pub fn refuse_bot(app: &App, request: &Request) -> Option<Response> {
    let user_agent = request.headers().get(USER_AGENT)?.to_str().ok()?;
    if !app.config.user_agents.refuse(user_agent) || health::PATHS.contains(&request.uri().path()) {
        return None;
    }
    app.metrics.refused_bot();
    let message = "automated clients of this kind aren't served";
    Some(AppError::forbidden(message).into_response())
}

/// Adds to an answer what every one says, and logs it.
pub fn finish(
    response: &mut Response,
    method: &Method,
    path: Option<&str>,
    id: &RequestId,
    hsts: Option<HeaderValue>,
    took: Duration,
) {
    security_headers::add(response, hsts);
    if let Some(id) = id.header() {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    log(method, path, response.status(), id, took);
}

/// Until everything is there that the server needs, only its health and its pages are served.
fn is_early(app: &SharedApp, request: &Request) -> bool {
    !app.startup.is_over() && request.uri().path().starts_with("/api/v1/")
}

/// Answers in time. A request that isn't answered at once goes on in a task of its own, whether the client waits for the answer or
/// not: what follows a write (telling who was removed, cutting a revoked session's connections) must not depend on that, a search
/// keeps its permits for as long as it runs, and the databases' drivers lose connections with what is dropped. A read ends
/// after `time` all the same. Its place among those of its user is its own until then.
async fn run(
    request: Request,
    next: Next,
    place: Option<UnfinishedRequest>,
    time: Duration,
) -> Response {
    let reads = request.method().is_safe();
    let mut serving = Box::pin(async move {
        let response = next.run(request).await;
        drop(place);
        response
    });
    let at_once = poll_fn(|context| {
        let polled = AssertUnwindSafe(|| serving.as_mut().poll(context));
        Poll::Ready(std::panic::catch_unwind(polled))
    });
    match at_once.await {
        Ok(Poll::Ready(response)) => return response,
        Ok(Poll::Pending) => {}
        Err(panic) => return panicked(&*panic),
    }
    let served = if reads {
        tokio::spawn(tokio::time::timeout(time, serving)).await
    } else {
        match tokio::time::timeout(time, tokio::spawn(serving)).await {
            Ok(served) => served.map(Ok),
            Err(elapsed) => Ok(Err(elapsed)),
        }
    };
    match served {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => unavailable("the request took too long; try again"),
        Err(ended) => match ended.try_into_panic() {
            Ok(panic) => panicked(&*panic),
            Err(cancelled) => AppError::internal(cancelled).into_response(),
        },
    }
}

fn unavailable(message: &'static str) -> Response {
    let body = ErrorBody::new(ErrorCode::Unavailable, message);
    AppError::from(body.retry_after_ms(1_000)).into_response()
}

/// The answer in place of one whose making panicked.
pub fn panicked(panic: &(dyn std::any::Any + Send)) -> Response {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    AppError::internal(format_args!(
        "a handler panicked: {}",
        text.unwrap_or("unknown")
    ))
    .into_response()
}

/// One line in the log for each request, at `debug` for those that only read and succeed: a line costs as much as such an
/// answer. Only the route's pattern is written, never the query or the ids in the path: a query may hold a polling
/// connection's `sid`, which lets in whoever knows it.
fn log(method: &Method, path: Option<&str>, status: StatusCode, id: &RequestId, took: Duration) {
    let RequestId(id) = id;
    let (path, status, ms) = (
        path.unwrap_or("unknown"),
        status.as_u16(),
        took.as_millis() as u64,
    );
    if status < 400 && method.is_safe() {
        tracing::debug!(%method, path, status, ms, %id, "request");
    } else {
        tracing::info!(%method, path, status, ms, %id, "request");
    }
}

#[cfg(test)]
mod tests {
    use axum::{Router, body::Body, middleware::from_fn, routing::get};
    use futures_util::FutureExt;
    use protocol::Problem;
    use tower::ServiceExt;

    use super::*;

    async fn ask(router: Router, method: Method) -> (StatusCode, Problem) {
        let request = Request::builder().method(method).body(Body::empty());
        let answer = router.oneshot(request.unwrap()).await.unwrap();
        let status = answer.status();
        let body = axum::body::to_bytes(answer.into_body(), 10_000)
            .await
            .unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    fn router<H, T>(handler: H) -> Router
    where
        H: axum::handler::Handler<T, ()>,
        T: 'static,
    {
        let route = get(handler.clone()).post(handler);
        let router = Router::new().route("/", route);
        router.layer(from_fn(|request, next| run(request, next, None, TIME)))
    }

    #[tokio::test(start_paused = true)]
    async fn what_takes_too_long_may_be_tried_again() {
        for method in [Method::GET, Method::POST] {
            let (status, problem) = ask(router(std::future::pending::<()>), method).await;
            assert_eq!(
                (status, problem.code),
                (StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Unavailable)
            );
            assert!(problem.retryable && problem.retry_after_ms.is_some());
        }
    }

    #[tokio::test]
    async fn a_panic_says_nothing_of_its_cause() {
        async fn at_once() {
            panic!("a secret");
        }
        async fn later() {
            tokio::task::yield_now().await;
            panic!("a secret");
        }
        for (router, method) in [
            (router(at_once), Method::GET),
            (router(later), Method::GET),
            (router(later), Method::POST),
        ] {
            let (status, problem) = ask(router, method).await;
            assert_eq!(
                (status, problem.code),
                (StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::Internal)
            );
            assert!(!problem.detail.contains("secret"));
        }
    }

    #[tokio::test]
    async fn what_has_begun_goes_on_when_the_client_is_gone() {
        for method in [Method::GET, Method::POST] {
            let (go_on, may_go_on) = tokio::sync::oneshot::channel();
            let (ended, end) = tokio::sync::oneshot::channel();
            let channels = std::sync::Arc::new(parking_lot::Mutex::new(Some((may_go_on, ended))));
            let router = router(move || async move {
                let (may_go_on, ended) = channels.lock().take().unwrap();
                may_go_on.await.unwrap();
                ended.send(()).unwrap();
            });
            let request = Request::builder().method(method).body(Body::empty());
            let mut answer = Box::pin(router.oneshot(request.unwrap()));
            assert!(answer.as_mut().now_or_never().is_none());
            drop(answer);
            go_on.send(()).unwrap();
            end.await.unwrap();
        }
    }
}
