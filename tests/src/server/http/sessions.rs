//! Staying signed in: refreshing, the list of devices, and every way in which a session ends.

use ::http::Method;
use protocol::{Role, SessionId, Timestamp, UserId};
use serde_json::{Value, json};
use tertulia::auth::{
    access_tokens::{ACCESS_TOKEN_LIFE, AccessTokens},
    actor::Actor,
    signing_secret::SigningSecret,
};

use super::{ask, each_is_invalid};
use crate::server::test_app::{Answer, Person, TestApp, person};

const REFRESH: &str = "/api/v1/auth/refresh";
const SESSIONS: &str = "/api/v1/sessions";
const ME: &str = "/api/v1/me";

async fn refresh(app: &TestApp, token: &str) -> Answer {
    app.post(REFRESH, None, json!({ "refreshToken": token }))
        .await
}

async fn log_in(app: &TestApp, username: &str) -> Person {
    let body = json!({ "username": username, "password": "correct horse" });
    person(&app.post("/api/v1/auth/login", None, body).await.expect(200))
}

/// Neither token of somebody is good any more.
async fn is_out(app: &TestApp, person: &Person) {
    app.is_out(person).await;
    refresh(app, &person.refresh_token)
        .await
        .refused("unauthenticated");
}

#[tokio::test]
async fn a_refresh_token_is_good_once_but_a_lost_answer_can_be_had_again() {
    let app = TestApp::start().await;
    let ada = app.register("ada").await;
    let first = person(&refresh(&app, &ada.refresh_token).await.expect(200));
    assert_ne!(first.refresh_token, ada.refresh_token);
    app.get(ME, Some(&first)).await.expect(200);
    let again = person(&refresh(&app, &ada.refresh_token).await.expect(200));
    assert_eq!(again.refresh_token, first.refresh_token);

    let second = person(&refresh(&app, &first.refresh_token).await.expect(200));
    // Two steps back: whoever has this took a copy.
    refresh(&app, &ada.refresh_token)
        .await
        .refused("unauthenticated");
    is_out(&app, &second).await;
    app.stop().await;
}

#[tokio::test]
async fn what_was_never_issued_ends_nothing() {
    let app = TestApp::start().await;
    let ada = app.register("ada").await;
    let (names, _) = ada.refresh_token.rsplit_once('.').unwrap();
    let forged = format!("{names}.{}", "A".repeat(86));
    for token in ["x", &forged, &ada.access_token] {
        refresh(&app, token).await.refused("unauthenticated");
    }
    refresh(&app, &ada.refresh_token).await.expect(200);
    let body = json!({ "refreshToken": "x" });
    let changes = [
        ("refreshToken", Value::Null),
        ("refreshToken", json!("")),
        ("refreshToken", json!({})),
    ];
    each_is_invalid(&app, Method::POST, REFRESH, None, &body, &changes).await;
    app.stop().await;
}

#[tokio::test]
async fn only_a_good_token_says_who_asks() {
    let secret = "a secret that only this test knows";
    let app = TestApp::start_with(&[("JWT_SECRET", secret)]).await;
    let ada = app.register("ada").await;
    let tokens = AccessTokens::new(&SigningSecret::from_bytes(secret));
    let actor = Actor {
        user_id: UserId::trusted(ada.id.as_str()),
        session_id: SessionId::trusted("made-up"),
        display_name: "ada".into(),
        role: Role::User,
        guest: false,
        session_expires_at: Timestamp::from_unix_ms(Timestamp::now().unix_ms() + 86_400_000),
        external: None,
    };
    let issued = |seconds_ago: i64| {
        let at = Timestamp::from_unix_ms(Timestamp::now().unix_ms() - seconds_ago * 1_000);
        format!("Bearer {}", tokens.issue(&actor, at).unwrap().expose())
    };
    let life = ACCESS_TOKEN_LIFE.as_secs() as i64;
    let (expired, young) = (issued(life + 1), issued(life - 60));
    let lower_case = young.replacen("Bearer", "bearer", 1);
    for (header, expected) in [
        (None, 401),
        (Some(""), 401),
        (Some("Bearer"), 401),
        (Some("Bearer x.y.z"), 401),
        (Some("Basic YWRhOng="), 401),
        (Some(&expired), 401),
        (Some(&young), 200),
        (Some(&lower_case), 200),
    ] {
        let headers: Vec<_> = header
            .map(|value| ("authorization", value))
            .into_iter()
            .collect();
        let (status, headers, _) = ask(&app, Method::GET, ME, &headers, "").await;
        assert_eq!(status, expected, "{header:?}");
        assert_eq!(headers.get("www-authenticate").is_some(), status == 401);
    }
    app.stop().await;
}

