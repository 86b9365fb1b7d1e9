//! Sending: one order for everybody, one message for one `clientId`, and a `clientId` for nobody but its sender.

use ::http::Method;
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{
    chat_client::ChatClient,
    test_app::{TestApp, on_a_fleet},
};
use crate::{client::http, deadline::within};

#[tokio::test(flavor = "multi_thread")]
async fn a_message_says_what_the_contract_says() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.register("ana").await, app.guest("Bea").await);
    let (mut anas, mut beas) = (app.connect(&ana).await, app.connect(&bea).await);
    let room = anas.create("public", "hall").await;
    beas.join(&room).await;
    anas.say(&room, "first").await;
    let mut sent = anas
        .done(
            "message:send",
            json!({
                "roomId": room, "clientId": "c-2", "body": " hola\n\t\"mundo\" 🦊\u{200d}\u{2028} ",
                "replyTo": 1, "mentions": [bea.id], "attachments": [], "newer": "field",
            }),
        )
        .await["message"]
        .take();
    let heard = beas.event_that(|(_, message)| message["seq"] == 2).await;
    let (id, at) = (sent["id"].take(), sent["at"].take());
    assert!(id.as_str().is_some_and(|id| !id.is_empty()));
    let at = at.as_str().unwrap();
    assert_eq!((at.len(), &at[19..20], &at[23..]), (24, ".", "Z"), "{at}");
    let mut expected = json!({
        "id": null, "roomId": room, "seq": 2, "at": null, "clientId": "c-2", "replyTo": 1,
        "sender": { "id": ana.id, "displayName": "ana", "guest": false },
        "body": " hola\n\t\"mundo\" 🦊\u{200d}\u{2028} ", "attachments": [], "reactions": [],
    });
    assert_eq!(sent, expected);
    (expected["id"], expected["at"]) = (id, at.into());
    expected.as_object_mut().unwrap().remove("clientId");
    assert_eq!(heard, ("message:new".to_owned(), expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_the_largest_size_comes_whole() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.register("ana").await, app.guest("bea").await);
    let (mut anas, mut beas) = (app.connect(&ana).await, app.connect(&bea).await);
    let room = anas.create("public", "hall").await;
    beas.join(&room).await;
    let body = "🦊".repeat(16_000);
    let send = json!({ "roomId": room, "clientId": "c", "body": body });
    anas.done("message:send", send).await;
    assert_eq!(beas.event("message:new").await["body"], body);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_client_id_is_one_message_whichever_way_it_is_sent() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.register("ana").await, app.guest("bea").await);
    let mut anas = app.connect(&ana).await;
    let room = anas.create("public", "hall").await;
    let mut beas = app.connect(&bea).await;
    beas.join(&room).await;
    let path = format!("/api/v1/rooms/{room}/messages");
    for round in 0..10_u64 {
        let key = format!("same-{round}");
        let by_socket = (0..4).map(async |_| {
            let mut socket = app.connect(&ana).await;
            let send = json!({ "roomId": room, "clientId": key, "body": "once" });
            socket.done("message:send", send).await
        });
        let by_http = (0..4).map(async |_| {
            let bearer = format!("Bearer {}", ana.access_token);
            let headers = [
                ("authorization", bearer.as_str()),
                ("content-type", "application/json"),
                ("idempotency-key", &key),
            ];
            let body = r#"{"body":"once"}"#;
            let sent = http::request(app.address(), Method::POST, &path, &headers, body).await;
            assert_eq!(sent.status, 201, "{}", sent.text());
            serde_json::from_slice::<Value>(&sent.body).unwrap()
        });
        let (by_socket, by_http) = tokio::join!(join_all(by_socket), join_all(by_http));
        let answers = [by_socket, by_http].concat();
        let first = answers
            .iter()
            .filter(|answer| answer["duplicate"] == false)
            .count();
        assert_eq!(first, 1, "{answers:?}");
        for answer in &answers {
            assert_eq!(answer["message"], answers[0]["message"]);
            let seq = answer["message"]["seq"].as_u64().unwrap();
            // Of attempts on two instances at once all but one leave an empty place.
            assert!(seq > round && (on_a_fleet() || seq == round + 1), "{seq}");
        }
    }
    // Of others, and in other rooms, the same name is another message.
    let send = |room: &str| json!({ "roomId": room, "clientId": "same-0", "body": "mine" });
    assert_eq!(
        beas.done("message:send", send(&room)).await["duplicate"],
        false
    );
    let other = anas.create("public", "other").await;
    assert_eq!(
        anas.done("message:send", send(&other)).await["duplicate"],
        false
    );

    beas.event_that(|(_, message)| message["body"] == "mine")
        .await;
    let history = beas
        .done("message:history", json!({ "roomId": room }))
        .await;
    assert_eq!(history["messages"].as_array().unwrap().len(), 11);
}

