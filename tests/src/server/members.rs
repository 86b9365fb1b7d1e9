//! Who may add, promote and remove whom, and what is left of somebody who was removed.

use rusqlite::Connection;
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use super::{
    chat_client::{ChatClient, Told, names_of_log},
    test_app::{Person, TestApp},
};
use crate::deadline::within;

fn path(room: &str, person: &Person) -> String {
    format!("/api/v1/rooms/{room}/members/{}", person.id)
}

fn gone(told: &Told) -> bool {
    told.0 == "room:member" && told.1["role"].is_null()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_removed_hears_of_it_and_then_nothing_more() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.register("ana").await, app.guest("bea").await);
    for kind in ["public", "private"] {
        let mut anas = app.connect(&ana).await;
        let (mut first, mut second) = (app.connect(&bea).await, app.connect(&bea).await);
        let room = anas.create(kind, "hall").await;
        app.put(&path(&room, &bea), &ana, json!({}))
            .await
            .expect(200);
        first.join(&room).await;
        app.delete(&path(&room, &bea), &ana).await.expect(204);
        let told = json!({ "roomId": room, "userId": bea.id, "role": null });
        for socket in [&mut anas, &mut first, &mut second] {
            assert_eq!(socket.event_that(gone).await.1, told);
        }
        anas.say(&room, "psst").await;
        anas.event("message:new").await;
        for socket in [&mut first, &mut second] {
            assert_eq!(names_of_log(&socket.so_far().await), [""; 0]);
        }
        let send = json!({ "roomId": room, "clientId": "c", "body": "x" });
        let (code, _) = first.refused("message:send", send).await;
        let rejoined = first.emit("room:join", json!({ "roomId": room })).await;
        if kind == "public" {
            assert_eq!(
                (code.as_str(), &rejoined["ok"]),
                ("forbidden", &json!(true))
            );
        } else {
            assert_eq!(code, "not_found");
            assert_eq!(rejoined["error"]["code"], "not_found");
        }
        let back = app.delete(&path(&room, &ana), &bea).await;
        assert!(matches!(back.code(), "forbidden" | "not_found"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_added_hears_of_it_and_of_news() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.register("ana").await, app.guest("bea").await);
    let (mut anas, mut beas) = (app.connect(&ana).await, app.connect(&bea).await);
    let room = anas.create("private", "cellar").await;
    anas.say(&room, "old").await;
    let added = app
        .put(&path(&room, &bea), &ana, json!({}))
        .await
        .expect(200);
    assert_eq!(added["member"]["role"], "member");
    let told = json!({ "roomId": room, "userId": bea.id, "role": "member" });
    assert_eq!(anas.event("room:member").await, told);
    assert_eq!(beas.event("room:member").await, told);
    // Again changes nothing and tells nobody.
    app.put(&path(&room, &bea), &ana, json!({}))
        .await
        .expect(200);
    anas.say(&room, "new").await;
    let unread = beas
        .event_that(|(name, told)| name == "room:unread" && told["headSeq"] == 2)
        .await
        .1;
    assert_eq!(unread, json!({ "roomId": room, "headSeq": 2, "unread": 1 }));
    let heard = beas.so_far().await;
    assert!(
        heard.iter().all(|(name, _)| name == "room:unread"),
        "{heard:?}"
    );
    let refused = app
        .put(
            &format!("/api/v1/rooms/{room}/members/nobody"),
            &ana,
            json!({}),
        )
        .await;
    assert_eq!(refused.code(), "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_may_do_its_own() {
    let app = TestApp::start().await;
    let (owner, moderator, member, other) = (
        app.register("owner").await,
        app.guest("moderator").await,
        app.guest("member").await,
        app.guest("other").await,
    );
    let mut owners = app.connect(&owner).await;
    let room = owners.create("private", "cellar").await;
    for person in [&moderator, &member] {
        app.put(&path(&room, person), &owner, json!({}))
            .await
            .expect(200);
    }
    let role = |role: &str| json!({ "role": role });
    let put = async |who: &Person, whom: &Person, body: Value| {
        app.put(&path(&room, whom), who, body).await.status.as_u16()
    };
    assert_eq!(put(&member, &other, json!({})).await, 403);
    assert_eq!(put(&member, &member, role("owner")).await, 403);
    assert_eq!(put(&owner, &moderator, role("moderator")).await, 200);
    let told = json!({ "roomId": room, "userId": moderator.id, "role": "moderator" });
    owners.event_that(|(_, payload)| *payload == told).await;
    assert_eq!(put(&owner, &moderator, role("king")).await, 400);

    assert_eq!(put(&moderator, &other, role("moderator")).await, 403);
    assert_eq!(put(&moderator, &moderator, role("owner")).await, 403);
    assert_eq!(put(&moderator, &owner, role("member")).await, 403);
    assert_eq!(put(&moderator, &other, json!({})).await, 200);
    let remove = async |who: &Person, whom: &Person| {
        app.delete(&path(&room, whom), who).await.status.as_u16()
    };
    assert_eq!(remove(&member, &other).await, 403);
    assert_eq!(remove(&moderator, &owner).await, 403);
    assert_eq!(remove(&moderator, &other).await, 204);
    assert_eq!(remove(&moderator, &other).await, 404);
    assert_eq!(remove(&other, &member).await, 404);
    // The last owner stays one until somebody else is.
    assert_eq!(put(&owner, &owner, role("member")).await, 409);
    assert_eq!(put(&owner, &member, role("owner")).await, 200);
    assert_eq!(put(&owner, &owner, role("member")).await, 200);
    assert_eq!(remove(&member, &owner).await, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_whose_owner_leaves_gets_another() {
    let app = TestApp::start().await;
    let (ana, bea, cor) = (
        app.register("ana").await,
        app.guest("bea").await,
        app.guest("cor").await,
    );
    let (mut anas, mut beas) = (app.connect(&ana).await, app.connect(&bea).await);
    let room = anas.create("public", "hall").await;
    let mut cors = app.connect(&cor).await;
    cors.join(&room).await;
    beas.join(&room).await;
    app.put(&path(&room, &bea), &ana, json!({ "role": "moderator" }))
        .await
        .expect(200);
    anas.done("room:leave", json!({ "roomId": room })).await;
    // The moderator comes before the member who is there longer.
    let is_owner = |(name, told): &Told| name == "room:member" && told["role"] == "owner";
    for socket in [&mut beas, &mut cors] {
        assert_eq!(socket.event_that(is_owner).await.1["userId"], bea.id);
    }
    app.delete(&format!("/api/v1/rooms/{room}"), &bea)
        .await
        .expect(204);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_whose_owner_is_deleted_learns_who_owns_it() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.register("ana").await, app.guest("bea").await);
    let (mut anas, mut beas) = (app.connect(&ana).await, app.connect(&bea).await);
    let room = anas.create("public", "hall").await;
    beas.join(&room).await;
    beas.so_far().await;
    app.delete("/api/v1/me", &ana).await.expect(204);
    let told = beas.event_that(|(name, _)| name == "room:member").await.1;
    assert_eq!(
        told,
        json!({ "roomId": room, "userId": ana.id, "role": null })
    );
    let told = beas.event_that(|(name, _)| name == "room:member").await.1;
    assert_eq!(
        told,
        json!({ "roomId": room, "userId": bea.id, "role": "owner" })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_removed_while_joining_is_either_out_or_told() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.register("ana").await, app.guest("bea").await);
    let (mut anas, mut beas) = (app.connect(&ana).await, app.connect(&bea).await);
    let room = anas.create("private", "cellar").await;
    for round in 0..40 {
        app.put(&path(&room, &bea), &ana, json!({}))
            .await
            .expect(200);
        beas.so_far().await;
        let joining = beas.start("room:join", json!({ "roomId": room })).await;
        app.delete(&path(&room, &bea), &ana).await.expect(204);
        let joined = beas.ack(joining).await;
        if joined["ok"] == false {
            let code = joined["error"]["code"].as_str().unwrap();
            assert!(matches!(code, "not_found" | "unavailable"), "{joined}");
        }
        beas.event_that(gone).await;
        let body = format!("psst {round}");
        anas.say(&room, &body).await;
        anas.before(&body).await;
        // What was said before may have come in between, as long as she was in.
        let heard = beas.so_far().await;
        assert!(
            heard.iter().all(|(_, told)| told["body"] != body),
            "{heard:?}"
        );
    }
}

/// Starts a request of `person` and hangs up before it is answered: the database is locked until then.
async fn hang_up(app: &TestApp, person: &Person, method: &str, path: &str) {
    let database = Connection::open(app.data_dir().join("messages.db")).unwrap();
    let mut stream = TcpStream::connect(app.address()).await.unwrap();
    database.execute_batch("BEGIN IMMEDIATE").unwrap();
    let token = &person.access_token;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: 0\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    // The request is taken when its bytes have left; whether it waits for the lock by then shows in its effect.
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    drop(stream);
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    database.execute_batch("ROLLBACK").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_removes_somebody_and_hangs_up_has_removed_them() {
    let app = TestApp::start_embedded().await;
    let (ana, bea) = (app.register("ana").await, app.guest("bea").await);
    let (mut anas, mut beas) = (app.connect(&ana).await, app.connect(&bea).await);
    let room = anas.create("private", "cellar").await;
    app.put(&path(&room, &bea), &ana, json!({}))
        .await
        .expect(200);
    beas.join(&room).await;
    within("a removal", async {
        while members(&app, &ana, &room).await == 2 {
            hang_up(&app, &ana, "DELETE", &path(&room, &bea)).await;
        }
    })
    .await;
    beas.event_that(gone).await;
    anas.say(&room, "psst").await;
    anas.event("message:new").await;
    assert_eq!(names_of_log(&beas.so_far().await), [""; 0]);
}

async fn members(app: &TestApp, person: &Person, room: &str) -> usize {
    let path = format!("/api/v1/rooms/{room}/members");
    let answer = app.get(&path, Some(person)).await.expect(200);
    answer["members"].as_array().unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_and_hangs_up_has_left() {
    let app = TestApp::start_embedded().await;
    let (ana, bea) = (app.register("ana").await, app.guest("bea").await);
    let mut anas = app.connect(&ana).await;
    let room = anas.create("public", "hall").await;
    let mut stays = app.connect(&bea).await;
    let database = Connection::open(app.data_dir().join("messages.db")).unwrap();
    within("a leave", async {
        loop {
            stays.join(&room).await;
            let mut leaves = app.connect(&bea).await;
            database.execute_batch("BEGIN IMMEDIATE").unwrap();
            leave_and_hang_up(&mut leaves, &room).await;
            drop(leaves);
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            database.execute_batch("ROLLBACK").unwrap();
            if members(&app, &ana, &room).await == 1 {
                return;
            }
        }
    })
    .await;
    stays.event_that(gone).await;
    anas.say(&room, "psst").await;
    anas.event("message:new").await;
    assert_eq!(names_of_log(&stays.so_far().await), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_joins_while_leaving_on_another_connection_is_answered_as_one_who_joins() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.register("ana").await, app.guest("bea").await);
    let room = app.connect(&ana).await.create("public", "hall").await;
    let mut crowd = Vec::new();
    for at in 0..8 {
        let mut socket = app.connect(&bea).await;
        let room = room.clone();
        crowd.push(tokio::spawn(async move {
            for round in 0..100 {
                if (at + round) % 2 == 0 {
                    socket.join(&room).await;
                } else {
                    socket.emit("room:leave", json!({ "roomId": room })).await;
                }
            }
        }));
    }
    for socket in crowd {
        socket.await.unwrap();
    }
}

/// The answer to an unknown event shows that the one before was taken up.
async fn leave_and_hang_up(socket: &mut ChatClient, room: &str) {
    socket.emit("no:such:event", json!({})).await;
    socket.start("room:leave", json!({ "roomId": room })).await;
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
}
