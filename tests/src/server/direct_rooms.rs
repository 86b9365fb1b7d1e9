//! The room of two people: with whom it is made, and who learns of it.

use serde_json::{Value, json};

use super::{chat_client::Told, test_app::TestApp};

fn membership(room: &str, user: &str, role: &str) -> Told {
    let told = json!({ "roomId": room, "userId": user, "role": role });
    ("room:member".to_owned(), told)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_direct_room_is_with_one_other_and_nobody_else_hears_of_it() {
    let app = TestApp::start().await;
    let (ana, bea, cor) = (
        app.register("ana").await,
        app.register("bea").await,
        app.register("cor").await,
    );
    let (mut anas, mut beas) = (app.connect(&ana).await, app.connect(&bea).await);
    let mut cors = app.connect(&cor).await;
    for members in [
        json!([bea.id, cor.id]),
        json!([bea.id, bea.id]),
        json!([ana.id, ana.id]),
        json!([ana.id, bea.id, cor.id]),
    ] {
        let request = json!({ "kind": "direct", "members": members });
        let (code, message) = anas.refused("room:create", request.clone()).await;
        assert_eq!(code, "invalid", "{members}");
        assert!(message.starts_with("members"), "{message}");
        let posted = app.post("/api/v1/rooms", Some(&ana), request).await;
        assert_eq!(posted.code(), "invalid", "{members}");
    }
    let mine = app.get("/api/v1/me/rooms", Some(&ana)).await.expect(200);
    assert_eq!(mine["rooms"], json!([]));

    // Oneself may be named too, and whoever is named twice is told once.
    let request = json!({ "kind": "direct", "members": [ana.id, bea.id] });
    let made = anas.done("room:create", request).await;
    let direct = made["room"]["id"].as_str().unwrap().to_owned();
    let request =
        json!({ "kind": "private", "name": "den", "members": [bea.id, cor.id, bea.id, ana.id] });
    let made = anas.done("room:create", request).await;
    let den = made["room"]["id"].as_str().unwrap().to_owned();
    for socket in [&mut beas, &mut cors] {
        socket.join(&den).await;
    }
    anas.say(&den, "end").await;
    let expected = [
        membership(&direct, &bea.id, "member"),
        membership(&den, &bea.id, "member"),
    ];
    assert_eq!(beas.before("end").await, expected);
    let expected = [membership(&den, &cor.id, "member")];
    let heard = cors.before("end").await;
    let own: Vec<&Told> = heard
        .iter()
        .filter(|told| told.1["userId"] == cor.id)
        .collect();
    assert_eq!(own, expected.iter().collect::<Vec<_>>());
    assert!(
        heard.iter().all(|told| told.1["roomId"] == den),
        "{heard:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_back_in_a_direct_room_is_told_and_so_is_the_other() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.register("ana").await, app.register("bea").await);
    let (mut anas, mut beas) = (app.connect(&ana).await, app.connect(&bea).await);
    let with = |person: &str| json!({ "kind": "direct", "members": [person] });
    let made = anas.done("room:create", with(&bea.id)).await;
    let room = made["room"]["id"].as_str().unwrap().to_owned();
    beas.event("room:member").await;
    beas.join(&room).await;

    // The other one brings back who left; who left comes back by asking for the room.
    beas.done("room:leave", json!({ "roomId": room })).await;
    let gone = |told: &Told| told.0 == "room:member" && told.1["role"].is_null();
    for socket in [&mut anas, &mut beas] {
        socket.event_that(gone).await;
    }
    anas.done("room:create", with(&bea.id)).await;
    let back = membership(&room, &bea.id, "member");
    for socket in [&mut anas, &mut beas] {
        assert_eq!(socket.event("room:member").await, back.1);
    }

    beas.join(&room).await;
    beas.done("room:leave", json!({ "roomId": room })).await;
    for socket in [&mut anas, &mut beas] {
        socket.event_that(gone).await;
    }
    let mut elsewhere = app.connect(&bea).await;
    elsewhere.done("room:create", with(&ana.id)).await;
    for socket in [&mut anas, &mut beas, &mut elsewhere] {
        assert_eq!(socket.event("room:member").await, back.1);
    }
    // Whoever is in it already isn't told again.
    anas.done("room:create", with(&bea.id)).await;
    anas.say(&room, "end").await;
    let others = |(name, _): &(String, Value)| name == "room:member";
    assert!(!elsewhere.before("end").await.iter().any(others));
}
