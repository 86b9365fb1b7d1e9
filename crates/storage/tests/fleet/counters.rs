//! What Redis holds may be lost, behind or ahead at any moment; and two stores may be asked for the same at once.

use protocol::RoomId;
use redis_client::{cmd, partition_of, tag};
use stack::Stack;
use storage::{EventBody, MessageStore};

use crate::crowd::Crowd;
use crate::fixture::{Fixture, append, log, room, send, start, users};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counters_are_flushed_and_deleted_while_writing() {
    let stack = Stack::to_break();
    let fixture = Fixture::new(&stack);
    let stores = [fixture.store().await, fixture.store().await];
    let crowd = Crowd::start(&stores).await;
    crowd.go_on(20).await;
    stack.flush_redis();
    crowd.go_on(20).await;
    for room in crowd.rooms() {
        let mut delete = cmd("DEL");
        delete.arg(fixture.counter(&stores[0], room).await);
        fixture.redis_client().run::<i64>(delete).await.unwrap();
    }
    crowd.go_on(20).await;
    // As a replica that took over before it had the latest.
    for room in crowd.rooms() {
        let head = stores[0].head(room).await.unwrap().seq;
        fixture.set_counter(&stores[0], room, head - 10).await;
    }
    crowd.go_on(20).await;
    crowd.check(&fixture.store().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_client_id_on_two_stores_at_once_is_one_message() {
    const ROUNDS: usize = 40;
    const SAME: usize = 3;
    let stack = Stack::to_break();
    let fixture = Fixture::new(&stack);
    let stores = [fixture.store().await, fixture.store().await];
    let users = users(&stores[0], 1).await;
    let room = room(&stores[0], &users).await;
    for round in 0..ROUNDS {
        let names: Vec<String> = (0..SAME)
            .map(|number| format!("{round}-{number}"))
            .collect();
        let mut sending = Vec::new();
        for store in &stores {
            for name in &names {
                sending.push(start(store, &room, &users[0], send(name, "hello")));
            }
        }
        let mut answers = Vec::new();
        for sent in sending {
            answers.push(sent.await.unwrap().unwrap());
        }
        let (one, other) = answers.split_at(SAME);
        for (one, other) in one.iter().zip(other) {
            assert_eq!(one.event.seq, other.event.seq);
            assert_ne!(one.recorded, other.recorded);
            assert_eq!(one.event, other.event);
        }
    }
    let messages = messages(&stores[1], &room).await;
    assert_eq!(messages.len(), ROUNDS * SAME);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_is_known_again_when_redis_has_forgotten_it() {
    let stack = Stack::to_break();
    let fixture = Fixture::new(&stack);
    let stores = [fixture.store().await, fixture.store().await];
    let users = users(&stores[0], 2).await;
    let room = room(&stores[0], &users).await;
    for name in ["a", "b", "c"] {
        append(&stores[0], &room, &users[0], send(name, "first"))
            .await
            .unwrap();
    }
    stack.flush_redis();
    // One that is new, between others that aren't, in one round.
    let names = ["b", "new", "a", "newer", "c"];
    let sending = names.map(|name| start(&stores[1], &room, &users[0], send(name, "again")));
    let mut answers = Vec::new();
    for sent in sending {
        let appended = sent.await.unwrap().unwrap();
        answers.push((appended.event.seq, appended.recorded));
    }
    assert_eq!(
        [answers[0], answers[2], answers[4]],
        [(2, false), (1, false), (3, false)]
    );
    assert!(answers[1].1 && answers[3].1 && answers[1].0 < answers[3].0);
    let names: Vec<String> = messages(&stores[0], &room)
        .await
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names, ["a", "b", "c", "new", "newer"]);
    // What Redis remembers wrongly isn't believed either.
    let tag = tag(partition_of(room.as_str()));
    let key = |name| format!("{{{tag}}}{}cid:{room}:{}:{name}", fixture.name, users[1]);
    for (name, seq) in [("x", 1_u64), ("y", 99), ("z", u64::MAX >> 12)] {
        let mut set = cmd("SET");
        set.arg(key(name)).arg(seq);
        fixture.redis_client().run::<()>(set).await.unwrap();
    }
    let sending =
        ["x", "w", "y", "z"].map(|name| start(&stores[0], &room, &users[1], send(name, "hello")));
    let mut seqs = Vec::new();
    for sent in sending {
        let appended = sent.await.unwrap().unwrap();
        assert!(appended.recorded);
        seqs.push(appended.event.seq);
    }
    assert!(seqs.is_sorted(), "{seqs:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_without_redis_and_one_with_it_write_to_the_same_rooms() {
    let stack = Stack::to_break();
    let fixture = Fixture::new(&stack);
    let stores = [fixture.store().await, fixture.store_without_redis().await];
    let crowd = Crowd::start(&stores).await;
    crowd.go_on(60).await;
    let partitions: Vec<u16> = (0..redis_client::PARTITIONS).collect();
    // Either tells what was written lately, by the way that it has.
    for store in &stores {
        let told = store.recently_written(&partitions).await.unwrap();
        for room in crowd.rooms() {
            assert!(
                told.iter().any(|(told, seq)| told == room && *seq > 0),
                "{told:?}"
            );
        }
    }
    crowd.check(&fixture.store().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_who_is_overtaken_stays_in_order() {
    let stack = Stack::to_break();
    let fixture = Fixture::new(&stack);
    let stores = [fixture.store().await, fixture.store().await];
    let users = users(&stores[0], 2).await;
    let room = room(&stores[0], &users).await;
    append(&stores[1], &room, &users[1], send("first", "hello"))
        .await
        .unwrap();
    for round in 0..10 {
        // The second store doesn't know of these, nor does the counter.
        for number in 0..3 {
            let name = format!("{round}-{number}");
            append(&stores[0], &room, &users[0], send(&name, "hello"))
                .await
                .unwrap();
        }
        let head = stores[0].head(&room).await.unwrap().seq;
        fixture.set_counter(&stores[0], &room, head - 3).await;
        let names: Vec<String> = (0..6).map(|number| format!("{round}-{number}")).collect();
        let sending: Vec<_> = names
            .iter()
            .map(|name| start(&stores[1], &room, &users[1], send(name, "hello")))
            .collect();
        let mut last = head;
        for sent in sending {
            let seq = sent.await.unwrap().unwrap().event.seq;
            assert!(seq > last, "{seq} after {last}");
            last = seq;
        }
    }
    assert_eq!(messages(&stores[0], &room).await.len(), 1 + 10 * 9);
}

/// The names of the messages of a room, and their `seq`s.
async fn messages(store: &MessageStore, room: &RoomId) -> Vec<(String, u64)> {
    let events = log(store, room).await;
    let messages = events.into_iter().filter_map(|event| match event.body {
        EventBody::Sent(message) => Some((message.client_id?, message.seq)),
        _ => None,
    });
    messages.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restored_rooms_have_a_new_life() {
    let stack = Stack::to_break();
    let fixture = Fixture::new(&stack);
    let store = fixture.store().await;
    let users = users(&store, 1).await;
    let room = room(&store, &users).await;
    for name in ["a", "b", "c", "d"] {
        append(&store, &room, &users[0], send(name, "hello"))
            .await
            .unwrap();
    }
    let before = store.head(&room).await.unwrap();
    store.close().await;
    fixture.lose_entries_behind(&room, 2).await;
    let store = fixture.store().await;
    assert_eq!(store.renew_epochs().await.unwrap(), 1);
    let after = store.head(&room).await.unwrap();
    assert_eq!(after.seq, 2);
    assert_ne!(after.epoch, before.epoch);
    // The counter of the life before was further, and "d" was somewhere then.
    for (name, seq) in [("e", 3), ("d", 4), ("b", 2)] {
        let sent = append(&store, &room, &users[0], send(name, "again"))
            .await
            .unwrap();
        assert_eq!((sent.event.seq, sent.recorded), (seq, seq > 2));
    }
}
