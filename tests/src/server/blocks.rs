//! Who has blocked whom: neither reaches the other in a room of their own.

use serde_json::{Value, json};

use super::{
    presence::online_becomes,
    test_app::{Person, TestApp},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_block_closes_a_direct_room_both_ways() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.register("ana").await, app.register("bea").await);
    let (mut anas, mut beas) = (app.connect(&ana).await, app.connect(&bea).await);
    let direct = json!({ "kind": "direct", "members": [bea.id] });
    let room = anas.done("room:create", direct.clone()).await["room"]["id"].take();
    let room = room.as_str().unwrap();
    beas.join(room).await;
    anas.say(room, "from ana").await;
    beas.say(room, "from bea").await;
    beas.before("from bea").await;
    let block = format!("/api/v1/me/blocks/{}", bea.id);
    app.put(&block, &ana, json!({})).await.expect(204);

    for (socket, own) in [(&mut anas, 1), (&mut beas, 2)] {
        for (event, payload) in [
            (
                "message:send",
                json!({ "roomId": room, "clientId": "new", "body": "x" }),
            ),
            (
                "message:edit",
                json!({ "roomId": room, "seq": own, "body": "x" }),
            ),
            (
                "message:react",
                json!({ "roomId": room, "seq": own, "emoji": "👍", "on": true }),
            ),
            ("message:delete", json!({ "roomId": room, "seq": own })),
            ("typing:set", json!({ "roomId": room, "on": true })),
        ] {
            assert_eq!(
                socket.refused(event, payload).await.0,
                "forbidden",
                "{event}"
            );
        }
    }
    let back = json!({ "kind": "direct", "members": [ana.id] });
    assert_eq!(anas.refused("room:create", direct).await.0, "forbidden");
    assert_eq!(beas.refused("room:create", back).await.0, "forbidden");
    // What was sent stays sent, and can be read.
    let again = json!({ "roomId": room, "clientId": "from bea", "body": "from bea" });
    assert_eq!(beas.done("message:send", again).await["duplicate"], true);
    let history = beas
        .done("message:history", json!({ "roomId": room }))
        .await;
    assert_eq!(history["messages"].as_array().unwrap().len(), 2);

    app.delete(&block, &ana).await.expect(204);
    beas.say(room, "again").await;
    anas.before("again").await;
    beas.done("message:delete", json!({ "roomId": room, "seq": 2 }))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_with_a_block_between_them_neither_hears_of_the_other() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.register("ana").await, app.register("bea").await);
    let (mut anas, mut beas) = (app.connect(&ana).await, app.connect(&bea).await);
    let mut second = app.connect(&bea).await;
    let direct = json!({ "kind": "direct", "members": [bea.id] });
    let room = anas.done("room:create", direct).await["room"]["id"].take();
    let room = room.as_str().unwrap();
    beas.join(room).await;
    second.join(room).await;
    let get = json!({ "roomId": room });
    let is_told = |(name, told): &(String, Value), person: &Person, online: bool| {
        name == "presence:changed" && told["userId"] == person.id && told["online"] == online
    };
    anas.event_that(|event| is_told(event, &bea, true)).await;
    beas.event_that(|event| is_told(event, &bea, true)).await;
    online_becomes(&mut anas, room, 2).await;
    anas.say(room, "from ana").await;
    beas.before("from ana").await;
    second.before("from ana").await;
    let block = format!("/api/v1/me/blocks/{}", ana.id);
    app.put(&block, &bea, json!({})).await.expect(204);
    // To each the other has gone.
    anas.event_that(|event| is_told(event, &bea, false)).await;
    beas.event_that(|event| is_told(event, &ana, false)).await;
    for (socket, own) in [(&mut anas, &ana), (&mut beas, &bea)] {
        let presence = socket.done("presence:get", get.clone()).await;
        assert_eq!(presence["count"], 1);
        assert_eq!(presence["online"], json!([own.id]));
    }

    anas.so_far().await;
    let typing = json!({ "roomId": room, "on": true });
    assert_eq!(beas.refused("typing:set", typing).await.0, "forbidden");
    // One's own devices still agree on what was read.
    let read = json!({ "roomId": room, "seq": 1 });
    beas.done("read:set", read).await;
    let changed = second.event("read:changed").await;
    assert_eq!(
        changed,
        json!({ "roomId": room, "userId": bea.id, "seq": 1 })
    );
    drop(second);
    drop(beas);
    let mut beas = app.connect(&bea).await;
    beas.join(room).await;
    let hall = beas.create("public", "hall").await;
    anas.join(&hall).await;
    // Elsewhere they meet as before.
    beas.say(&hall, "elsewhere").await;
    let before = anas.before("elsewhere").await;
    let of_direct = |(_, told): &&(String, Value)| told["roomId"] == *room;
    let heard: Vec<_> = before.iter().filter(of_direct).collect();
    assert!(heard.is_empty(), "{heard:?}");

    app.delete(&block, &bea).await.expect(204);
    online_becomes(&mut anas, room, 2).await;
    let writes = json!({ "roomId": room, "on": true });
    beas.done("typing:set", writes).await;
    let writing = |(name, told): &(String, Value)| name == "typing:changed" && told["on"] == true;
    anas.event_that(writing).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_outlives_a_restart() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.register("ana").await, app.register("bea").await);
    let mut anas = app.connect(&ana).await;
    let direct = json!({ "kind": "direct", "members": [bea.id] });
    let room = anas.done("room:create", direct).await["room"]["id"].take();
    let room = room.as_str().unwrap();
    let block = format!("/api/v1/me/blocks/{}", ana.id);
    app.put(&block, &bea, json!({})).await.expect(204);
    let app = app.restart().await;
    let (mut anas, mut beas) = (app.connect(&ana).await, app.connect(&bea).await);
    anas.join(room).await;
    beas.join(room).await;
    let typing = json!({ "roomId": room, "on": true });
    assert_eq!(anas.refused("typing:set", typing).await.0, "forbidden");
    let presence = anas.done("presence:get", json!({ "roomId": room })).await;
    assert_eq!(presence["count"], 1);
    let heard = anas.so_far().await;
    assert!(heard.is_empty(), "{heard:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_keeps_one_from_being_added_and_leaves_other_rooms_alone() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.register("ana").await, app.register("bea").await);
    let (mut anas, mut beas) = (app.connect(&ana).await, app.connect(&bea).await);
    let hall = anas.create("public", "hall").await;
    beas.join(&hall).await;
    app.put(&format!("/api/v1/me/blocks/{}", bea.id), &ana, json!({}))
        .await
        .expect(204);
    for (socket, other) in [(&mut anas, &bea), (&mut beas, &ana)] {
        let request = json!({ "kind": "private", "name": "x", "members": [other.id] });
        assert_eq!(socket.refused("room:create", request).await.0, "forbidden");
        let room = socket.create("private", "y").await;
        let path = format!("/api/v1/rooms/{room}/members/{}", other.id);
        let person = if other.id == bea.id { &ana } else { &bea };
        assert_eq!(app.put(&path, person, json!({})).await.code(), "forbidden");
    }
    beas.say(&hall, "hello all").await;
    anas.before("hello all").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_are_listed_in_pages() {
    let app = TestApp::start().await;
    let ana = app.register("ana").await;
    let mut blocked = Vec::new();
    for name in ["bea", "cid", "dan"] {
        let guest = app.guest(name).await;
        let path = format!("/api/v1/me/blocks/{}", guest.id);
        app.put(&path, &ana, json!({})).await.expect(204);
        blocked.push(guest.id);
    }
    blocked.sort();
    let list = async |query: &str| {
        let path = format!("/api/v1/me/blocks?{query}");
        let page = app.get(&path, Some(&ana)).await.expect(200);
        let users = page["users"].as_array().unwrap().iter();
        let ids: Vec<_> = users
            .map(|user| user["id"].as_str().unwrap().to_owned())
            .collect();
        (ids, page["hasMore"] == true)
    };
    assert_eq!(list("").await, (blocked.clone(), false));
    assert_eq!(list("limit=2").await, (blocked[..2].to_vec(), true));
    let rest = format!("limit=2&after={}", blocked[1]);
    assert_eq!(list(&rest).await, (blocked[2..].to_vec(), false));
}
