//! Whoever loses a right loses it on every connection and every instance, whatever became of what was on its way to them.

use rusqlite::Connection;
use serde_json::{Value, json};

use super::{
    chat_client::{ChatClient, Told},
    slow_consumer::{NO_HEARTBEAT, catch_up, narrow, say_large, until_resync},
    test_app::{Person, TestApp},
};
use crate::deadline::within;

/// What somebody hears when they are no longer in a room.
fn gone_from(room: &str, person: &Person) -> impl Fn(&Told) -> bool {
    let told = json!({ "roomId": room, "userId": person.id, "role": null });
    move |(name, event)| name == "room:member" && *event == told
}

/// Waits until nobody but these is online in a room.
async fn are_alone(socket: &mut ChatClient, room: &str, people: &[&Person]) {
    let mut expected: Vec<Value> = people.iter().map(|person| json!(person.id)).collect();
    expected.sort_by_key(Value::to_string);
    within("presence", async {
        loop {
            let mut answer = socket.done("presence:get", json!({ "roomId": room })).await;
            let online = answer["online"].as_array_mut().unwrap();
            online.sort_by_key(|id| id.to_string());
            if *online == expected {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_fell_behind_is_found_when_its_user_is_removed() {
    let app = TestApp::start_with(&NO_HEARTBEAT).await;
    let (ana, bea) = (app.register("ana").await, app.guest("bea").await);
    let mut anas = app.connect(&ana).await;
    let hall = anas.create("public", "hall").await;
    let (cellar, attic) = (
        anas.create("private", "cellar").await,
        anas.create("private", "attic").await,
    );
    let member = |room: &str| format!("/api/v1/rooms/{room}/members/{}", bea.id);
    for room in [&cellar, &attic] {
        app.put(&member(room), &ana, json!({})).await.expect(200);
    }
    let connect = format!("40{}", json!({ "token": bea.access_token }));
    let mut stalled = ChatClient::try_connect_on(narrow(&app).await, &connect)
        .await
        .unwrap();
    let mut other = app.connect(&bea).await;
    stalled.join(&cellar).await;
    // What her own connections hear of her is among what is dropped.
    for n in 0..10 {
        say_large(&mut anas, &cellar, n * 20, n * 20 + 20).await;
        other.join(&hall).await;
        other.done("room:leave", json!({ "roomId": hall })).await;
    }
    let seq = until_resync(&mut stalled, &cellar, 0).await;
    catch_up(&mut stalled, &cellar, seq).await;
    anas.say(&cellar, "all are here").await;
    stalled.before("all are here").await;

    anas.say(&attic, "news").await;
    let news = |(name, told): &Told| name == "room:unread" && told["roomId"] == *attic;
    stalled.event_that(news).await;

    app.delete(&member(&cellar), &ana).await.expect(204);
    stalled.event_that(gone_from(&cellar, &bea)).await;
    anas.say(&cellar, "psst").await;
    anas.before("psst").await;
    let typing = json!({ "roomId": cellar, "on": true });
    let (code, _) = stalled.refused("typing:set", typing).await;
    assert_eq!(code, "not_found");
    let heard = stalled.so_far().await;
    assert!(
        heard.iter().all(|(name, _)| !name.starts_with("message:")),
        "{heard:?}"
    );
    are_alone(&mut anas, &cellar, &[&ana]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_membership_that_ended_unheard_is_found_by_comparing() {
    let app = TestApp::start_embedded().await;
    let (ana, bea) = (app.register("ana").await, app.guest("bea").await);
    let (mut anas, mut beas) = (app.connect(&ana).await, app.connect(&bea).await);
    let room = anas.create("public", "hall").await;
    beas.join(&room).await;
    // As if whoever ended it had died before telling anybody.
    let removed = Connection::open(app.data_dir().join("messages.db"))
        .unwrap()
        .execute(
            "DELETE FROM members WHERE user = (SELECT no FROM users WHERE id = ?1)",
            [&bea.id],
        )
        .unwrap();
    assert_eq!(removed, 1);
    beas.event_that(gone_from(&room, &bea)).await;
    anas.say(&room, "psst").await;
    anas.before("psst").await;
    let heard = beas.so_far().await;
    assert!(
        heard.iter().all(|(name, _)| !name.starts_with("message:")),
        "{heard:?}"
    );
    are_alone(&mut anas, &room, &[&ana]).await;
}