/// The `seq`s of the log that a client hears, until `last`, without gap and duplicate after `after`; and the bodies.
async fn hear_all(socket: &mut ChatClient, after: u64, last: u64) -> Vec<(u64, String)> {
    let mut heard = Vec::new();
    for expected in after + 1..=last {
        let (name, message) = socket.next_of_log().await;
        assert_eq!(
            (name.as_str(), &message["seq"]),
            ("message:new", &json!(expected))
        );
        heard.push((expected, message["body"].as_str().unwrap().to_owned()));
    }
    heard
}

#[tokio::test(flavor = "multi_thread")]
async fn all_see_one_order_without_gaps_whenever_they_come() {
    const SENDERS: usize = 20;
    const EACH: usize = 30;
    const ALL: u64 = (SENDERS * EACH) as u64;
    let app = TestApp::start().await;
    let (ana, bea) = (app.register("ana").await, app.guest("bea").await);
    let mut anas = app.connect(&ana).await;
    let room = anas.create("public", "hall").await;
    let mut sockets = Vec::new();
    for _ in 0..SENDERS {
        let mut socket = app.connect(&ana).await;
        socket.join(&room).await;
        sockets.push(socket);
    }
    let mut listener = app.connect(&bea).await;
    listener.join(&room).await;

    let (room, app) = (&room, &app);
    let senders = sockets
        .into_iter()
        .enumerate()
        .map(async |(sender, mut socket)| {
            let mut seqs = Vec::new();
            for n in 0..EACH {
                seqs.push(
                    socket.say(room, &format!("{sender}-{n}")).await["seq"]
                        .as_u64()
                        .unwrap(),
                );
            }
            assert!(seqs.is_sorted(), "{seqs:?}");
            hear_all(&mut socket, 0, ALL).await
        });
    // One who comes in the middle, with what it has.
    let late = async {
        let mut socket = app.connect(&bea).await;
        while heads(&mut socket, room).await < ALL / 3 {}
        let since = json!({ "roomId": room, "since": 5 });
        let joined = socket.done("room:join", since).await;
        assert_eq!(joined["complete"], true);
        let mut seen: Vec<(u64, String)> = events(&joined["missed"]);
        let head = joined["headSeq"].as_u64().unwrap();
        assert_eq!(seen.last().unwrap().0, head);
        seen.extend(hear_all(&mut socket, head, ALL).await);
        seen
    };
    // One who breaks off again and again.
    let restless = async {
        let mut seen: Vec<(u64, String)> = Vec::new();
        let mut breaks = 0;
        while (seen.len() as u64) < ALL {
            let seq = seen.len() as u64;
            let mut socket = app.resume(&bea, json!({ room: { "seq": seq } })).await;
            let take = (seq + 40).min(ALL);
            seen.extend(hear_all(&mut socket, seq, take).await);
            breaks += 1;
        }
        assert!(breaks > 10);
        seen
    };
    let (orders, late, restless) = tokio::join!(join_all(senders), late, restless);
    let order = hear_all(&mut listener, 0, ALL).await;
    assert!(orders.iter().all(|seen| *seen == order));
    assert_eq!(late, order[5..]);
    assert_eq!(restless, order);
    let stored = listener
        .done("room:events", json!({ "roomId": room, "after": 100 }))
        .await;
    assert_eq!(events(&stored["events"]), order[100..]);
}

async fn heads(socket: &mut ChatClient, room: &str) -> u64 {
    let page = json!({ "roomId": room, "limit": 1 });
    let page = socket.done("message:history", page).await;
    page["messages"][0]["seq"].as_u64().unwrap_or(0)
}