#[tokio::test]
async fn logging_out_ends_this_session_only() {
    let app = TestApp::start().await;
    let (desk, phone) = (app.register("ada").await, log_in(&app, "ada").await);
    app.post("/api/v1/auth/logout", Some(&phone), json!({}))
        .await
        .expect(204);
    is_out(&app, &phone).await;
    app.get(ME, Some(&desk)).await.expect(200);
    app.post("/api/v1/auth/logout", None, json!({}))
        .await
        .refused("unauthenticated");
    app.stop().await;
}

#[tokio::test]
async fn devices_are_listed_and_signed_out() {
    let app = TestApp::start().await;
    let desk = app.register("ada").await;
    let body = json!({ "username": "ada", "password": "correct horse" }).to_string();
    let headers = [
        ("content-type", "application/json"),
        ("user-agent", "Phone 1.0"),
    ];
    let (status, _, tokens) = ask(&app, Method::POST, "/api/v1/auth/login", &headers, &body).await;
    assert_eq!(status, 200);
    let phone = person(&serde_json::from_slice(&tokens).unwrap());

    let listed = app.get(SESSIONS, Some(&desk)).await.expect(200);
    assert_eq!(listed["hasMore"], false);
    let find = |current: bool| {
        let sessions = listed["sessions"].as_array().unwrap();
        assert_eq!(sessions.len(), 2);
        sessions
            .iter()
            .find(|session| session["current"] == current)
            .unwrap()
            .clone()
    };
    let other = find(false);
    assert_eq!(
        (&other["device"], &other["address"]),
        (&json!("Phone 1.0"), &json!("127.0.0.1"))
    );
    assert_eq!(find(true)["device"], "unknown");

    let path = format!("{SESSIONS}/{}", other["id"].as_str().unwrap());
    let bea = app.register("bea").await;
    app.delete(&path, &bea).await.refused("not_found");
    app.delete(&path, &desk).await.expect(204);
    is_out(&app, &phone).await;
    app.delete(&path, &desk).await.refused("not_found");
    app.delete(&format!("{SESSIONS}/no%20id"), &desk)
        .await
        .refused("not_found");
    app.stop().await;
}

#[tokio::test]
async fn the_twenty_first_session_ends_the_one_seen_earliest() {
    let app = TestApp::start().await;
    let first = app.register("ada").await;
    for _ in 0..19 {
        log_in(&app, "ada").await;
    }
    app.get(ME, Some(&first)).await.expect(200);
    let last = log_in(&app, "ada").await;
    is_out(&app, &first).await;
    let listed = app.get(SESSIONS, Some(&last)).await.expect(200);
    assert_eq!(listed["sessions"].as_array().unwrap().len(), 20);
    app.stop().await;
}

#[tokio::test]
async fn a_restart_forgets_neither_the_secret_nor_who_is_out() {
    let app = TestApp::start().await;
    let (ada, out) = (app.register("ada").await, log_in(&app, "ada").await);
    app.post("/api/v1/auth/logout", Some(&out), json!({}))
        .await
        .expect(204);
    let app = app.restart().await;
    app.get(ME, Some(&ada)).await.expect(200);
    is_out(&app, &out).await;
    refresh(&app, &ada.refresh_token).await.expect(200);
    app.stop().await;
}

