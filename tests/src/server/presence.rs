//! Who is online: exact by user, however many connections they have.

use futures_util::future::join_all;
use serde_json::json;

use super::{
    chat_client::{ChatClient, Told},
    test_app::{TestApp, on_a_fleet},
};
use crate::deadline::within;

async fn online(socket: &mut ChatClient, room: &str) -> (u64, Vec<String>) {
    let answer = socket.done("presence:get", json!({ "roomId": room })).await;
    let ids = answer["online"].as_array().unwrap().iter();
    let mut ids: Vec<_> = ids.map(|id| id.as_str().unwrap().to_owned()).collect();
    ids.sort_unstable();
    (answer["count"].as_u64().unwrap(), ids)
}

/// Looks until so many are online; returns who.
pub(super) async fn online_becomes(
    socket: &mut ChatClient,
    room: &str,
    expected: u64,
) -> Vec<String> {
    within("the count of those online", async {
        loop {
            let (count, ids) = online(socket, room).await;
            if count == expected {
                return ids;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

/// So many are online now, or very soon if instances have to tell each other; returns who.
async fn online_are(socket: &mut ChatClient, room: &str, expected: u64) -> Vec<String> {
    if on_a_fleet() {
        return online_becomes(socket, room, expected).await;
    }
    let (count, ids) = online(socket, room).await;
    assert_eq!(count, expected);
    ids
}

fn sorted<const N: usize>(ids: [&str; N]) -> Vec<String> {
    let mut ids = ids.map(str::to_owned).to_vec();
    ids.sort_unstable();
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_with_two_connections_is_one() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.register("ana").await, app.guest("bea").await);
    let mut anas = app.connect(&ana).await;
    let room = anas.create("public", "hall").await;
    assert_eq!(online(&mut anas, &room).await, (1, vec![ana.id.clone()]));
    let told = |on: bool| json!({ "roomId": room, "userId": bea.id, "online": on });
    let of_bea = |told: &Told| told.0 == "presence:changed" && told.1["userId"] == bea.id;
    for _ in 0..3 {
        let (mut first, mut second) = (app.connect(&bea).await, app.connect(&bea).await);
        // Being connected isn't being in the room.
        online_are(&mut anas, &room, 1).await;
        first.join(&room).await;
        second.join(&room).await;
        second.join(&room).await;
        let both = sorted([&ana.id, &bea.id]);
        assert_eq!(online_are(&mut second, &room, 2).await, both);
        drop(first);
        // Told once for the first to come and once for the last to go.
        assert_eq!(anas.event_that(of_bea).await.1, told(true));
        assert_eq!(online_are(&mut second, &room, 2).await, both);
        drop(second);
        assert_eq!(anas.event_that(of_bea).await.1, told(false));
        online_are(&mut anas, &room, 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn presence_is_seen_by_those_who_share_the_room() {
    let app = TestApp::start().await;
    let (ana, eve) = (app.register("ana").await, app.guest("eve").await);
    let (mut anas, mut eves) = (app.connect(&ana).await, app.connect(&eve).await);
    let room = anas.create("public", "hall").await;
    let get = json!({ "roomId": room });
    assert_eq!(
        eves.refused("presence:get", get.clone()).await.0,
        "forbidden"
    );
    eves.join(&room).await;
    eves.done("presence:get", get.clone()).await;
    // A fleet doesn't tell of those who come and go between two looks.
    let told = |(name, told): &Told, online: bool| {
        name == "presence:changed" && told["userId"] == eve.id && told["online"] == online
    };
    anas.event_that(|event| told(event, true)).await;
    eves.done("room:leave", get).await;
    anas.event_that(|event| told(event, false)).await;
    online_are(&mut anas, &room, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_stays_online_who_breaks_off_while_joining() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.register("ana").await, app.guest("bea").await);
    let mut anas = app.connect(&ana).await;
    let room = anas.create("public", "hall").await;
    let rounds = (0..20).map(async |n: usize| {
        for step in 0..10 {
            let mut socket = app.connect(&bea).await;
            socket.start("room:join", json!({ "roomId": room })).await;
            match (n + step) % 3 {
                // Gone with the answer on its way, or behind it, or out of the namespace.
                0 => {}
                1 => {
                    socket.join(&room).await;
                }
                _ => socket.send_raw("41").await,
            }
        }
    });
    join_all(rounds).await;
    online_becomes(&mut anas, &room, 1).await;
    // Nor is anybody missing after that.
    let mut beas = app.connect(&bea).await;
    beas.join(&room).await;
    online_are(&mut anas, &room, 2).await;
    drop(beas);
    online_becomes(&mut anas, &room, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_crowd_a_count_is_told_instead() {
    let app = TestApp::start().await;
    let ana = app.register("ana").await;
    let mut anas = app.connect(&ana).await;
    let room = anas.create("public", "hall").await;
    // Guests from one address are limited, so some have to register.
    let guests = join_all((0..59).map(async |n| app.guest(&format!("guest-{n}")).await));
    let users = async {
        let mut users = Vec::new();
        for n in 0..45 {
            users.push(app.register(&format!("user-{n}")).await);
        }
        users
    };
    let (guests, users) = tokio::join!(guests, users);
    let crowd = [guests, users].concat();
    let mut sockets = Vec::new();
    for person in &crowd {
        let mut socket = app.connect(person).await;
        socket.join(&room).await;
        sockets.push(socket);
    }
    assert_eq!(online_are(&mut anas, &room, 105).await.len(), 100);
    let counted = |told: &Told| told.0 == "presence:count";
    let told = anas
        .event_that(|told| counted(told) && told.1["count"] == 105)
        .await;
    assert_eq!(told.1, json!({ "roomId": room, "count": 105 }));
    anas.say(&room, "end").await;
    let changed = |told: &Told| told.0 == "presence:changed";
    let mut singly = 0;
    while let Some(told) = anas.take_that(changed) {
        assert_eq!(told.1["online"], true);
        singly += 1;
    }
    // A fleet looks at a room now and then: who comes between two looks that a hundred lie between is only counted.
    if on_a_fleet() {
        assert!((1..=100).contains(&singly), "{singly}");
    } else {
        assert_eq!(singly, 100);
    }
    // Small again, each is told.
    sockets.truncate(90);
    online_becomes(&mut anas, &room, 91).await;
    if on_a_fleet() {
        let small = |told: &Told| counted(told) && told.1["count"].as_u64() <= Some(100);
        anas.event_that(small).await;
    }
    let one = |(name, told): &Told| name == "presence:changed" && told["online"] == false;
    while anas.take_that(one).is_some() {}
    sockets.truncate(89);
    anas.event_that(one).await;
    online_becomes(&mut anas, &room, 90).await;
}
