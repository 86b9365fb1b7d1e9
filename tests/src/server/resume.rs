//! Coming back: what was missed, in order, before anything newer, or a clear word that more has to be read.

use serde_json::{Map, Value, json};

use super::{
    chat_client::{ChatClient, names_of_log},
    test_app::TestApp,
};

async fn say_many(socket: &mut ChatClient, room: &str, count: usize) {
    let mut acks = Vec::new();
    for n in 0..count {
        let send = json!({ "roomId": room, "clientId": n.to_string(), "body": n.to_string() });
        acks.push(socket.start("message:send", send).await);
    }
    for ack in acks {
        assert_eq!(socket.ack(ack).await["ok"], true);
    }
}

/// The rest of a room's log after `seq`, by pages.
async fn page(socket: &mut ChatClient, room: &str, mut seq: u64) -> Vec<u64> {
    let mut seqs = Vec::new();
    loop {
        let request = json!({ "roomId": room, "after": seq });
        let page = socket.done("room:events", request).await;
        for event in page["events"].as_array().unwrap() {
            seq = event["seq"].as_u64().unwrap();
            seqs.push(seq);
        }
        if page["hasMore"] == false {
            return seqs;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_five_hundred_the_rest_is_paged() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.register("ana").await, app.guest("bea").await);
    let (mut anas, mut beas) = (app.connect(&ana).await, app.connect(&bea).await);
    let room = anas.create("public", "hall").await;
    beas.join(&room).await;
    drop(beas);
    say_many(&mut anas, &room, 700).await;
    for seq in [0, 199, 200, 201, 699, 700] {
        let mut resumed = app.resume(&bea, json!({ &room: { "seq": seq } })).await;
        let given = (seq + 500).min(700);
        for expected in seq + 1..=given {
            let (name, event) = resumed.next_of_log().await;
            assert_eq!(
                (name.as_str(), &event["seq"]),
                ("message:new", &json!(expected))
            );
        }
        let told = resumed.event("room:resumed").await;
        let complete = seq >= 200;
        assert_eq!(
            told,
            json!({ "roomId": room, "headSeq": 700, "complete": complete })
        );
        let rest = page(&mut resumed, &room, given).await;
        assert_eq!(rest, (given + 1..=700).collect::<Vec<_>>());

        let mut joined = app.connect(&bea).await;
        let since = json!({ "roomId": room, "since": seq });
        let joined = joined.done("room:join", since).await;
        let missed = joined["missed"].as_array().unwrap();
        assert_eq!(
            (missed.len() as u64, &joined["complete"]),
            (given - seq, &json!(complete))
        );
        assert_eq!(joined["headSeq"], 700);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_log_has_to_be_loaded_anew() {
    let app = TestApp::start().await;
    let ana = app.register("ana").await;
    let mut anas = app.connect(&ana).await;
    let room = anas.create("public", "hall").await;
    say_many(&mut anas, &room, 3).await;
    let epoch = anas.join(&room).await["room"]["epoch"].take();
    for (point, is_same) in [
        (json!({ "seq": 3, "epoch": epoch }), true),
        (json!({ "seq": 3 }), true),
        (json!({ "seq": 4, "epoch": epoch }), false),
        (json!({ "seq": 4 }), false),
        (json!({ "seq": 2, "epoch": "another" }), false),
        (json!({ "seq": 2, "epoch": 7 }), false),
    ] {
        let mut resumed = app.resume(&ana, json!({ &room: point })).await;
        let told = resumed.event("room:resumed").await;
        let mut expected = json!({ "roomId": room, "headSeq": 3, "complete": is_same });
        if !is_same {
            expected["reset"] = json!(true);
        }
        assert_eq!(told, expected, "{point}");
        assert_eq!(names_of_log(&resumed.so_far().await), [""; 0]);

        let mut request = json!({ "roomId": room, "since": point["seq"] });
        if point["epoch"] != Value::Null {
            request["epoch"] = point["epoch"].clone();
        }
        let mut joined = app.connect(&ana).await;
        let joined = joined.done("room:join", request).await;
        assert_eq!(
            (&joined["missed"], &joined["headSeq"]),
            (&json!([]), &json!(3))
        );
        assert_eq!(
            (&joined["complete"], joined.get("reset").is_some()),
            (&json!(is_same), !is_same)
        );
        // Subscribed all the same.
        anas.done("typing:set", json!({ "roomId": room, "on": true }))
            .await;
        resumed.event("typing:changed").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_that_one_lost_meanwhile_are_named() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.register("ana").await, app.guest("bea").await);
    let (mut anas, mut beas) = (app.connect(&ana).await, app.connect(&bea).await);
    let mut rooms = Vec::new();
    for kind in ["public", "private", "public", "private"] {
        let room = anas.create(kind, "x").await;
        let path = format!("/api/v1/rooms/{room}/members/{}", bea.id);
        app.put(&path, &ana, json!({})).await.expect(200);
        beas.join(&room).await;
        rooms.push(room);
    }
    let [left, kicked, deleted, kept] = &rooms[..] else {
        unreachable!()
    };
    beas.done("room:leave", json!({ "roomId": left })).await;
    drop(beas);
    let path = format!("/api/v1/rooms/{kicked}/members/{}", bea.id);
    app.delete(&path, &ana).await.expect(204);
    app.delete(&format!("/api/v1/rooms/{deleted}"), &ana)
        .await
        .expect(204);
    for room in [left, kicked, kept] {
        anas.say(room, "news").await;
    }
    let mut points = Map::new();
    for room in rooms.iter().map(String::as_str).chain(["nowhere"]) {
        points.insert(room.to_owned(), json!({ "seq": 0 }));
    }
    let mut resumed = app.resume(&bea, points.into()).await;
    for _ in 0..5 {
        let told = resumed.event("room:resumed").await;
        if told["roomId"] == json!(kept) {
            assert_eq!(
                (&told["headSeq"], &told["complete"]),
                (&json!(1), &json!(true))
            );
        } else {
            assert_eq!(told["error"]["code"], "not_found", "{told}");
            assert_eq!(told["error"]["retryable"], false);
        }
    }
    // Nothing of the others came.
    let heard = resumed.so_far().await;
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert_eq!(
        (heard[0].0.as_str(), &heard[0].1["roomId"]),
        ("message:new", &json!(kept))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn many_rooms_are_resumed_and_too_many_are_a_mistake() {
    let app = TestApp::start().await;
    let ana = app.register("ana").await;
    let mut anas = app.connect(&ana).await;
    let room = anas.create("public", "hall").await;
    let points = |count: usize| {
        let mut points = Map::new();
        for n in 1..count {
            points.insert(format!("room-{n}"), json!({ "seq": n }));
        }
        points.insert(room.clone(), json!({ "seq": 0 }));
        Value::from(points)
    };
    let mut resumed = app.resume(&ana, points(200)).await;
    for _ in 0..200 {
        resumed.event("room:resumed").await;
    }
    let auth = json!({ "token": ana.access_token, "resume": points(201) });
    let refused = ChatClient::try_connect(app.address(), auth)
        .await
        .err()
        .unwrap();
    assert_eq!(refused["data"]["code"], "invalid");
    assert!(
        refused["message"].as_str().unwrap().starts_with("resume"),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missed_comes_before_anything_newer() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.register("ana").await, app.guest("bea").await);
    let (mut anas, mut beas) = (app.connect(&ana).await, app.connect(&bea).await);
    let room = anas.create("public", "hall").await;
    beas.join(&room).await;
    drop(beas);
    say_many(&mut anas, &room, 300).await;
    for change in [
        (
            "message:edit",
            json!({ "roomId": room, "seq": 300, "body": "edited" }),
        ),
        (
            "message:react",
            json!({ "roomId": room, "seq": 300, "emoji": "👍", "on": true }),
        ),
        ("message:delete", json!({ "roomId": room, "seq": 299 })),
    ] {
        anas.done(change.0, change.1).await;
    }
    // Whoever speaks while others come back.
    let (app, room) = (&app, &room);
    let talks = async {
        for n in 0..60 {
            anas.say(room, &format!("live-{n}")).await;
        }
    };
    let returns = async {
        for _ in 0..5 {
            let mut socket = app.resume(&bea, json!({ room: { "seq": 0 } })).await;
            let mut resumed = None;
            let mut seq = 0;
            while seq < 363 {
                let is_it = |told: &(String, Value)| {
                    told.0 == "room:resumed" || told.0.starts_with("message:")
                };
                let (name, event) = socket.event_that(is_it).await;
                if name == "room:resumed" {
                    // Everything up to its head came before, everything after it comes behind.
                    assert_eq!(event["headSeq"], seq);
                    resumed = Some(event);
                } else {
                    seq += 1;
                    assert_eq!(event["seq"], seq, "{name}");
                }
            }
            match resumed {
                Some(resumed) => assert_eq!(resumed["complete"], true),
                None => assert_eq!(socket.event("room:resumed").await["headSeq"], 363),
            }
        }
    };
    tokio::join!(talks, returns);
}
