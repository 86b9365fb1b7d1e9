//! Registering, signing in, coming as a guest, and the limits against guessing.

use std::{
    net::IpAddr,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

use ::http::Method;
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{ask, each_is_invalid};
use crate::{deadline::within, server::test_app::TestApp};

const REGISTER: &str = "/api/v1/auth/register";
const LOGIN: &str = "/api/v1/auth/login";
const GUEST: &str = "/api/v1/auth/guest";

#[tokio::test]
async fn registering_makes_a_user_and_signs_in() {
    let app = TestApp::start().await;
    let account = json!({
        "username": "Ada.L-1", "password": "correct horse", "displayName": "  Ada Lovelace ", "email": "Ada@example.org",
    });
    let tokens = app.post(REGISTER, None, account).await.expect(201);
    let id = tokens["user"]["id"].clone();
    let user = json!({
        "id": id, "username": "Ada.L-1", "displayName": "Ada Lovelace", "email": "Ada@example.org",
        "guest": false, "role": "user",
    });
    assert_eq!(
        (&tokens["user"], &tokens["expiresIn"]),
        (&user, &json!(900))
    );
    assert!(tokens["accessToken"].is_string() && tokens["refreshToken"].is_string());

    let body = json!({ "username": "ada", "password": "correct horse" });
    let plain = app.post(REGISTER, None, body).await.expect(201);
    assert_eq!(plain["user"]["displayName"], "ada");
    assert_eq!(plain["user"].get("email"), None);
    app.stop().await;
}

#[tokio::test]
async fn names_are_taken_without_regard_to_case_and_addresses_are_not() {
    let app = TestApp::start().await;
    let account = |username: &str, email: &str| json!({ "username": username, "password": "correct horse", "email": email });
    app.post(REGISTER, None, account("ada", "ada@example.org"))
        .await
        .expect(201);
    let same_name = app
        .post(REGISTER, None, account("ADA", "other@example.org"))
        .await;
    assert_eq!(same_name.status, 409);
    assert!(same_name.refused("conflict").starts_with("username"));
    // Nobody has proved that it is theirs, so it tells nothing of others.
    let same_address = account("other", "ADA@example.org");
    app.post(REGISTER, None, same_address).await.expect(201);
    app.stop().await;
}

#[tokio::test]
async fn bad_accounts_are_refused_by_field() {
    let app = TestApp::start().await;
    let body = json!({ "username": "ada", "password": "correct horse" });
    let changes = [
        ("username", Value::Null),
        ("username", json!(7)),
        ("username", json!("ab")),
        ("username", json!("a".repeat(33))),
        ("username", json!("ada lovelace")),
        ("username", json!("adä")),
        ("password", Value::Null),
        ("password", json!("short")),
        ("password", json!("x".repeat(129))),
        ("password", json!(["correct horse"])),
        ("displayName", json!("   ")),
        ("displayName", json!("x".repeat(65))),
        ("displayName", json!("a\nb")),
        ("email", json!("nobody")),
        ("email", json!("a b@example.org")),
    ];
    each_is_invalid(&app, Method::POST, REGISTER, None, &body, &changes).await;
    app.stop().await;
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_name_are_answered_alike() {
    let app = TestApp::start().await;
    app.register("ada").await;
    let login =
        |username: &str, password: &str| json!({ "username": username, "password": password });
    let tokens = app
        .post(LOGIN, None, login("ADA", "correct horse"))
        .await
        .expect(200);
    assert_eq!(tokens["user"]["username"], "ada");
    let wrong = app.post(LOGIN, None, login("ada", "wrong horse")).await;
    let unknown = app.post(LOGIN, None, login("grace", "wrong horse")).await;
    assert_eq!(
        wrong.refused("unauthenticated"),
        unknown.refused("unauthenticated")
    );
    // A guest has no password, so none lets in.
    let guest = app
        .post(GUEST, None, json!({ "displayName": "Guest" }))
        .await
        .expect(201);
    let name = guest["user"]["username"].as_str().unwrap();
    app.post(LOGIN, None, login(name, "wrong horse"))
        .await
        .refused("unauthenticated");

    let body = login("ada", "correct horse");
    let changes = [
        ("username", Value::Null),
        ("username", json!("")),
        ("password", Value::Null),
        ("password", json!(1)),
    ];
    each_is_invalid(&app, Method::POST, LOGIN, None, &body, &changes).await;
    app.stop().await;
}

#[tokio::test]
async fn after_five_wrong_passwords_even_the_right_one_waits() {
    let app = TestApp::start().await;
    app.register("ada").await;
    app.register("bea").await;
    let json = [("content-type", "application/json")];
    let login = |username: &str, password: &str| {
        json!({ "username": username, "password": password }).to_string()
    };
    // All at once, which must not help.
    let guess = login("ada", "wrong horse");
    let guesses = (0..8).map(|_| ask(&app, Method::POST, LOGIN, &json, &guess));
    let mut statuses: Vec<_> = futures_util::future::join_all(guesses)
        .await
        .iter()
        .map(|(status, ..)| *status)
        .collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [401, 401, 401, 401, 401, 429, 429, 429]);

    let (status, headers, body) = ask(
        &app,
        Method::POST,
        LOGIN,
        &json,
        &login("Ada", "correct horse"),
    )
    .await;
    let problem: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        (status, &problem["code"], &problem["retryable"]),
        (429, &json!("rate_limited"), &json!(true))
    );
    let seconds = |name: &str| headers[name].to_str().unwrap().parse::<u64>().unwrap();
    // A failure counts for up to a sixtieth of the window longer.
    assert!((1..=915).contains(&seconds("retry-after")), "{headers:?}");
    assert_eq!(
        problem["retryAfterMs"].as_u64().unwrap().div_ceil(1_000),
        seconds("retry-after")
    );
    assert_eq!(
        (seconds("ratelimit-limit"), seconds("ratelimit-remaining")),
        (5, 0)
    );
    assert_eq!(seconds("ratelimit-reset"), seconds("retry-after"));

    let (status, ..) = ask(
        &app,
        Method::POST,
        LOGIN,
        &json,
        &login("bea", "correct horse"),
    )
    .await;
    assert_eq!(status, 200, "others aren't kept out");
    app.stop().await;
}

