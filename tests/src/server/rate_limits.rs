//! Rate limits as clients and administrators meet them.

use ::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    api::{Answer, Person},
    chat_client::{ChatClient, is_refused_for_now},
    test_app::{TestApp, on_a_fleet},
};
use crate::{
    client::http::{Response, request_from},
    deadline::within,
};

const ME: &str = "/api/v1/me";
const LIMITS: &str = "/api/v1/admin/rate-limits";

/// What instances may grant together beyond a limit: a twentieth each, at least one.
fn credit(limit: usize) -> usize {
    if on_a_fleet() {
        2 * (limit / 20).max(1)
    } else {
        0
    }
}

/// Asks as a stranger at an address of this machine's.
async fn ask(app: &TestApp, last: u8, forwarded: &str) -> Response {
    let source = [127, 0, 0, last].into();
    let headers = [("x-forwarded-for", forwarded)];
    request_from(source, app.address(), Method::GET, ME, &headers, "").await
}

/// Asks until that is refused; how often it wasn't.
async fn use_up(mut ask: impl AsyncFnMut(usize) -> StatusCode) -> usize {
    for count in 0..1_000 {
        if ask(count).await == 429 {
            return count;
        }
    }
    panic!("nothing is refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_limited_by_address_whatever_they_say_it_is() {
    let limits = [("RATE_LIMIT_STRANGERS", "10/10m")];
    let app = TestApp::start_with(&limits).await;
    let first = ask(&app, 2, "203.0.113.1").await;
    assert_eq!(first.status, 401);
    assert_eq!(first.headers["ratelimit-limit"], "10");
    assert_eq!(first.headers["ratelimit-remaining"], "9");
    let granted = use_up(async |n| ask(&app, 2, &format!("203.0.113.{n}")).await.status).await + 1;
    assert!((10..=10 + credit(10)).contains(&granted), "{granted}");
    let refused = ask(&app, 2, "203.0.113.9").await;
    assert_eq!(refused.headers["ratelimit-remaining"], "0");
    assert_eq!(
        refused.headers["retry-after"],
        refused.headers["ratelimit-reset"]
    );
    let problem: Value = serde_json::from_slice(&refused.body).unwrap();
    assert_eq!(problem["code"], "rate_limited");
    assert!(problem["retryAfterMs"].as_u64().unwrap() > 500_000);
    // Neither somebody else nor somebody known is concerned.
    assert_eq!(ask(&app, 3, "").await.status, 401);
    let ana = app.register("ana").await;
    let bearer = format!("Bearer {}", ana.access_token);
    let known = [("authorization", bearer.as_str())];
    let known = request_from(
        [127, 0, 0, 2].into(),
        app.address(),
        Method::GET,
        ME,
        &known,
        "",
    );
    let known = known.await;
    assert_eq!(known.status, 200);
    assert_eq!(known.headers["ratelimit-limit"], "100000");
    app.stop().await;

    // A trusted proxy says who it is.
    let proxies = ("TRUSTED_PROXIES", "127.0.0.2");
    let app = TestApp::start_with(&[limits[0], proxies]).await;
    use_up(async |_| ask(&app, 2, "203.0.113.1").await.status).await;
    assert_eq!(ask(&app, 2, "203.0.113.2").await.status, 401);
    use_up(async |n| ask(&app, 2, &format!("2001:db8:0:1::{n:x}")).await.status).await;
    assert_eq!(ask(&app, 2, "2001:db8:0:2::1").await.status, 401);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_limited_by_what_they_change_and_go_on_reading() {
    let app = TestApp::start_with(&[("RATE_LIMIT_PEOPLE", "10/10m")]).await;
    let (ana, bea) = (app.register("ana").await, app.register("bea").await);
    let change = async |person: &Person| {
        let name = json!({ "displayName": "Ana" });
        app.patch(ME, person, name).await
    };
    let granted = use_up(async |_| change(&ana).await.status).await;
    assert!((10..=10 + credit(10)).contains(&granted), "{granted}");
    assert_eq!(change(&ana).await.code(), "rate_limited");
    app.get(ME, Some(&ana)).await.expect(200);
    change(&bea).await.expect(200);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_counted_by_user_over_all_connections() {
    let app = TestApp::start_with(&[("RATE_LIMIT_MESSAGES", "20/10m")]).await;
    let (ana, bea) = (app.register("ana").await, app.register("bea").await);
    let mut anas = [
        app.connect(&ana).await,
        app.connect(&ana).await,
        app.connect(&ana).await,
    ];
    let room = anas[0].create("public", "hall").await;
    let send = async |client: &mut ChatClient, n: usize| {
        let message = json!({ "roomId": room, "clientId": n.to_string(), "body": "x" });
        client.emit("message:send", message).await
    };
    let mut sent = 0;
    let refused = loop {
        let answer = send(&mut anas[sent % 3], sent).await;
        if answer["ok"] != true {
            break answer;
        }
        sent += 1;
        assert!(sent < 1_000);
    };
    assert!((20..=20 + credit(20)).contains(&sent), "{sent}");
    assert!(is_refused_for_now(&refused, "rate_limited"), "{refused}");
    for (n, client) in anas.iter_mut().enumerate() {
        let answer = send(client, 1_000 + n).await;
        assert!(is_refused_for_now(&answer, "rate_limited") || on_a_fleet());
        // What isn't a message goes on.
        client.join(&room).await;
    }
    let messages = format!("/api/v1/rooms/{room}/messages");
    let posted = async |person: &Person| {
        let message = json!({ "body": "x" });
        app.post(&messages, Some(person), message).await.status
    };
    use_up(async |_| posted(&ana).await).await;
    let mut beas = app.connect(&bea).await;
    beas.join(&room).await;
    assert_eq!(send(&mut beas, 0).await["ok"], true);
    assert_eq!(posted(&bea).await, 201);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_events_and_searches_have_their_own_limits() {
    let limits = [
        ("RATE_LIMIT_EVENTS", "20/10m"),
        ("RATE_LIMIT_SEARCHES", "5/10m"),
    ];
    let app = TestApp::start_with(&limits).await;
    let ana = app.register("ana").await;
    let mut client = app.connect(&ana).await;
    let room = client.create("public", "hall").await;
    let find = async || app.get("/api/v1/users?query=ana", Some(&ana)).await;
    let searched = use_up(async |_| find().await.status).await;
    assert!((5..=5 + credit(5)).contains(&searched), "{searched}");
    assert_eq!(find().await.code(), "rate_limited");
    let presence = json!({ "roomId": room });
    let mut asked = 1;
    let refused = loop {
        let answer = client.emit("presence:get", presence.clone()).await;
        if answer["ok"] != true {
            break answer;
        }
        asked += 1;
        assert!(asked < 1_000);
    };
    assert!((20..=20 + credit(20)).contains(&asked), "{asked}");
    assert!(is_refused_for_now(&refused, "rate_limited"), "{refused}");
    client.say(&room, "messages are something else").await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn publications_are_counted_by_their_key_and_wrong_keys_by_address() {
    const KEY: &str = "0123456789abcdef0123456789abcdef";
    let variables = [
        ("PUBLISH_API_KEY", KEY),
        ("RATE_LIMIT_PUBLISHES", "10/10m"),
        ("RATE_LIMIT_STRANGERS", "10/10m"),
    ];
    let app = TestApp::start_with(&variables).await;
    let publish = async |key: &str| {
        let bearer = format!("Bearer {key}");
        let headers = [
            ("content-type", "application/json"),
            ("authorization", &bearer),
        ];
        let body = json!({ "namespace": "/", "to": { "user": "ann" }, "event": "news", "data": 1 });
        let source = [127, 0, 0, 2].into();
        let (address, path) = (app.address(), "/api/v1/publish");
        let answer = request_from(
            source,
            address,
            Method::POST,
            path,
            &headers,
            body.to_string(),
        );
        answer.await.status
    };
    let guessed = use_up(async |_| publish("wrong").await).await;
    assert!((10..=10 + credit(10)).contains(&guessed), "{guessed}");
    // That concerns nobody with the key.
    let published = use_up(async |_| publish(KEY).await).await;
    assert!((10..=10 + credit(10)).contains(&published), "{published}");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_connects_too_often_is_told_to_try_later() {
    let app = TestApp::start_with(&[("RATE_LIMIT_CONNECTS", "10/10m")]).await;
    let (ana, bea) = (app.register("ana").await, app.register("bea").await);
    let mut connected = 0;
    loop {
        let connect = json!({ "token": ana.access_token });
        let mut socket = crate::client::websocket::WebSocket::open(app.address()).await;
        socket.send(&format!("40{connect}")).await;
        let mut first = socket.next().await;
        // The opening packet comes before the answer.
        if matches!(&first, crate::client::websocket::Incoming::Text(text) if text.starts_with('0'))
        {
            first = socket.next().await;
        }
        match first {
            crate::client::websocket::Incoming::Text(text) if text.starts_with("40") => {
                connected += 1;
            }
            crate::client::websocket::Incoming::Close(code, _) => {
                assert_eq!(code, 1013);
                break;
            }
            other => panic!("{other:?}"),
        }
        assert!(connected < 100);
    }
    assert!((10..=10 + credit(10)).contains(&connected), "{connected}");
    app.connect(&bea).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_is_off_limits_nothing() {
    let app = TestApp::start_with(&[
        ("RATE_LIMIT_GUESTS", "off"),
        ("RATE_LIMIT_STRANGERS", "off"),
    ])
    .await;
    for number in 0..70 {
        app.guest(&format!("Guest {number}")).await;
    }
    let answer = ask(&app, 2, "").await;
    assert_eq!(answer.status, 401);
    assert!(!answer.headers.contains_key("ratelimit-limit"));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn administrators_see_and_clear_limits_on_every_instance() {
    let limits = [("RATE_LIMIT_PEOPLE", "20/10m")];
    let app = TestApp::start_with(&limits).await;
    let (app, root) = app.with_administrator("root").await;
    let ana = app.register("ana").await;
    let change = async || {
        let name = json!({ "displayName": "Ana" });
        app.patch(ME, &ana, name).await
    };
    use_up(async |_| change().await.status).await;
    // Both instances know it.
    within("refusals everywhere", async {
        let mut refused = 0;
        while refused < 4 {
            refused = if change().await.status == 429 {
                refused + 1
            } else {
                0
            };
        }
    })
    .await;
    let state =
        async |query: &str| -> Answer { app.get(&format!("{LIMITS}?{query}"), Some(&root)).await };
    let of_ana = format!("userId={}", ana.id);
    let seen = state(&of_ana).await.expect(200);
    let limits = seen["limits"].as_array().unwrap();
    let tier = |name: &str| limits.iter().find(|limit| limit["tier"] == name);
    let people = tier("people").unwrap();
    assert_eq!(
        (&people["limit"], &people["windowSeconds"]),
        (&json!(20), &json!(600))
    );
    assert!(people["used"].as_u64().unwrap() >= 20);
    assert!(people["retryAfterMs"].as_u64().unwrap() > 500_000);
    assert_eq!(people["complete"], true);
    assert_eq!(tier("additions").unwrap()["used"], 0);
    assert!(tier("login").is_none() && tier("strangers").is_none());
    app.delete(&format!("{LIMITS}?{of_ana}&tier=people"), &root)
        .await
        .expect(204);
    within("the end of a limit everywhere", async {
        let mut granted = 0;
        while granted < 4 {
            granted = if change().await.status == 200 {
                granted + 1
            } else {
                0
            };
        }
    })
    .await;

    // Failed sign-ins of a username at an address.
    let wrong = json!({ "username": "Ana", "password": "wrong horse" });
    let guess = async || {
        app.post("/api/v1/auth/login", None, wrong.clone())
            .await
            .status
    };
    assert_eq!(use_up(async |_| guess().await).await, 5);
    let at_home = "address=127.0.0.1&username=ana&tier=login";
    let seen = state(at_home).await.expect(200);
    assert_eq!(seen["limits"][0]["used"], 5);
    app.delete(&format!("{LIMITS}?{at_home}"), &root)
        .await
        .expect(204);
    assert_eq!(guess().await, 401);

    state("").await.refused("invalid");
    state("address=127.0.0.1&tier=login")
        .await
        .refused("invalid");
    state(&format!("{of_ana}&tier=none"))
        .await
        .refused("invalid");
    app.get(&format!("{LIMITS}?{of_ana}"), Some(&ana))
        .await
        .refused("forbidden");
    app.delete(&format!("{LIMITS}?{of_ana}"), &ana)
        .await
        .refused("forbidden");
    app.stop().await;
}
