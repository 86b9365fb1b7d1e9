//! What every answer has, whatever was asked: headers, compression, caching; and the documents and pages themselves.

use std::collections::BTreeSet;

use ::http::{HeaderMap, Method};
use serde_json::Value;

use super::ask;
use serde_json::json;

use crate::server::test_app::TestApp;

#[tokio::test]
async fn answers_cant_be_embedded_guessed_at_or_kept() {
    let app = TestApp::start().await;
    for path in [
        "/",
        "/api/docs",
        "/api/docs/events",
        "/api/v1/me",
        "/nothing",
        "/health",
    ] {
        let (_, headers, _) = ask(&app, Method::GET, path, &[], "").await;
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(headers["x-frame-options"], "DENY", "{path}");
        assert_eq!(headers["referrer-policy"], "no-referrer", "{path}");
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(
            policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"),
            "{path}: {policy}"
        );
    }
    let (_, headers, _) = ask(&app, Method::GET, "/api/v1/me", &[], "").await;
    assert_eq!(headers["cache-control"], "no-store");
    app.stop().await;
}

#[tokio::test]
async fn documents_are_whole_compressed_and_kept_by_clients() {
    let app = TestApp::start().await;
    for (path, root) in [
        ("/api/openapi.json", "openapi"),
        ("/api/asyncapi.json", "asyncapi"),
    ] {
        let (status, headers, body) = ask(&app, Method::GET, path, &[], "").await;
        assert_eq!((status, headers.get("content-encoding")), (200, None));
        assert!(serde_json::from_slice::<Value>(&body).unwrap()[root].is_string());
        let (_, compressed, small) = ask(
            &app,
            Method::GET,
            path,
            &[("accept-encoding", "gzip, br")],
            "",
        )
        .await;
        assert_eq!(
            (&compressed["content-encoding"], &compressed["vary"]),
            (
                &"gzip".parse().unwrap(),
                &"accept-encoding".parse().unwrap()
            )
        );
        assert!(
            small.starts_with(&[0x1f, 0x8b]) && small.len() * 4 < body.len(),
            "{} of {}",
            small.len(),
            body.len()
        );
        let tag = headers["etag"].to_str().unwrap();
        let (status, _, body) = ask(&app, Method::GET, path, &[("if-none-match", tag)], "").await;
        assert_eq!((status, body.len()), (304, 0));
    }
    let (_, headers, _) = ask(
        &app,
        Method::GET,
        "/health",
        &[("accept-encoding", "gzip")],
        "",
    )
    .await;
    assert_eq!(
        headers.get("content-encoding"),
        None,
        "small answers aren't worth it"
    );
    app.stop().await;
}

#[tokio::test]
async fn the_pages_load_nothing_that_isnt_served() {
    let app = TestApp::start().await;
    let mut files = BTreeSet::new();
    for page in ["/", "/api/docs", "/api/docs/events"] {
        let (status, headers, body) = ask(&app, Method::GET, page, &[], "").await;
        assert_eq!(
            (status, &headers["content-type"]),
            (200, &"text/html; charset=utf-8".parse().unwrap()),
            "{page}"
        );
        let html = String::from_utf8(body).unwrap();
        for attribute in ["src=\"/", "href=\"/"] {
            let rests = html.split(attribute).skip(1);
            files.extend(rests.filter_map(|rest| Some(format!("/{}", rest.split('"').next()?))));
        }
    }
    assert!(!files.is_empty());
    for file in files {
        let (status, _, _) = ask(&app, Method::GET, &file, &[], "").await;
        assert_eq!(status, 200, "{file}");
    }
    app.stop().await;
}