#[tokio::test]
async fn guests_come_in_where_they_are_wanted() {
    let app = TestApp::start().await;
    let tokens = app
        .post(GUEST, None, json!({ "displayName": " Zoë " }))
        .await
        .expect(201);
    let user = &tokens["user"];
    assert_eq!(
        (&user["displayName"], &user["guest"], &user["role"]),
        (&json!("Zoë"), &json!(true), &json!("user"))
    );
    let body = json!({ "displayName": "Zoë" });
    let changes = [
        ("displayName", Value::Null),
        ("displayName", json!(" ")),
        ("displayName", json!("x".repeat(65))),
    ];
    each_is_invalid(&app, Method::POST, GUEST, None, &body, &changes).await;
    app.stop().await;

    let closed = TestApp::start_with(&[("GUESTS", "false")]).await;
    closed
        .post(GUEST, None, json!({ "displayName": "Zoë" }))
        .await
        .refused("forbidden");
    closed.stop().await;
}

#[tokio::test]
async fn guests_of_one_address_are_limited() {
    let app = TestApp::start().await;
    for number in 0..60 {
        app.guest(&format!("guest {number}")).await;
    }
    app.post(GUEST, None, json!({ "displayName": "one too many" }))
        .await
        .refused("rate_limited");
    app.register("ada").await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_at_one_address_keeps_nobody_else_out() {
    let app = TestApp::start().await;
    app.register("ada").await;
    let (crowds, adas) = (IpAddr::from([127, 0, 0, 3]), IpAddr::from([127, 0, 0, 4]));
    let is_in = AtomicBool::new(false);
    let refused = AtomicUsize::new(0);
    // Names that nobody has: each takes as long to check as a right one.
    let crowd = (0..150).map(async |number| {
        for round in 0.. {
            let name = format!("nobody-{number}-{round}");
            let body = json!({ "username": name, "password": "wrong horse" });
            let path = if number % 3 == 0 { REGISTER } else { LOGIN };
            let answer = app.post_from(crowds, path, body).await;
            if answer.status == 503 {
                refused.fetch_add(1, Ordering::Relaxed);
            }
            if is_in.load(Ordering::Relaxed) {
                break;
            }
        }
    });
    let ada = async {
        let is_crowded = async || {
            while refused.load(Ordering::Relaxed) < 20 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        within("a crowd", is_crowded()).await;
        let right = json!({ "username": "ada", "password": "correct horse" });
        for _ in 0..5 {
            app.post_from(adas, LOGIN, right.clone()).await.expect(200);
        }
        is_in.store(true, Ordering::Relaxed);
    };
    tokio::join!(join_all(crowd), ada);
    app.stop().await;
}

#[tokio::test]
async fn new_accounts_from_one_address_are_limited() {
    let app = TestApp::start().await;
    let body =
        |number| json!({ "username": format!("user-{number}"), "password": "correct horse" });
    for twenty in 0..3 {
        let new = (0..20).map(|number| app.post(REGISTER, None, body(twenty * 20 + number)));
        for answer in join_all(new).await {
            answer.expect(201);
        }
    }
    let elsewhere = IpAddr::from([127, 0, 0, 5]);
    app.post_from(elsewhere, REGISTER, body(100))
        .await
        .expect(201);
    app.post(REGISTER, None, body(101))
        .await
        .refused("rate_limited");
    // A name isn't looked up for who makes too many.
    app.post(REGISTER, None, body(0))
        .await
        .refused("rate_limited");
    app.stop().await;
}

#[tokio::test]
async fn what_is_typed_twice_is_the_same_in_every_normal_form() {
    let app = TestApp::start().await;
    let account = json!({
        "username": "ada", "password": "cafe\u{301} noir", "displayName": "Ad\u{e0}",
        "email": "ada@bu\u{308}cher.example",
    });
    let tokens = app.post(REGISTER, None, account).await.expect(201);
    assert_eq!(tokens["user"]["email"], "ada@b\u{fc}cher.example");
    for (username, password) in [
        ("ada", "cafe\u{301} noir"),
        ("ADA", "caf\u{e9} noir"),
        ("ａｄａ", "caf\u{e9}\u{a0}noir"),
    ] {
        let typed = json!({ "username": username, "password": password });
        app.post(LOGIN, None, typed).await.expect(200);
    }
    let wrong = json!({ "username": "ada", "password": "cafe noir" });
    assert_eq!(app.post(LOGIN, None, wrong).await.status, 401);
    let taken = json!({ "username": "ａda", "password": "correct horse" });
    app.post(REGISTER, None, taken).await.refused("conflict");
    let eve = json!({ "username": "eve", "password": "correct horse", "email": "ada@xn--bcher-kva.example" });
    let tokens = app.post(REGISTER, None, eve).await.expect(201);
    assert_eq!(tokens["user"]["email"], "ada@b\u{fc}cher.example");
    app.stop().await;
}

#[tokio::test]
async fn a_name_shows_something_and_leaves_what_is_around_it_alone() {
    let app = TestApp::start().await;
    let ada = app.register("ada").await;
    let piled = format!("a{}", "\u{301}".repeat(60));
    for name in [
        "\u{200b}",
        "\u{3164}",
        "\u{2800}",
        "ada\u{202e}",
        "\u{2067}ada",
        &piled,
    ] {
        let body = json!({ "displayName": name });
        let guest = app.post(GUEST, None, body.clone()).await;
        assert!(
            guest.refused("invalid").starts_with("displayName: "),
            "{name:?}"
        );
        let me = app.request(Method::PATCH, "/api/v1/me", Some(&ada), Some(body));
        assert!(
            me.await.refused("invalid").starts_with("displayName: "),
            "{name:?}"
        );
        let room = json!({ "kind": "public", "name": name });
        let room = app.post("/api/v1/rooms", Some(&ada), room).await;
        assert!(room.refused("invalid").starts_with("name: "), "{name:?}");
    }
    app.stop().await;
}