fn events(events: &Value) -> Vec<(u64, String)> {
    let events = events.as_array().unwrap().iter();
    let of = |event: &Value| {
        assert_eq!(event["type"], "message:new");
        (
            event["seq"].as_u64().unwrap(),
            event["body"].as_str().unwrap().to_owned(),
        )
    };
    events.map(of).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_a_thousand_is_taken_in_its_order() {
    let app = TestApp::start().await;
    let ana = app.register("ana").await;
    let mut anas = app.connect(&ana).await;
    let room = anas.create("public", "hall").await;
    let mut acks = Vec::new();
    for n in 0..1_000 {
        let send = json!({ "roomId": room, "clientId": n.to_string(), "body": n.to_string() });
        acks.push(anas.start("message:send", send).await);
    }
    within("all acks", async {
        for (n, ack) in acks.into_iter().enumerate() {
            let answer = anas.ack(ack).await;
            assert_eq!(answer["ok"], true, "{n}: {answer}");
            assert_eq!(answer["message"]["seq"], n + 1);
        }
    })
    .await;
    for (seq, body) in hear_all(&mut anas, 0, 1_000).await {
        assert_eq!(body, (seq - 1).to_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_id_is_told_to_nobody_but_its_sender() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.register("ana").await, app.guest("bea").await);
    let (mut anas, mut beas) = (app.connect(&ana).await, app.connect(&bea).await);
    let room = anas.create("public", "hall").await;
    let mut tablet = app.connect(&ana).await;
    tablet.join(&room).await;
    beas.join(&room).await;
    let send = json!({ "roomId": room, "clientId": "secret-name", "body": "needle" });
    let sent = anas.done("message:send", send.clone()).await;
    assert_eq!(sent["message"]["clientId"], "secret-name");
    let edit = json!({ "roomId": room, "seq": 1, "body": "needle again" });
    let edited = anas.done("message:edit", edit).await;
    assert_eq!(edited["message"]["clientId"], "secret-name");

    // As it happens, to all connections of the sender and to others.
    for (socket, own) in [(&mut anas, true), (&mut tablet, true), (&mut beas, false)] {
        let heard = socket.event("message:new").await;
        assert_eq!(heard.get("clientId").is_some(), own, "{heard}");
        let heard = socket.event("message:edited").await;
        assert_eq!(heard["message"].get("clientId").is_some(), own, "{heard}");
    }
    // Read back by every way there is, from memory and, after a restart, from the store.
    let mut app = app;
    for _ in 0..2 {
        for (person, own) in [(&ana, true), (&bea, false)] {
            let mut socket = app.connect(person).await;
            let of_room = |mut payload: Value| {
                payload["roomId"] = json!(room);
                payload
            };
            let mut texts = Vec::new();
            for (event, payload) in [
                ("room:join", json!({ "since": 0 })),
                ("room:events", json!({ "after": 0 })),
                ("message:history", json!({})),
                ("message:search", json!({ "query": "needle" })),
            ] {
                texts.push((
                    event,
                    socket.done(event, of_room(payload)).await.to_string(),
                ));
            }
            for path in [
                "messages",
                "messages?fields=seq,body,clientId",
                "events",
                "search?query=needle",
            ] {
                let path = format!("/api/v1/rooms/{room}/{path}");
                let answer = app.get(&path, Some(person)).await.expect(200);
                texts.push(("http", answer.to_string()));
            }
            let mut resumed = app.resume(person, json!({ &room: { "seq": 0 } })).await;
            texts.push(("resume", resumed.event("message:new").await.to_string()));
            texts.push(("resume", resumed.event("message:edited").await.to_string()));
            for (way, text) in texts {
                assert!(text.contains("needle"), "{way}: {text}");
                assert_eq!(text.contains("secret-name"), own, "{way}: {text}");
            }
        }
        app = app.restart().await;
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_has_to_be_to_a_message_of_the_room() {
    let app = TestApp::start().await;
    let ana = app.register("ana").await;
    let mut anas = app.connect(&ana).await;
    let room = anas.create("public", "hall").await;
    anas.say(&room, "one").await;
    let react = json!({ "roomId": room, "seq": 1, "emoji": "👍", "on": true });
    anas.done("message:react", react).await;
    // A place of a reaction, the next one, and one far off.
    for seq in [2, 3, 1_000] {
        let send = json!({ "roomId": room, "clientId": "c", "body": "x", "replyTo": seq });
        let (code, message) = anas.refused("message:send", send).await;
        assert_eq!(
            (code.as_str(), message.starts_with("replyTo")),
            ("conflict", true),
            "{message}"
        );
    }
    // What was refused left no place behind.
    assert_eq!(anas.say(&room, "next").await["seq"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_a_message_calls_is_decided_by_the_server() {
    let app = TestApp::start_embedded().await;
    let [ana, bea, cyd] = [
        app.register("ana").await,
        app.register("Bea").await,
        app.register("cyd").await,
    ];
    let eve = app.register("eve").await;
    let mut anas = app.connect(&ana).await;
    let room = anas.create("public", "hall").await;
    for person in [&bea, &cyd] {
        app.connect(person).await.join(&room).await;
    }
    let send = |client_id: &str, body: &str, mentions: Value| json!({ "roomId": room, "clientId": client_id, "body": body, "mentions": mentions });
    // The order of one who writes stays, whether or not a message calls somebody.
    let mut seqs = Vec::new();
    let called = "@bea and `@cyd`, @eve, @nobody: look";
    for message in [
        send("1", called, json!([])),
        send("2", "nobody", json!([])),
        send("3", "@CYD", json!([bea.id, eve.id, "none"])),
    ] {
        seqs.push(anas.done("message:send", message).await["message"]["seq"].clone());
    }
    assert_eq!(seqs, [1, 2, 3]);
    let posted = json!({ "body": "@cyd, by HTTP" });
    let path = format!("/api/v1/rooms/{}/messages", room.as_str());
    app.post(&path, Some(&ana), posted).await.expect(201);

    let database = rusqlite::Connection::open_with_flags(
        app.data_dir().join("messages.db"),
        rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY,
    )
    .unwrap();
    let stored: Vec<Option<String>> = database
        .prepare("SELECT mentions FROM messages ORDER BY entry")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let list = |ids: &[&str]| Some(json!(ids).to_string());
    assert_eq!(
        stored,
        [
            list(&[&bea.id]),
            None,
            list(&[&bea.id, &cyd.id]),
            list(&[&cyd.id])
        ]
    );
}