#[tokio::test]
async fn pages_of_other_origins_may_do_what_is_configured() {
    let wanted = "https://chat.example";
    let preflight = [
        ("access-control-request-method", "PATCH"),
        (
            "access-control-request-headers",
            "authorization,content-type,idempotency-key,x-my-header",
        ),
    ];
    for (origins, origin, expected) in [
        ("*", wanted, Some(wanted)),
        ("https://Chat.Example:443/", wanted, Some(wanted)),
        (wanted, "https://evil.example", None),
        (wanted, "null", None),
    ] {
        let app = TestApp::start_with(&[("ALLOWED_ORIGINS", origins)]).await;
        let allows = |answer: &HeaderMap, what: &str| {
            let header = |name: &str| answer.get(name).map(|value| value.to_str().unwrap());
            assert_eq!(header("access-control-allow-origin"), expected, "{what}");
            if expected.is_some() {
                assert_eq!(
                    header("access-control-allow-credentials"),
                    Some("true"),
                    "{what}"
                );
            }
        };
        let mut headers = vec![("origin", origin), ("x-my-header", "1"), ("cookie", "a=b")];
        let polling = "/socket.io/?EIO=4&transport=polling";
        for (method, path, status) in [
            (Method::GET, "/api/v1/me", 401),
            (Method::GET, "/api/v1/nothing", 404),
            (Method::DELETE, "/api/v1/publish", 405),
            (Method::POST, "/api/v1/auth/login", 400),
            (Method::GET, polling, 200),
            (Method::GET, "/socket.io?EIO=4&transport=polling", 200),
            (Method::GET, "/socket.io/?EIO=3&transport=polling", 400),
            (
                Method::GET,
                "/socket.io/?EIO=4&transport=polling&sid=gone",
                400,
            ),
            (Method::POST, polling, 400),
        ] {
            let (found, answer, _) = ask(&app, method.clone(), path, &headers, "{}").await;
            let refused = expected.is_none() && path.starts_with("/socket.io");
            if !refused {
                assert_eq!(found, status, "{method} {path}");
            }
            allows(&answer, path);
        }
        headers.extend(preflight);
        for path in ["/api/v1/me", polling] {
            let (status, answer, _) = ask(&app, Method::OPTIONS, path, &headers, "").await;
            assert_eq!(status, 200);
            allows(&answer, path);
            let list = |name: &str| answer[name].to_str().unwrap().to_owned();
            assert!(list("access-control-allow-methods").contains("PATCH"));
            assert!(list("access-control-allow-headers").contains("x-my-header"));
            assert!(list("vary").contains("origin"), "{answer:?}");
        }
        app.stop().await;
    }
}

#[tokio::test]
async fn health_says_what_works() {
    let app = TestApp::start().await;
    for path in ["/health", "/health/ready", "/ready"] {
        let told = app.get(path, None).await.expect(200);
        assert_eq!(
            (&told["status"], &told["checks"]),
            (&json!("ok"), &json!({}))
        );
        let report = app.operations().get(path, None).await.expect(200);
        assert_eq!(
            (&report["status"], &report["checks"]["store"]["status"]),
            (&"ok".into(), &"ok".into()),
            "{path}"
        );
        assert_eq!(report["version"], env!("CARGO_PKG_VERSION"));
    }
    for path in ["/health/live", "/live"] {
        let report = app.get(path, None).await.expect(200);
        assert_eq!(
            (
                &report["status"],
                report["checks"].as_object().unwrap().len()
            ),
            (&"ok".into(), 0),
            "{path}"
        );
    }
    app.stop().await;
}

#[tokio::test]
async fn every_request_has_an_id_and_only_a_trusted_proxy_gives_one() {
    let id = async |app: &TestApp, given: &str| {
        let headers = [("x-request-id", given)];
        let (_, headers, _) = ask(app, Method::GET, "/api/v1/me", &headers, "").await;
        headers["x-request-id"].to_str().unwrap().to_owned()
    };
    let app = TestApp::start().await;
    let first = id(&app, "mine").await;
    assert_eq!(first.len(), 32);
    assert_ne!(id(&app, "mine").await, first);
    app.stop().await;
    let app = TestApp::start_with(&[("TRUSTED_PROXIES", "127.0.0.1")]).await;
    assert_eq!(id(&app, "the-proxys.1").await, "the-proxys.1");
    assert_ne!(id(&app, "not an id").await, "not an id");
    app.stop().await;
}
