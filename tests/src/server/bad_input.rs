//! Mistakes: each is answered with `invalid` and the field's name, none closes the connection or reaches anybody.

use serde_json::{Value, json};

use super::test_app::TestApp;
use crate::client::websocket;

/// A field of an event, and what it must not be. `null` stands for a field that is missing as well, unless the field
/// is optional.
struct Field {
    name: &'static str,
    optional: bool,
    wrong: Vec<Value>,
}

fn required(name: &'static str, wrong: &[Value]) -> Field {
    Field {
        name,
        optional: false,
        wrong: wrong.to_vec(),
    }
}

fn optional(name: &'static str, wrong: &[Value]) -> Field {
    Field {
        optional: true,
        ..required(name, wrong)
    }
}

fn room_id() -> Field {
    let long = "x".repeat(65);
    required(
        "roomId",
        &[
            json!(1),
            json!(""),
            json!("a b"),
            json!("../x"),
            json!(long),
            json!({}),
            json!(["r"]),
        ],
    )
}

fn text(name: &'static str, max: usize) -> Field {
    let long = "x".repeat(max + 1);
    required(
        name,
        &[
            json!(1),
            json!(true),
            json!({}),
            json!([]),
            json!(""),
            json!(" \t\n"),
            json!(long),
        ],
    )
}

fn number(name: &'static str, out_of_bounds: &[Value]) -> Field {
    let wrong = [
        json!("1"),
        json!(1.5),
        json!(-1),
        json!({}),
        json!([]),
        json!(9_007_199_254_740_992_u64),
        json!(1e300),
    ];
    required(name, &[&wrong[..], out_of_bounds].concat())
}

fn flag(name: &'static str) -> Field {
    required(name, &[json!("true"), json!(1), json!({})])
}

fn but_optional(field: Field) -> Field {
    Field {
        optional: true,
        ..field
    }
}

fn user_ids(name: &'static str, max: usize) -> Field {
    let many: Vec<_> = (0..=max).map(|n| format!("u{n}")).collect();
    optional(
        name,
        &[
            json!("x"),
            json!(1),
            json!({}),
            json!([1]),
            json!([""]),
            json!(["a b"]),
            json!([null]),
            json!(many),
        ],
    )
}

