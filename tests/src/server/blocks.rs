//! Who has blocked whom: neither reaches the other in a room of their own.

use serde_json::json;

use super::test_app::TestApp;

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
    // What was sent stays sent, can be read, and can be taken back.
    let again = json!({ "roomId": room, "clientId": "from bea", "body": "from bea" });
    assert_eq!(beas.done("message:send", again).await["duplicate"], true);
    let history = beas
        .done("message:history", json!({ "roomId": room }))
        .await;
    assert_eq!(history["messages"].as_array().unwrap().len(), 2);
    beas.done("message:delete", json!({ "roomId": room, "seq": 2 }))
        .await;
    let heard = beas.so_far().await;
    let names: Vec<_> = heard.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["message:deleted"]);

    app.delete(&block, &ana).await.expect(204);
    beas.say(room, "again").await;
    anas.before("again").await;
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
