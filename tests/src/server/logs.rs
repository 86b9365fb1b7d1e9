//! Whatever is logged, at the most talkative level: no password, no token, no message, no query.

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{api::Person, chat_client::ChatClient, server_process::ServerProcess};
use crate::client::{http, polling::Polling};

/// Marks everything that must not be printed.
const MARK: &str = "xyzzy";

fn secret(what: &str) -> String {
    format!("{what}-{MARK}-{what}")
}

/// A conversation with all that can go wrong in it. Returns the tokens and ids of transport that were given out.
async fn talk(server: &ServerProcess) -> Vec<String> {
    let mut given = Vec::new();
    let mut keep = |tokens: &Value| {
        for token in ["accessToken", "refreshToken"] {
            given.push(tokens[token].as_str().unwrap().to_owned());
        }
        super::api::person(tokens)
    };
    let password = secret("password");
    let account = json!({
        "username": "ana", "password": password, "email": format!("{MARK}@example.org"),
        "displayName": "Ana",
    });
    let registered = server
        .post("/api/v1/auth/register", None, account.clone())
        .await;
    let ana: Person = keep(&registered.expect(201));
    assert_eq!(
        server
            .post("/api/v1/auth/register", None, account)
            .await
            .code(),
        "conflict"
    );
    for body in [
        json!({ "username": "ana", "password": secret("wrong") }),
        json!({ "username": MARK, "password": secret("wrong") }),
    ] {
        assert_eq!(
            server.post("/api/v1/auth/login", None, body).await.code(),
            "unauthenticated"
        );
    }
    for body in [
        json!({ "username": 1, "password": secret("odd") }),
        json!({ "username": "ana", "password": { "a": secret("odd") } }),
        json!({ "username": "ana", "password": [secret("odd")] }),
    ] {
        assert_eq!(
            server.post("/api/v1/auth/login", None, body).await.code(),
            "invalid"
        );
    }
    let login = json!({ "username": "ana", "password": password });
    let laptop = keep(
        &server
            .post("/api/v1/auth/login", None, login)
            .await
            .expect(200),
    );
    let refresh = json!({ "refreshToken": laptop.refresh_token });
    let laptop = keep(
        &server
            .post("/api/v1/auth/refresh", None, refresh)
            .await
            .expect(200),
    );
    let refresh = json!({ "refreshToken": secret("refresh") });
    assert_eq!(
        server
            .post("/api/v1/auth/refresh", None, refresh)
            .await
            .code(),
        "unauthenticated"
    );
    let change = json!({ "currentPassword": secret("wrong"), "newPassword": secret("new") });
    assert_eq!(
        server
            .post("/api/v1/me/password", Some(&ana), change)
            .await
            .code(),
        "forbidden"
    );
    let change = json!({ "currentPassword": password, "newPassword": secret("new") });
    server
        .post("/api/v1/me/password", Some(&ana), change)
        .await
        .expect(204);
    let bad = Person {
        access_token: secret("token"),
        ..laptop
    };
    assert_eq!(
        server.get("/api/v1/me", Some(&bad)).await.code(),
        "unauthenticated"
    );

    // Requests that don't parse, with something to hide in them.
    let broken = format!(r#"{{"username":"ana","password":"{}"#, secret("broken"));
    let headers = [("content-type", "application/json")];
    for target in ["/api/v1/auth/login", "/api/v1/auth/register"] {
        let answer = http::request(
            server.address(),
            ::http::Method::POST,
            target,
            &headers,
            broken.clone(),
        )
        .await;
        assert_eq!(answer.status, 400);
    }
    let target = format!("/api/v1/rooms?query={MARK}&token={}", secret("query"));
    server.get(&target, Some(&ana)).await.expect(200);
    server.get(&format!("/{}", secret("path")), None).await;

    let refused =
        ChatClient::try_connect(server.address(), json!({ "token": secret("token") })).await;
    assert!(refused.is_err());
    let mut anas = server.connect(&ana).await;
    let room = anas.create("public", &secret("room")).await;
    anas.say(&room, &secret("body")).await;
    let path = format!("/api/v1/rooms/{room}/messages");
    let posted = json!({ "body": secret("posted"), "clientId": secret("posted") });
    server.post(&path, Some(&ana), posted).await.expect(201);
    for (event, payload) in [
        (
            "message:edit",
            json!({ "roomId": room, "seq": 1, "body": secret("edited") }),
        ),
        ("message:search", json!({ "roomId": room, "query": MARK })),
        (
            "message:react",
            json!({ "roomId": room, "seq": 1, "emoji": MARK, "on": true }),
        ),
        (
            "message:send",
            json!({ "roomId": room, "clientId": [MARK], "body": secret("bad") }),
        ),
        (
            "message:send",
            json!({ "roomId": secret("id"), "clientId": "c", "body": secret("bad") }),
        ),
        (
            "message:send",
            json!({ "roomId": room, "clientId": "c", "body": { "x": secret("bad") } }),
        ),
        (MARK, json!({ "body": secret("unknown") })),
    ] {
        anas.emit(event, payload).await;
    }
    let path = format!("/api/v1/rooms/{room}/search?query={MARK}");
    server.get(&path, Some(&ana)).await.expect(200);
    // A polling connection's id lets in whoever knows it.
    let polling = Polling::open(server.address()).await;
    polling
        .send(&format!("40{}", json!({ "token": ana.access_token })))
        .await;
    polling.receive().await;
    polling
        .send(&format!(
            r#"42["message:send",{{"body":"{}"}}]"#,
            secret("polled")
        ))
        .await;
    polling
        .post(format!(
            r#"42["message:send",{{"body":"{}"#,
            secret("broken")
        ))
        .await;
    given.push(polling.sid.clone());
    given
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_and_nothing_anybody_said_is_printed() {
    let signing = format!("{}-and-more-than-32-bytes", secret("signing"));
    for format in ["text", "json"] {
        let data = TempDir::new().unwrap();
        let variables = [
            ("LOG_LEVEL", "trace"),
            ("LOG_FORMAT", format),
            ("JWT_SECRET", &signing),
        ];
        let server = ServerProcess::start(data.path(), &variables).await;
        let given = talk(&server).await;
        let (status, printed) = server.stop().await;
        assert!(status.success(), "{status}");
        // It is the log of that, and a talkative one.
        assert!(
            printed.contains("/api/v1/auth/login") && printed.contains("401"),
            "{printed}"
        );
        assert!(printed.lines().count() > 20, "{printed}");
        for line in printed.lines() {
            assert!(!line.contains(MARK), "{line}");
            for token in &given {
                assert!(!line.contains(token.as_str()), "{line}");
            }
        }
    }
}
