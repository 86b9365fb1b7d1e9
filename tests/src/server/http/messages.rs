//! Messages over HTTP: writing them once, and reading the log in every way.

use ::http::Method;
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{ask, each_is_invalid};
use crate::server::test_app::{Person, TestApp, on_a_fleet};

/// A room of somebody, as a path.
async fn room(app: &TestApp, owner: &Person, kind: &str) -> String {
    let body = json!({ "name": "Tea", "kind": kind });
    let made = app
        .post("/api/v1/rooms", Some(owner), body)
        .await
        .expect(201);
    format!("/api/v1/rooms/{}", made["room"]["id"].as_str().unwrap())
}

async fn post_with_key(
    app: &TestApp,
    path: &str,
    person: &Person,
    key: &str,
    body: Value,
) -> (u16, Value) {
    let bearer = format!("Bearer {}", person.access_token);
    let headers = [
        ("content-type", "application/json"),
        ("authorization", &bearer),
        ("idempotency-key", key),
    ];
    let (status, _, body) = ask(app, Method::POST, path, &headers, &body.to_string()).await;
    (status, serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn an_idempotency_key_makes_one_message_of_many_tries() {
    let app = TestApp::start().await;
    let ada = app.register("ada").await;
    let messages = format!("{}/messages", room(&app, &ada, "public").await);
    let tries =
        (0..8).map(|_| post_with_key(&app, &messages, &ada, "key-1", json!({ "body": "once" })));
    let answers = join_all(tries).await;
    assert!(
        answers.iter().all(|(status, _)| *status == 201),
        "{answers:?}"
    );
    assert_eq!(
        answers
            .iter()
            .filter(|(_, answer)| answer["duplicate"] == false)
            .count(),
        1
    );
    assert!(
        answers
            .iter()
            .all(|(_, answer)| answer["message"] == answers[0].1["message"])
    );
    let message = &answers[0].1["message"];
    assert_eq!(
        (&message["clientId"], &message["body"]),
        (&json!("key-1"), &json!("once"))
    );
    // Of tries on two instances at once one may leave an empty place behind it.
    assert!(on_a_fleet() || message["seq"] == 1, "{message}");

    let by_body = json!({ "clientId": "key-1", "body": "once" });
    assert_eq!(
        app.post(&messages, Some(&ada), by_body).await.expect(201)["duplicate"],
        true
    );
    for (key, body, refusal) in [
        (
            "key-2",
            json!({ "clientId": "key-1", "body": "x" }),
            (409, &json!("conflict")),
        ),
        (" ", json!({ "body": "x" }), (400, &json!("invalid"))),
    ] {
        let (status, problem) = post_with_key(&app, &messages, &ada, key, body).await;
        assert_eq!((status, &problem["code"]), refusal, "{problem}");
    }
    let twice = [
        app.post(&messages, Some(&ada), json!({ "body": "same" })),
        app.post(&messages, Some(&ada), json!({ "body": "same" })),
    ];
    for answer in join_all(twice).await {
        assert_eq!(
            answer.expect(201)["duplicate"],
            false,
            "without a key each is a message of its own"
        );
    }
    app.stop().await;
}

#[tokio::test]
async fn bad_messages_are_refused_by_field() {
    let app = TestApp::start().await;
    let ada = app.register("ada").await;
    let messages = format!("{}/messages", room(&app, &ada, "public").await);
    let many: Vec<_> = (0..51).map(|number| format!("u{number}")).collect();
    let changes = [
        ("body", Value::Null),
        ("body", json!("")),
        ("body", json!(" \n ")),
        ("body", json!("a\0b")),
        ("body", json!("x".repeat(16_001))),
        ("body", json!({})),
        ("clientId", json!("")),
        ("clientId", json!("x".repeat(65))),
        ("replyTo", json!(0)),
        ("replyTo", json!(-1)),
        ("replyTo", json!("1")),
        ("mentions", json!(many)),
        ("mentions", json!("ada")),
        ("attachments", json!("a")),
        ("attachments", json!(["a b"])),
        ("attachments", json!(vec!["a"; 11])),
    ];
    each_is_invalid(
        &app,
        Method::POST,
        &messages,
        Some(&ada),
        &json!({ "body": "x" }),
        &changes,
    )
    .await;
    let answer = json!({ "body": "x", "replyTo": 7 });
    let refused = app.post(&messages, Some(&ada), answer).await;
    assert!(refused.refused("conflict").starts_with("replyTo"));
    let page = app.get(&messages, Some(&ada)).await.expect(200);
    assert_eq!(page, json!({ "messages": [], "hasMore": false }));
    app.stop().await;
}

#[tokio::test]
async fn a_room_is_read_in_pages_both_ways() {
    let app = TestApp::start().await;
    let ada = app.register("ada").await;
    let room = room(&app, &ada, "public").await;
    for number in 1..=5 {
        let body =
            json!({ "body": format!("number {number}"), "replyTo": (number == 5).then_some(1) });
        app.post(&format!("{room}/messages"), Some(&ada), body)
            .await
            .expect(201);
    }
    let read = async |query: &str| {
        let page = app
            .get(&format!("{room}/{query}"), Some(&ada))
            .await
            .expect(200);
        let list = page
            .get("messages")
            .or_else(|| page.get("events"))
            .unwrap()
            .as_array()
            .unwrap();
        let seqs: Vec<_> = list
            .iter()
            .map(|item| item["seq"].as_u64().unwrap())
            .collect();
        (seqs, page["hasMore"].as_bool().unwrap())
    };
    assert_eq!(read("messages").await, (vec![1, 2, 3, 4, 5], false));
    assert_eq!(read("messages?limit=2").await, (vec![4, 5], true));
    assert_eq!(read("messages?limit=2&before=4").await, (vec![2, 3], true));
    assert_eq!(read("messages?before=2").await, (vec![1], false));
    assert_eq!(read("messages?limit=2&after=1").await, (vec![2, 3], true));
    assert_eq!(read("messages?after=5").await, (vec![], false));
    assert_eq!(read("events?limit=3").await, (vec![1, 2, 3], true));
    assert_eq!(read("events?after=3").await, (vec![4, 5], false));
    assert_eq!(read("search?query=number%203").await, (vec![3], false));
    assert_eq!(
        read("search?query=number&limit=2").await,
        (vec![5, 4], true)
    );
    assert_eq!(read("search?query=%22%20OR%20*").await.0, Vec::<u64>::new());

    let events = app
        .get(&format!("{room}/events"), Some(&ada))
        .await
        .expect(200);
    assert_eq!(
        (
            &events["events"][4]["type"],
            &events["events"][4]["replyTo"]
        ),
        (&json!("message:new"), &json!(1))
    );
    let some = app
        .get(
            &format!("{room}/messages?limit=1&fields=seq,body,editedAt"),
            Some(&ada),
        )
        .await
        .expect(200);
    assert_eq!(
        some,
        json!({ "messages": [{ "seq": 5, "body": "number 5" }], "hasMore": true })
    );
    for (query, field) in [
        ("messages?limit=0", "limit"),
        ("messages?limit=201", "limit"),
        ("messages?before=x", "before"),
        ("messages?after=9007199254740992", "after"),
        ("messages?fields=seq,secret", "fields"),
        ("events?limit=501", "limit"),
        ("events?after=-1", "after"),
        ("search", "query"),
        ("search?query=%20", "query"),
        ("search?query=x&limit=101", "limit"),
    ] {
        let answer = app.get(&format!("{room}/{query}"), Some(&ada)).await;
        let detail = answer.refused("invalid");
        assert!(detail.starts_with(field), "{query}: {detail}");
    }
    app.stop().await;
}

#[tokio::test]
async fn strangers_learn_nothing_of_a_private_room() {
    let app = TestApp::start().await;
    let (ada, bea) = (app.register("ada").await, app.register("bea").await);
    let private = room(&app, &ada, "private").await;
    app.post(
        &format!("{private}/messages"),
        Some(&ada),
        json!({ "body": "secret" }),
    )
    .await
    .expect(201);
    for room in [private.as_str(), "/api/v1/rooms/nothing"] {
        for query in ["messages", "events", "search?query=secret", "members"] {
            app.get(&format!("{room}/{query}"), Some(&bea))
                .await
                .refused("not_found");
        }
        app.post(
            &format!("{room}/messages"),
            Some(&bea),
            json!({ "body": "x" }),
        )
        .await
        .refused("not_found");
    }
    let public = room(&app, &ada, "public").await;
    app.post(
        &format!("{public}/messages"),
        Some(&bea),
        json!({ "body": "x" }),
    )
    .await
    .refused("forbidden");
    app.stop().await;
}