/// Every event, as it is right, with all its fields.
fn events(room: &str) -> Vec<(&'static str, Value, Vec<Field>)> {
    let limit = |max: u64| but_optional(number("limit", &[json!(0), json!(max + 1)]));
    vec![
        (
            "room:create",
            json!({ "name": "x", "kind": "private" }),
            vec![
                text("name", 128),
                required("kind", &[json!("secret"), json!(1), json!({}), json!("")]),
                user_ids("members", 100),
            ],
        ),
        (
            "room:join",
            json!({ "roomId": room }),
            vec![
                room_id(),
                but_optional(number("since", &[])),
                optional("epoch", &[json!({}), json!([]), json!(true)]),
            ],
        ),
        ("room:leave", json!({ "roomId": room }), vec![room_id()]),
        (
            "room:events",
            json!({ "roomId": room, "after": 0 }),
            vec![room_id(), number("after", &[]), limit(500)],
        ),
        (
            "message:send",
            json!({ "roomId": room, "clientId": "c", "body": "x" }),
            vec![
                room_id(),
                Field {
                    wrong: [text("clientId", 64).wrong, vec![json!("a\nb")]].concat(),
                    ..text("clientId", 64)
                },
                Field {
                    wrong: [text("body", 16_000).wrong, vec![json!("a\0b")]].concat(),
                    ..text("body", 16_000)
                },
                but_optional(number("replyTo", &[json!(0)])),
                user_ids("mentions", 50),
                user_ids("attachments", 10),
            ],
        ),
        (
            "image:upload",
            json!({
                "roomId": room, "clientId": "c", "fileName": "a.png", "contentType": "image/png",
                "data": { "_placeholder": true, "num": 0 },
            }),
            vec![
                room_id(),
                text("clientId", 64),
                required(
                    "fileName",
                    &[json!(""), json!(1), json!({}), json!("x".repeat(256))],
                ),
                required(
                    "contentType",
                    &[
                        json!(""),
                        json!("png"),
                        json!("a/b/c"),
                        json!("image/svg+xml"),
                    ],
                ),
                required(
                    "data",
                    &[
                        json!("x"),
                        json!([1]),
                        json!({}),
                        json!({ "_placeholder": true }),
                        json!({ "_placeholder": false, "num": 0 }),
                        json!({ "_placeholder": true, "num": 1 }),
                    ],
                ),
            ],
        ),
        (
            "message:edit",
            json!({ "roomId": room, "seq": 1, "body": "x" }),
            vec![room_id(), number("seq", &[json!(0)]), text("body", 16_000)],
        ),
        (
            "message:delete",
            json!({ "roomId": room, "seq": 1 }),
            vec![room_id(), number("seq", &[json!(0)])],
        ),
        (
            "message:react",
            json!({ "roomId": room, "seq": 1, "emoji": "👍", "on": true }),
            vec![
                room_id(),
                number("seq", &[json!(0)]),
                text("emoji", 64),
                flag("on"),
            ],
        ),
        (
            "message:history",
            json!({ "roomId": room }),
            vec![
                room_id(),
                but_optional(number("before", &[])),
                but_optional(number("after", &[])),
                limit(200),
            ],
        ),
        (
            "message:search",
            json!({ "roomId": room, "query": "x" }),
            vec![room_id(), text("query", 256), limit(100)],
        ),
        (
            "typing:set",
            json!({ "roomId": room, "on": true }),
            vec![room_id(), flag("on")],
        ),
        (
            "read:set",
            json!({ "roomId": room, "seq": 1 }),
            vec![room_id(), number("seq", &[])],
        ),
        ("presence:get", json!({ "roomId": room }), vec![room_id()]),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_field_of_every_event_is_checked_and_named() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.register("ana").await, app.guest("bea").await);
    let (mut anas, mut beas) = (app.connect(&ana).await, app.connect(&bea).await);
    let room = anas.create("public", "hall").await;
    beas.join(&room).await;
    anas.say(&room, "one").await;
    anas.before("one").await;
    beas.before("one").await;
    let mut mistakes = 0;
    for (event, right, fields) in events(&room) {
        for field in fields {
            let mut payloads = Vec::new();
            for wrong in field.wrong {
                let mut payload = right.clone();
                payload[field.name] = wrong;
                payloads.push(payload);
            }
            if !field.optional {
                let mut payload = right.clone();
                payload[field.name] = Value::Null;
                payloads.push(payload.clone());
                payload.as_object_mut().unwrap().remove(field.name);
                payloads.push(payload);
            }
            for payload in payloads {
                let refused = anas.emit(event, payload.clone()).await;
                let error = &refused["error"];
                let message = error["message"].as_str().unwrap_or_default();
                let found = (&refused["ok"], &error["code"], &error["retryable"]);
                let shown: String = payload.to_string().chars().take(200).collect();
                assert_eq!(
                    found,
                    (&json!(false), &json!("invalid"), &json!(false)),
                    "{event} {shown}: {refused}"
                );
                let named = message.split([':', '[']).next().unwrap();
                assert_eq!(named, field.name, "{event} {shown}: {message}");
                mistakes += 1;
            }
        }
        for payload in [
            json!(null),
            json!(1),
            json!("x"),
            json!([]),
            json!([room]),
            json!(true),
        ] {
            let (code, message) = anas.refused(event, payload.clone()).await;
            assert_eq!(code, "invalid", "{event} {payload}");
            assert!(
                message.starts_with("payload: "),
                "{event} {payload}: {message}"
            );
        }
    }
    assert!(mistakes > 200, "{mistakes}");
    // All of it as nothing: the log goes on where it was, and nobody has heard of it.
    assert_eq!(anas.say(&room, "end").await["seq"], 2);
    assert_eq!(beas.before("end").await, []);
    let rooms = app.get("/api/v1/me/rooms", Some(&ana)).await.expect(200);
    assert_eq!(rooms["rooms"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn direct_rooms_need_the_other_one() {
    let app = TestApp::start().await;
    let ana = app.register("ana").await;
    let mut anas = app.connect(&ana).await;
    for members in [
        json!([]),
        json!(null),
        json!([ana.id]),
        json!(["a", "b", "c"]),
    ] {
        let request = json!({ "kind": "direct", "members": members });
        let (code, message) = anas.refused("room:create", request).await;
        assert_eq!(code, "invalid", "{members}");
        assert!(message.starts_with("members"), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_isnt_an_event_is_answered_and_does_no_harm() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.register("ana").await, app.guest("bea").await);
    let (mut anas, mut beas) = (app.connect(&ana).await, app.connect(&bea).await);
    let room = anas.create("public", "hall").await;
    beas.join(&room).await;
    for event in [
        "message",
        "message:new",
        "session:revoked",
        "image:ready",
        "",
        "🦊",
        "room:join ",
    ] {
        let (code, message) = anas.refused(event, json!({ "roomId": room })).await;
        assert_eq!(
            (code.as_str(), message.starts_with("event")),
            ("invalid", true),
            "{message}"
        );
    }
    // Arguments too few and too many, and events that want no answer.
    let first = 10_000;
    for (id, arguments) in [
        r#"["room:join"]"#.to_owned(),
        r#"["message:send",{"roomId":"x","roomId":"y","clientId":"c","body":"x"}]"#.to_owned(),
    ]
    .iter()
    .enumerate()
    {
        let id = first + id as u64;
        anas.send_raw(&format!("42{id}{arguments}")).await;
        let answer = anas.ack(id).await;
        assert_eq!(answer["error"]["code"], "invalid", "{arguments}: {answer}");
    }
    anas.send_raw(&format!(
        r#"4299["presence:get",{{"roomId":"{room}"}},1,[2],null]"#
    ))
    .await;
    assert_eq!(anas.ack(99).await["count"], 2);
    for packet in [
        r#"42["message:send",{}]"#,
        r#"42["nothing"]"#,
        r#"42["room:join",5]"#,
    ] {
        anas.send_raw(packet).await;
    }
    let quiet = json!(["message:send", { "roomId": room, "clientId": "q", "body": "quiet" }]);
    anas.send_raw(&format!("42{quiet}")).await;
    anas.before("quiet").await;
    beas.before("quiet").await;
    // An ack that nobody asked for.
    anas.send_raw("437[1]").await;
    assert_eq!(anas.say(&room, "end").await["seq"], 2);
    assert_eq!(beas.before("end").await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_answered_and_closes_nothing() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.register("ana").await, app.guest("bea").await);
    let (mut anas, mut beas) = (app.connect(&ana).await, app.connect(&bea).await);
    let room = anas.create("public", "hall").await;
    beas.join(&room).await;
    beas.event("room:member").await;
    for (id, (event, field)) in [
        ("[1,{}]".to_owned(), "event"),
        (r#"["bad\ud800",{}]"#.to_owned(), "event"),
        (r#"["disconnect",{}]"#.to_owned(), "event"),
        ("{}".to_owned(), "event"),
        (r#"["message:send",NaN]"#.to_owned(), "payload"),
        (r#"["mess\u0061ge:send",NaN]"#.to_owned(), "payload"),
        (r#"["message:send",{"roomId":"#.to_owned(), "payload"),
        (
            format!(
                r#"["message:send",{{"roomId":"{room}","clientId":"c","body":"half \ud800"}}]"#
            ),
            "body",
        ),
        (
            format!(
                r#"["message:send",{{"roomId":"{room}","clientId":"c","body":"x","\udc00":1}}]"#
            ),
            "",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        anas.send_raw(&format!("42{event}")).await;
        let id = 2_000 + id as u64;
        anas.send_raw(&format!("42{id}{event}")).await;
        let answer = anas.ack(id).await;
        assert_eq!(answer["error"]["code"], "invalid", "{event}: {answer}");
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.starts_with(field), "{event}: {message}");
    }
    assert_eq!(anas.say(&room, "end").await["seq"], 1);
    assert_eq!(beas.before("end").await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn attachments_that_nobody_expects_are_a_mistake_in_their_field() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.register("ana").await, app.guest("bea").await);
    let (mut anas, mut beas) = (app.connect(&ana).await, app.connect(&bea).await);
    let room = anas.create("public", "hall").await;
    beas.join(&room).await;
    beas.event("room:member").await;
    let placeholder = json!({ "_placeholder": true, "num": 0 });
    for (id, (event, payload, field)) in [
        (
            "message:send",
            json!({ "roomId": room, "clientId": "c", "body": placeholder }),
            "body",
        ),
        (
            "message:send",
            json!({ "roomId": placeholder, "clientId": "c", "body": "x" }),
            "roomId",
        ),
        (
            "message:search",
            json!({ "roomId": room, "query": [placeholder] }),
            "query",
        ),
        ("read:set", placeholder.clone(), "roomId"),
        (
            "image:upload",
            json!({ "roomId": room, "data": placeholder }),
            "clientId",
        ),
        ("no:such:event", placeholder.clone(), "event"),
    ]
    .into_iter()
    .enumerate()
    {
        let id = 1_000 + id as u64;
        anas.send_raw(&format!("451-{id}{}", json!([event, payload])))
            .await;
        anas.socket()
            .write(&websocket::binary(&[0, 1, 2, 255]))
            .await;
        let answer = anas.ack(id).await;
        assert_eq!(answer["error"]["code"], "invalid", "{event}: {answer}");
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.starts_with(field), "{event}: {message}");
    }
    assert_eq!(anas.say(&room, "end").await["seq"], 1);
    assert_eq!(beas.before("end").await, []);
}
