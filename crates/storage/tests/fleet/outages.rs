//! Servers are killed, stepped down and paused while everybody writes.

use std::time::Duration;

use mongodb::bson::doc;
use stack::Stack;
use storage::StoreError;

use crate::crowd::Crowd;
use crate::fixture::{Fixture, append, room, send, users};

use crate::patience::eventually;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_primary_is_killed() {
    let stack = Stack::to_break();
    let fixture = Fixture::new(&stack);
    let crowd = Crowd::start(&[fixture.store().await, fixture.store().await]).await;
    crowd.go_on(20).await;
    stack.signal(&stack.primary().await, "KILL");
    crowd.go_on(20).await;
    stack.up();
    crowd.go_on(20).await;
    crowd.check(&fixture.store().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_primary_steps_down() {
    let stack = Stack::to_break();
    let fixture = Fixture::new(&stack);
    let crowd = Crowd::start(&[fixture.store().await, fixture.store().await]).await;
    for _ in 0..2 {
        crowd.go_on(20).await;
        let client = mongodb::Client::with_uri_str(stack.get("MONGODB_URI"))
            .await
            .unwrap();
        let step_down = doc! { "replSetStepDown": 5, "force": true };
        // It may break the connection that it came by.
        drop(client.database("admin").run_command(step_down).await);
        client.shutdown().await;
    }
    crowd.go_on(20).await;
    crowd.check(&fixture.store().await).await;
}

/// The others elect one of themselves; what the paused one wrote meanwhile is rolled back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_primary_is_paused_and_comes_back() {
    let stack = Stack::to_break();
    let fixture = Fixture::new(&stack);
    let crowd = Crowd::start(&[fixture.store().await, fixture.store().await]).await;
    crowd.go_on(20).await;
    let primary = stack.primary().await;
    stack.signal(&primary, "STOP");
    tokio::time::sleep(Duration::from_secs(4)).await;
    stack.signal(&primary, "CONT");
    crowd.go_on(40).await;
    crowd.check(&fixture.store().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_of_three_members_are_down() {
    let stack = Stack::to_break();
    let fixture = Fixture::new(&stack);
    let store = fixture.store().await;
    let users = users(&store, 1).await;
    let quiet = room(&store, &users).await;
    let crowd = Crowd::start(&[store.clone(), fixture.store().await]).await;
    crowd.go_on(20).await;
    let primary = stack.primary().await;
    let others: Vec<String> = (0..3)
        .map(|member| format!("mongodb/member-{member}"))
        .filter(|member| *member != primary)
        .collect();
    for member in &others {
        stack.signal(member, "KILL");
    }
    // The primary takes it, but nobody else has it: it isn't acked.
    let sent = append(&store, &quiet, &users[0], send("x", "hello")).await;
    assert!(matches!(sent, Err(StoreError::Unavailable(_))), "{sent:?}");
    stack.up();
    let sent = eventually("a member more", async || {
        append(&store, &quiet, &users[0], send("x", "hello"))
            .await
            .ok()
    })
    .await;
    assert_eq!(
        store
            .message(&quiet, sent.event.seq, None)
            .await
            .unwrap()
            .body,
        "hello"
    );
    crowd.go_on(20).await;
    let unavailable = crowd.check(&fixture.store().await).await;
    assert!(unavailable > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_of_redis_is_killed() {
    let stack = Stack::to_break();
    let fixture = Fixture::new(&stack);
    let crowd = Crowd::start(&[fixture.store().await, fixture.store().await]).await;
    crowd.go_on(20).await;
    for master in stack.redis_masters() {
        stack.signal(&format!("redis-cluster/node-{master}"), "KILL");
        crowd.go_on(20).await;
        // With another master away, those that are left couldn't elect anybody.
        stack.up();
    }
    crowd.go_on(20).await;
    assert_eq!(crowd.check(&fixture.store().await).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_is_wholly_down() {
    let stack = Stack::to_break();
    let fixture = Fixture::new(&stack);
    let crowd = Crowd::start(&[fixture.store().await, fixture.store().await]).await;
    crowd.go_on(20).await;
    stack.signal_all("redis-cluster", "KILL");
    crowd.go_on(40).await;
    let fresh = fixture.store().await;
    let partitions: Vec<u16> = (0..redis_client::PARTITIONS).collect();
    let told = fresh.recently_written(&partitions).await.unwrap();
    for room in crowd.rooms() {
        assert!(
            told.iter().any(|(told, seq)| told == room && *seq > 0),
            "{told:?}"
        );
    }
    stack.up();
    crowd.go_on(40).await;
    assert_eq!(crowd.check(&fresh).await, 0);
}
