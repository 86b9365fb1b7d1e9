//! What is new for somebody: counted exactly, and told to those who aren't subscribed.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::test_app::{Person, TestApp};

/// Where counting ends.
const MOST: u64 = 1_000;

async fn unread(app: &TestApp, person: &Person) -> Value {
    let mut rooms = app.get("/api/v1/me/rooms", Some(person)).await.expect(200);
    rooms["rooms"][0]["unread"].take()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_others_said_and_left_standing_counts() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.register("ana").await, app.guest("bea").await);
    let (mut anas, mut beas) = (app.connect(&ana).await, app.connect(&bea).await);
    let room = anas.create("public", "hall").await;
    anas.say(&room, "before bea came").await;
    beas.join(&room).await;
    assert_eq!(unread(&app, &bea).await, 0);
    anas.say(&room, "one").await;
    anas.say(&room, "two").await;
    beas.say(&room, "own").await;
    assert_eq!(unread(&app, &bea).await, 2);
    assert_eq!(unread(&app, &ana).await, 1);
    let of = |seq: u64| json!({ "roomId": room, "seq": seq });
    anas.done("message:delete", of(2)).await;
    let react = json!({ "roomId": room, "seq": 3, "emoji": "👍", "on": true });
    anas.done("message:react", react).await;
    let edit = json!({ "roomId": room, "seq": 3, "body": "dos" });
    anas.done("message:edit", edit).await;
    assert_eq!(unread(&app, &bea).await, 1);
    let read = beas.done("read:set", of(2)).await;
    assert_eq!(read["unread"], 1);
    let read = beas.done("read:set", of(3)).await;
    assert_eq!(read["unread"], 0);
    assert_eq!(beas.join(&room).await["room"]["unread"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn members_elsewhere_learn_of_news_at_a_bounded_rate() {
    let app = TestApp::start().await;
    let (ana, bea, eve) = (
        app.register("ana").await,
        app.guest("bea").await,
        app.guest("eve").await,
    );
    let mut anas = app.connect(&ana).await;
    let room = anas.create("public", "hall").await;
    let mut joined = app.connect(&bea).await;
    joined.join(&room).await;
    let mut elsewhere = app.connect(&bea).await;
    let mut eves = app.connect(&eve).await;
    let begun = Instant::now();
    let mut sent = 0_u64;
    while begun.elapsed() < Duration::from_millis(1_500) {
        sent += 1;
        anas.say(&room, &sent.to_string()).await;
    }
    let mut notices = 1;
    let is_unread = |told: &(String, Value)| told.0 == "room:unread";
    let mut notice = elsewhere.event_that(is_unread).await.1;
    while notice["headSeq"] != sent {
        notice = elsewhere.event_that(is_unread).await.1;
        notices += 1;
    }
    assert_eq!(
        notice,
        json!({ "roomId": room, "headSeq": sent, "unread": sent.min(MOST) })
    );
    // One a second at most, whatever the number of messages.
    assert!(sent > 10, "{sent}");
    assert!(
        notices <= 1 + begun.elapsed().as_secs() + 1,
        "{notices} of {sent}"
    );
    // Who is subscribed has the messages themselves, who isn't a member has nothing.
    joined.before(&sent.to_string()).await;
    let heard = joined.so_far().await;
    assert!(!heard.iter().any(is_unread), "{heard:?}");
    assert_eq!(eves.so_far().await, []);
    // What a message's change makes of it is told as well.
    let delete = json!({ "roomId": room, "seq": 1 });
    anas.done("message:delete", delete).await;
    let changed = |(name, told): &(String, Value)| {
        name == "room:unread"
            && told["headSeq"] == sent + 1
            && told["unread"] == (sent - 1).min(MOST)
    };
    elsewhere.event_that(changed).await;
}
