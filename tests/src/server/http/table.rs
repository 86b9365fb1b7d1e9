//! The whole table of routes at once: each is served, and each refuses what is wrong in the way that its row says.

use ::http::Method;
use protocol::{Credential, ErrorCode, ROUTES, Route};
use serde_json::Value;

use super::ask;
use crate::server::test_app::{TestApp, on_a_fleet};

const API_KEY: &str = "a key of at least thirty-two bytes";

fn method(route: &Route) -> Method {
    route.method.as_str().parse().unwrap()
}

/// The route's path with `id` in place of every parameter.
fn path(route: &Route, id: &str) -> String {
    let parts = route
        .path
        .split('/')
        .map(|part| if part.starts_with('{') { id } else { part });
    parts.collect::<Vec<_>>().join("/")
}

fn code(status: u16, body: &[u8]) -> ErrorCode {
    let problem: Value = serde_json::from_slice(body).expect("a problem");
    assert_eq!(problem["status"], status, "{problem}");
    serde_json::from_value(problem["code"].clone()).unwrap()
}

#[tokio::test]
async fn every_route_is_served_and_asks_for_a_token_where_it_says_so() {
    let app = TestApp::start_with(&[("PUBLISH_API_KEY", API_KEY)]).await;
    for route in ROUTES {
        let (status, headers, body) =
            ask(&app, method(route), &path(route, "some-id"), &[], "").await;
        if route.needs != Credential::Nothing {
            assert_eq!(
                (status, code(status, &body)),
                (401, ErrorCode::Unauthenticated),
                "{}",
                route.path
            );
        } else if route.body.is_some()
            || (route.method == protocol::Method::Post && route.query.is_some())
        {
            assert_eq!(
                (status, code(status, &body)),
                (400, ErrorCode::Invalid),
                "{}",
                route.path
            );
        } else if route.path.contains('{') {
            // Of what is only known to those who were given its URL.
            assert_eq!(
                (status, code(status, &body)),
                (404, ErrorCode::NotFound),
                "{}",
                route.path
            );
        } else if on_a_fleet() && route.path == "/api/v1/push/key" {
            // A fleet without tables has no devices.
            assert_eq!((status, code(status, &body)), (404, ErrorCode::NotFound));
        } else {
            assert_eq!(status, 200, "{}", route.path);
        }
        let is_problem = headers["content-type"] == "application/problem+json";
        assert_eq!(is_problem, status >= 400, "{}", route.path);
    }
    app.stop().await;
}

#[tokio::test]
async fn every_body_and_id_is_checked() {
    let app = TestApp::start_with(&[("PUBLISH_API_KEY", API_KEY)]).await;
    let (app, ada) = app.with_administrator("ada").await;
    let (person, program) = (
        format!("Bearer {}", ada.access_token),
        format!("Bearer {API_KEY}"),
    );
    let sent = |route: &Route, content_type| {
        let bearer = match route.needs {
            Credential::ApiKey => program.as_str(),
            _ => person.as_str(),
        };
        [("authorization", bearer), ("content-type", content_type)]
    };
    let large = format!("{{\"x\":\"{}\"}}", "x".repeat(1_000_000));
    for route in ROUTES.iter().filter(|route| route.body.is_some()) {
        let json = sent(route, "application/json");
        let form = sent(route, "application/x-www-form-urlencoded");
        for (headers, body, expected) in [
            (&json, "{", ErrorCode::Invalid),
            (&json, "[]", ErrorCode::Invalid),
            (&json, "null", ErrorCode::Invalid),
            (&json, "{} {}", ErrorCode::Invalid),
            (&json, "\u{1}\u{ff}", ErrorCode::Invalid),
            (&form, "username=ada", ErrorCode::Invalid),
            (&json, &large, ErrorCode::TooLarge),
        ] {
            let (status, _, answer) =
                ask(&app, method(route), &path(route, "some-id"), headers, body).await;
            let beginning = &body[..body.len().min(20)];
            assert_eq!(
                code(status, &answer),
                expected,
                "{} {beginning}",
                route.path
            );
        }
    }
    for route in ROUTES.iter().filter(|route| route.path.contains('{')) {
        let json = sent(route, "application/json");
        for id in ["no%20id", "%ff", "%00", &"x".repeat(65)] {
            let (status, _, answer) = ask(&app, method(route), &path(route, id), &json, "{}").await;
            assert_eq!(
                code(status, &answer),
                ErrorCode::NotFound,
                "{} {id}",
                route.path
            );
        }
    }
    app.stop().await;
}

#[tokio::test]
async fn what_isnt_in_the_table_isnt_there() {
    let app = TestApp::start().await;
    for path in [
        "/nothing",
        "/api",
        "/api/v1",
        "/api/v1/",
        "/api/v1/me/",
        "/api/v2/me",
        "/api/v1/orders",
        "/assets/x.js",
        "/assets/..%2findex.html",
    ] {
        let (status, _, body) = ask(&app, Method::GET, path, &[], "").await;
        assert_eq!(code(status, &body), ErrorCode::NotFound, "{path}");
    }
    let (status, headers, body) = ask(&app, Method::PUT, "/api/v1/me", &[], "").await;
    assert_eq!((status, code(status, &body)), (405, ErrorCode::Invalid));
    let mut allowed: Vec<_> = headers["allow"].to_str().unwrap().split(',').collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["DELETE", "GET", "HEAD", "PATCH"]);
    app.stop().await;
}
