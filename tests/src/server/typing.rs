//! Who is writing: told to those who are there, and taken back when a connection ends.

use serde_json::{Value, json};

use super::test_app::TestApp;

fn is_typing(told: &(String, Value)) -> bool {
    told.0 == "typing:changed"
}

#[tokio::test(flavor = "multi_thread")]
async fn writing_is_told_and_taken_back_at_the_end() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.register("ana").await, app.guest("bea").await);
    let (mut anas, mut beas) = (app.connect(&ana).await, app.connect(&bea).await);
    let room = anas.create("public", "hall").await;
    let beas_presence = |(name, told): &(String, Value), online: bool| {
        name == "presence:changed" && told["userId"] == bea.id && told["online"] == online
    };
    beas.join(&room).await;
    anas.event_that(|told| beas_presence(told, true)).await;
    let set = |on: bool| json!({ "roomId": room, "on": on });
    let told = |on: bool| json!({ "roomId": room, "userId": bea.id, "on": on });
    for on in [true, false, true] {
        beas.done("typing:set", set(on)).await;
        assert_eq!(anas.event("typing:changed").await, told(on));
    }
    // It is no part of the log.
    assert_eq!(anas.say(&room, "one").await["seq"], 1);
    drop(beas);
    assert_eq!(anas.event("typing:changed").await, told(false));
    anas.event_that(|told| beas_presence(told, false)).await;

    // Who stopped before has nothing to take back.
    let mut beas = app.connect(&bea).await;
    beas.join(&room).await;
    anas.event_that(|told| beas_presence(told, true)).await;
    beas.done("typing:set", set(true)).await;
    beas.done("typing:set", set(false)).await;
    drop(beas);
    anas.event_that(|told| beas_presence(told, false)).await;
    anas.say(&room, "end").await;
    let heard = anas.before("end").await;
    assert_eq!(
        heard.iter().filter(|told| is_typing(told)).count(),
        2,
        "{heard:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_of_writing_that_was_refused() {
    let app = TestApp::start().await;
    let (ana, eve) = (app.register("ana").await, app.guest("eve").await);
    let mut anas = app.connect(&ana).await;
    let cellar = anas.create("private", "cellar").await;
    let hall = anas.create("public", "hall").await;
    let mut eves = app.connect(&eve).await;
    for (room, code) in [(&cellar, "not_found"), (&hall, "forbidden")] {
        let set = json!({ "roomId": room, "on": true });
        assert_eq!(eves.refused("typing:set", set).await.0, code);
    }
    // A connection that isn't subscribed says nothing either, though its user is a member.
    let mut elsewhere = app.connect(&ana).await;
    let set = json!({ "roomId": hall, "on": true });
    assert_eq!(elsewhere.refused("typing:set", set).await.0, "forbidden");
    // One who was removed while writing.
    eves.join(&hall).await;
    eves.done("typing:set", json!({ "roomId": hall, "on": true }))
        .await;
    let member = format!("/api/v1/rooms/{hall}/members/{}", eve.id);
    app.delete(&member, &ana).await.expect(204);
    eves.event_that(|(name, told)| name == "room:member" && told["role"].is_null())
        .await;
    let user = eves.emit("room:create", json!({})).await;
    assert_eq!(user["ok"], false);
    eves.socket().send("41").await;
    eves.socket().send("40{}").await;
    // The namespace has ended by the time another connect is answered.
    assert!(eves.socket().text().await.starts_with("44"));
    drop(elsewhere);
    for room in [&cellar, &hall] {
        anas.say(room, "end").await;
    }
    let heard = anas.before("end").await;
    let typing: Vec<_> = heard.iter().filter(|told| is_typing(told)).collect();
    assert_eq!(typing.len(), 1, "{heard:?}");
    assert_eq!(typing[0].1["on"], true);
    let heard = anas.before("end").await;
    assert!(!heard.iter().any(is_typing), "{heard:?}");
}