#[tokio::test]
async fn a_new_password_ends_all_other_sessions() {
    let app = TestApp::start().await;
    let (desk, phone) = (app.register("ada").await, log_in(&app, "ada").await);
    let path = "/api/v1/me/password";
    let change =
        |current: &str, new: &str| json!({ "currentPassword": current, "newPassword": new });
    let wrong = app
        .post(path, Some(&desk), change("wrong horse", "battery staple"))
        .await;
    assert!(wrong.refused("forbidden").starts_with("currentPassword"));
    let body = change("correct horse", "battery staple");
    let changes = [
        ("currentPassword", Value::Null),
        ("newPassword", Value::Null),
        ("newPassword", json!("short")),
        ("newPassword", json!(12_345_678)),
    ];
    each_is_invalid(&app, Method::POST, path, Some(&desk), &body, &changes).await;
    app.get(ME, Some(&phone)).await.expect(200);

    app.post(path, Some(&desk), body).await.expect(204);
    is_out(&app, &phone).await;
    app.get(ME, Some(&desk)).await.expect(200);
    let login = |password: &str| json!({ "username": "ada", "password": password });
    app.post("/api/v1/auth/login", None, login("correct horse"))
        .await
        .refused("unauthenticated");
    app.post("/api/v1/auth/login", None, login("battery staple"))
        .await
        .expect(200);

    let guest = app.guest("Zoë").await;
    app.post(path, Some(&guest), change("x", "battery staple"))
        .await
        .refused("forbidden");
    app.stop().await;
}

#[tokio::test]
async fn guessing_the_present_password_is_limited() {
    let app = TestApp::start().await;
    let ada = app.register("ada").await;
    let guess = json!({ "currentPassword": "wrong horse", "newPassword": "battery staple" });
    for _ in 0..5 {
        app.post("/api/v1/me/password", Some(&ada), guess.clone())
            .await
            .refused("forbidden");
    }
    app.post("/api/v1/me/password", Some(&ada), guess)
        .await
        .refused("rate_limited");
    app.stop().await;
}

#[tokio::test]
async fn behind_a_trusted_proxy_the_address_is_the_clients() {
    let body = json!({ "displayName": "Bo" }).to_string();
    let guest = async |app: &TestApp, forwarded: &str| {
        let headers = [
            ("content-type", "application/json"),
            ("x-forwarded-for", forwarded),
        ];
        ask(app, Method::POST, "/api/v1/auth/guest", &headers, &body).await
    };
    let address = async |app: &TestApp, tokens: &[u8]| {
        let person = person(&serde_json::from_slice(tokens).unwrap());
        let listed = app.get(SESSIONS, Some(&person)).await.expect(200);
        listed["sessions"][0]["address"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let proxies = [("TRUSTED_PROXIES", "127.0.0.1, 10.0.0.0/8")];
    let app = TestApp::start_with(&proxies).await;
    let spoofed = "192.0.2.1, 203.0.113.9, 10.0.0.7";
    let (status, _, tokens) = guest(&app, spoofed).await;
    assert_eq!(status, 201);
    assert_eq!(address(&app, &tokens).await, "203.0.113.9");
    // So does the limit: whoever uses it up is another client than the next one, behind the same proxy.
    let mut let_in = 1;
    while guest(&app, spoofed).await.0 == 201 {
        let_in += 1;
    }
    assert_eq!(let_in, 60);
    assert_eq!(guest(&app, spoofed).await.0, 429);
    assert_eq!(guest(&app, "192.0.2.1").await.0, 201);
    app.stop().await;

    let app = TestApp::start().await;
    let (_, _, tokens) = guest(&app, spoofed).await;
    assert_eq!(address(&app, &tokens).await, "127.0.0.1");
    app.stop().await;
}
