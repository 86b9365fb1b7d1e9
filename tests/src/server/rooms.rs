//! Making rooms, entering and leaving them, and who may see them.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::test_app::TestApp;

/// Every event that names a room, as somebody sends it who doesn't know whether it is there.
fn every_event(room: &str) -> [(&'static str, Value); 12] {
    [
        ("room:join", json!({ "roomId": room })),
        ("room:leave", json!({ "roomId": room })),
        ("room:events", json!({ "roomId": room, "after": 0 })),
        (
            "message:send",
            json!({ "roomId": room, "clientId": "c", "body": "x" }),
        ),
        (
            "message:edit",
            json!({ "roomId": room, "seq": 1, "body": "x" }),
        ),
        ("message:delete", json!({ "roomId": room, "seq": 1 })),
        (
            "message:react",
            json!({ "roomId": room, "seq": 1, "emoji": "👍", "on": true }),
        ),
        ("message:history", json!({ "roomId": room })),
        ("message:search", json!({ "roomId": room, "query": "word" })),
        ("typing:set", json!({ "roomId": room, "on": true })),
        ("read:set", json!({ "roomId": room, "seq": 1 })),
        ("presence:get", json!({ "roomId": room })),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_room_belongs_to_its_creator() {
    let app = TestApp::start().await;
    let (ana, bea, eve) = (
        app.register("ana").await,
        app.register("bea").await,
        app.guest("eve").await,
    );
    let (mut anas, mut beas) = (app.connect(&ana).await, app.connect(&bea).await);
    let request = json!({ "name": "  kitchen ", "kind": "private", "members": [bea.id, ana.id] });
    let room = anas.done("room:create", request).await["room"].take();
    assert_eq!(
        (&room["name"], &room["kind"]),
        (&json!("kitchen"), &json!("private"))
    );
    assert_eq!(
        (&room["role"], &room["memberCount"]),
        (&json!("owner"), &json!(2))
    );
    assert_eq!(
        (&room["headSeq"], &room["readSeq"], &room["unread"]),
        (&json!(0), &json!(0), &json!(0))
    );
    assert!(room["createdAt"].as_str().unwrap().ends_with('Z'));
    let told = beas.event("room:member").await;
    assert_eq!(
        told,
        json!({ "roomId": room["id"], "userId": bea.id, "role": "member" })
    );

    // The creator's connection is subscribed without joining.
    let id = room["id"].as_str().unwrap();
    assert_eq!(beas.join(id).await["room"]["role"], "member");
    beas.say(id, "hola").await;
    assert_eq!(anas.event("message:new").await["body"], "hola");
    let mut eves = app.connect(&eve).await;
    let refused = eves.refused("room:join", json!({ "roomId": id })).await;
    assert_eq!(refused.0, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn guests_make_no_rooms_but_enter_public_ones() {
    let app = TestApp::start().await;
    let (ana, guest) = (app.register("ana").await, app.guest("Gast").await);
    let (mut anas, mut guests) = (app.connect(&ana).await, app.connect(&guest).await);
    for request in [
        json!({ "name": "x", "kind": "public" }),
        json!({ "name": "x", "kind": "private" }),
        json!({ "kind": "direct", "members": [ana.id] }),
    ] {
        let (code, _) = guests.refused("room:create", request).await;
        assert_eq!(code, "forbidden");
    }
    let room = anas.create("public", "hall").await;
    guests.join(&room).await;
    let sent = guests.say(&room, "hi").await;
    let sender = json!({ "id": guest.id, "displayName": "Gast", "guest": true });
    assert_eq!(sent["sender"], sender);
}

#[tokio::test(flavor = "multi_thread")]
async fn members_of_a_new_room_have_to_exist() {
    let app = TestApp::start().await;
    let ana = app.register("ana").await;
    let mut anas = app.connect(&ana).await;
    for kind in ["public", "private"] {
        let request = json!({ "name": "x", "kind": kind, "members": ["nobody"] });
        let (code, message) = anas.refused("room:create", request).await;
        assert_eq!(
            (code.as_str(), message.starts_with("members")),
            ("conflict", true),
            "{message}"
        );
    }
    let request = json!({ "kind": "direct", "members": ["nobody"] });
    let (code, _) = anas.refused("room:create", request).await;
    assert_eq!(code, "not_found");
    let request = json!({ "kind": "direct", "members": [ana.id] });
    let (code, message) = anas.refused("room:create", request).await;
    assert_eq!(
        (code.as_str(), message.starts_with("members")),
        ("invalid", true),
        "{message}"
    );
    assert_eq!(
        app.get("/api/v1/me/rooms", Some(&ana)).await.expect(200)["rooms"],
        json!([])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_people_have_one_direct_room_however_often_they_make_it() {
    let app = TestApp::start().await;
    let (ana, bea, eve) = (
        app.register("ana").await,
        app.register("bea").await,
        app.register("eve").await,
    );
    let tasks = (0..12).map(async |n| {
        let (one, other) = if n % 2 == 0 {
            (&ana, &bea)
        } else {
            (&bea, &ana)
        };
        let mut socket = app.connect(one).await;
        let request = json!({ "kind": "direct", "members": [other.id] });
        let room = socket.done("room:create", request).await["room"].take();
        assert_eq!(room["name"], if n % 2 == 0 { "bea" } else { "ana" });
        assert_eq!(
            (&room["kind"], &room["memberCount"]),
            (&json!("direct"), &json!(2))
        );
        room["id"].as_str().unwrap().to_owned()
    });
    let mut rooms = join_all(tasks).await;
    rooms.dedup();
    let [room] = &rooms[..] else {
        panic!("{rooms:?}")
    };

    let mut eves = app.connect(&eve).await;
    for (event, payload) in every_event(room) {
        assert_eq!(eves.refused(event, payload).await.0, "not_found", "{event}");
    }
    // It stays between the two.
    let path = format!("/api/v1/rooms/{room}/members/{}", eve.id);
    assert_eq!(app.put(&path, &ana, json!({})).await.code(), "forbidden");
    let path = format!("/api/v1/rooms/{room}/members/{}", bea.id);
    assert_eq!(app.delete(&path, &ana).await.code(), "forbidden");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_full_makes_no_room_and_enters_none() {
    let app = TestApp::start_embedded().await;
    let (ana, bea) = (app.register("ana").await, app.register("bea").await);
    let (mut anas, mut beas) = (app.connect(&ana).await, app.connect(&bea).await);
    let beside = beas.create("public", "beside").await;
    let mut rooms = Vec::new();
    let refused = loop {
        let request = json!({ "kind": "public", "name": "surplus" });
        let answer = anas.emit("room:create", request).await;
        match answer["room"]["id"].as_str() {
            Some(room) => rooms.push(room.to_owned()),
            None => break answer,
        }
    };
    assert_eq!(refused["error"]["code"], "rate_limited");
    assert!((900..=1_000).contains(&rooms.len()), "{}", rooms.len());
    let room = &rooms[0];
    for (event, request) in [
        (
            "room:create",
            json!({ "kind": "public", "name": "surplus" }),
        ),
        (
            "room:create",
            json!({ "kind": "private", "name": "surplus", "members": [bea.id] }),
        ),
        (
            "room:create",
            json!({ "kind": "direct", "members": [bea.id] }),
        ),
        ("room:join", json!({ "roomId": beside })),
    ] {
        assert_eq!(anas.refused(event, request).await.0, "rate_limited");
    }
    // What it is subscribed to already it may join again.
    anas.join(room).await;
    let mut public = 0;
    let mut path = "/api/v1/rooms?query=surplus&limit=100".to_owned();
    loop {
        let page = app.get(&path, Some(&ana)).await.expect(200);
        let page_of = page["rooms"].as_array().unwrap();
        public += page_of.len();
        if page["hasMore"] == false {
            break;
        }
        let after = page_of.last().unwrap()["id"].as_str().unwrap();
        path = format!("/api/v1/rooms?query=surplus&limit=100&after={after}");
    }
    assert_eq!(public, rooms.len());
    beas.say(&beside, "end").await;
    assert_eq!(beas.before("end").await, []);
    let mine = app.get("/api/v1/me/rooms", Some(&bea)).await.expect(200);
    assert_eq!(mine["rooms"].as_array().unwrap().len(), 1);
    assert_eq!(mine["rooms"][0]["memberCount"], 1);

    anas.done("room:leave", json!({ "roomId": room })).await;
    assert_eq!(anas.join(&beside).await["room"]["memberCount"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_not_see_a_room_cant_tell_it_from_none() {
    let app = TestApp::start().await;
    let (ana, eve) = (app.register("ana").await, app.register("eve").await);
    let (mut anas, mut eves) = (app.connect(&ana).await, app.connect(&eve).await);
    let room = anas.create("private", "cellar").await;
    anas.say(&room, "word").await;
    for ((event, there), (_, nowhere)) in every_event(&room).into_iter().zip(every_event("nowhere"))
    {
        let refused = eves.refused(event, there).await;
        assert_eq!(refused.0, "not_found", "{event}");
        assert_eq!(refused, eves.refused(event, nowhere).await, "{event}");
    }
    anas.say(&room, "end").await;
    let heard = anas.before("end").await;
    assert!(
        heard.iter().all(|(_, payload)| payload["body"] == "word"),
        "{heard:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_room_is_read_by_all_and_written_by_members() {
    let app = TestApp::start().await;
    let (ana, eve) = (app.register("ana").await, app.register("eve").await);
    let (mut anas, mut eves) = (app.connect(&ana).await, app.connect(&eve).await);
    let room = anas.create("public", "hall").await;
    anas.say(&room, "word").await;
    for (event, payload) in every_event(&room) {
        match event {
            "room:join" => {}
            "room:events" | "message:history" | "message:search" => {
                eves.done(event, payload).await;
            }
            _ => assert_eq!(eves.refused(event, payload).await.0, "forbidden", "{event}"),
        }
    }
    anas.say(&room, "end").await;
    let heard = anas.before("end").await;
    assert!(
        heard.iter().all(|(_, payload)| payload["body"] == "word"),
        "{heard:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn joining_makes_a_member_and_everybody_learns_of_it_once() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.register("ana").await, app.guest("bea").await);
    let (mut anas, mut beas) = (app.connect(&ana).await, app.connect(&bea).await);
    let room = anas.create("public", "hall").await;
    anas.say(&room, "one").await;
    for _ in 0..2 {
        let joined = beas.join(&room).await;
        assert_eq!(
            (&joined["headSeq"], &joined["missed"]),
            (&json!(1), &json!([]))
        );
        assert_eq!(
            (&joined["complete"], joined.get("reset")),
            (&json!(true), None)
        );
        let room = &joined["room"];
        assert_eq!(
            (&room["memberCount"], &room["role"]),
            (&json!(2), &json!("member"))
        );
        // What was said before one came counts as read.
        assert_eq!((&room["readSeq"], &room["unread"]), (&json!(1), &json!(0)));
    }
    anas.say(&room, "two").await;
    anas.event("message:new").await;
    let told = json!({ "roomId": room, "userId": bea.id, "role": "member" });
    assert_eq!(anas.before("two").await, [("room:member".to_owned(), told)]);
    // Joined twice, told once.
    beas.event("message:new").await;
    let twice = beas.so_far().await;
    assert!(
        twice.iter().all(|(name, _)| name != "message:new"),
        "{twice:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn leaving_ends_membership_on_all_ones_connections() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.register("ana").await, app.guest("bea").await);
    let mut anas = app.connect(&ana).await;
    let (mut first, mut second) = (app.connect(&bea).await, app.connect(&bea).await);
    let room = anas.create("public", "hall").await;
    first.join(&room).await;
    second.join(&room).await;
    first.done("room:leave", json!({ "roomId": room })).await;
    let left = json!({ "roomId": room, "userId": bea.id, "role": null });
    for socket in [&mut anas, &mut first, &mut second] {
        let gone = |told: &(String, Value)| told.0 == "room:member" && told.1["role"].is_null();
        assert_eq!(socket.event_that(gone).await.1, left);
    }
    anas.say(&room, "psst").await;
    anas.event("message:new").await;
    for socket in [&mut first, &mut second] {
        let heard = socket.so_far().await;
        assert!(
            heard.iter().all(|(name, _)| name != "message:new"),
            "{heard:?}"
        );
    }
    let refused = first.refused("room:leave", json!({ "roomId": room })).await;
    assert_eq!(refused.0, "forbidden");
    assert_eq!(first.join(&room).await["room"]["memberCount"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_room_is_told_without_what_it_is_to_one_member() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.register("ana").await, app.guest("bea").await);
    let (mut anas, mut beas) = (app.connect(&ana).await, app.connect(&bea).await);
    let room = anas.create("public", "hall").await;
    beas.join(&room).await;
    let path = format!("/api/v1/rooms/{room}");
    let renamed = app
        .patch(&path, &ana, json!({ "name": "salon" }))
        .await
        .expect(200);
    assert_eq!(
        (&renamed["room"]["name"], &renamed["room"]["role"]),
        (&json!("salon"), &json!("owner"))
    );
    for socket in [&mut anas, &mut beas] {
        let told = socket.event("room:updated").await;
        assert_eq!(
            (&told["room"]["name"], &told["room"]["id"]),
            (&json!("salon"), &json!(room))
        );
        for own in ["role", "readSeq", "unread"] {
            assert_eq!(told["room"].get(own), None);
        }
    }
    assert_eq!(
        app.patch(&path, &bea, json!({ "name": "x" })).await.code(),
        "forbidden"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_room_is_gone_for_all_its_members() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.register("ana").await, app.register("bea").await);
    let (mut anas, mut beas) = (app.connect(&ana).await, app.connect(&bea).await);
    let room = anas.create("public", "hall").await;
    beas.join(&room).await;
    // A member's connection that isn't subscribed learns of it as well.
    let mut elsewhere = app.connect(&bea).await;
    let path = format!("/api/v1/rooms/{room}");
    assert_eq!(app.delete(&path, &bea).await.code(), "forbidden");
    app.delete(&path, &ana).await.expect(204);
    let gone = |told: &(String, Value)| told.0 == "room:member" && told.1["role"].is_null();
    for (socket, person) in [(&mut anas, &ana), (&mut beas, &bea), (&mut elsewhere, &bea)] {
        let told = socket.event_that(gone).await.1;
        assert_eq!(
            told,
            json!({ "roomId": room, "userId": person.id, "role": null })
        );
    }
    for socket in [&mut anas, &mut beas] {
        for (event, payload) in every_event(&room) {
            assert_eq!(
                socket.refused(event, payload).await.0,
                "not_found",
                "{event}"
            );
        }
    }
    assert_eq!(
        app.get("/api/v1/me/rooms", Some(&bea)).await.expect(200)["rooms"],
        json!([])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_put_into_rooms_within_bounds() {
    let app = TestApp::start().await;
    let (ana, eve) = (app.register("ana").await, app.register("eve").await);
    let people = join_all((0..12).map(async |n| app.guest(&format!("guest-{n}")).await)).await;
    let members: Vec<&str> = people.iter().map(|person| person.id.as_str()).collect();
    let room = |name: String| json!({ "name": name, "kind": "private", "members": members });
    let mut anas = app.connect(&ana).await;
    for number in 0..16 {
        anas.done("room:create", room(format!("room {number}")))
            .await;
    }
    let refused = anas.refused("room:create", room("one more".into())).await;
    assert_eq!(refused.0, "rate_limited");
    let refused = app.post("/api/v1/rooms", Some(&ana), room("another".into()));
    assert_eq!(refused.await.code(), "rate_limited");
    let rooms = app.get("/api/v1/me/rooms", Some(&ana)).await.expect(200);
    let rooms = rooms["rooms"].as_array().unwrap();
    assert_eq!(rooms.len(), 16, "refused means that nothing happened");
    // Eight more, one by one; and whoever adds nobody isn't kept from anything.
    let own = anas.create("private", "own").await;
    for (number, member) in members.iter().enumerate().take(9) {
        let path = format!("/api/v1/rooms/{own}/members/{member}");
        let answer = app.put(&path, &ana, json!({})).await;
        match number {
            0..8 => drop(answer.expect(200)),
            _ => assert_eq!(answer.code(), "rate_limited"),
        }
    }
    anas.create("public", "hall").await;
    let mut eves = app.connect(&eve).await;
    eves.done("room:create", room("of eve".into())).await;
}
