//! A client that doesn't read. What it costs is bounded, what it misses it is told, and nobody else waits for it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use gateway::{CloseReason, Config, Frame};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use super::test_gateway::TestGateway;
use crate::{
    client::websocket::{Incoming, WebSocket, text},
    deadline::{becomes, within},
};

/// Far below what the test publishes, and above nothing else.
const MAX_QUEUE: usize = 64 * 1024;

/// What the kernel keeps for two ends of a connection at the very most.
const MAX_KERNEL: usize = 16 << 20;

fn small_queues() -> Config {
    Config {
        max_queue: MAX_QUEUE,
        ..Config::default()
    }
}

async fn join(socket: &mut WebSocket, topic: &str) {
    socket.send(&format!("421[\"join\",\"{topic}\"]")).await;
    assert_eq!(socket.text().await, r#"431[{"Ok":true}]"#);
}

/// A numbered event of a kilobyte.
fn numbered(number: u64) -> Frame {
    let payload = json!({ "n": number, "filler": "x".repeat(1000) });
    Frame::event("/", "n", &payload).unwrap()
}

fn number(packet: &str) -> Option<u64> {
    let data: Value = serde_json::from_str(packet.strip_prefix("42")?).ok()?;
    (data[0] == "n").then(|| data[1]["n"].as_u64().unwrap())
}

/// Publishes events on "room" in portions, until `done`; the next portion comes when `taken` says that all readers have
/// the ones before. Returns how many there were.
async fn publish(
    gateway: &TestGateway,
    event: impl Fn(u64) -> Frame,
    taken: impl Fn(u64) -> bool,
    mut done: impl FnMut() -> bool,
) -> u64 {
    let mut published = 0;
    while !done() {
        for _ in 0..8 {
            gateway.hub.publish("room", &event(published));
            published += 1;
        }
        assert!(published < 200_000, "the client seems to take everything");
        tokio::time::sleep(Duration::from_millis(1)).await;
        becomes("the readers keep up", true, || taken(published)).await;
    }
    published
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_falls_behind_on_a_topic_is_told_once() {
    let gateway = TestGateway::start(small_queues()).await;
    let mut reader = gateway.websocket().await;
    join(&mut reader, "room").await;
    let mut stalled = gateway.narrow_websocket().await;
    join(&mut stalled, "room").await;
    join(&mut stalled, "quiet").await;

    let read = Arc::new(AtomicU64::new(0));
    let reading = tokio::spawn({
        let read = read.clone();
        async move {
            // Each in its turn, and none is missed.
            for expected in 0.. {
                match number(&reader.text().await) {
                    Some(u64::MAX) => return,
                    found => assert_eq!(found, Some(expected)),
                }
                read.store(expected + 1, Ordering::Relaxed);
            }
        }
    });
    let stats = gateway.hub.stats();
    let keeps_up = |published| read.load(Ordering::Relaxed) == published;
    let published = publish(&gateway, numbered, keeps_up, || stats.lagged() > 0).await;
    becomes("the subscription ends", 1, || {
        gateway.hub.subscribers("room")
    })
    .await;
    gateway.hub.publish("room", &numbered(u64::MAX));

    // What was sent before the lag arrives in order, then the news of it, and nothing after that.
    let mut expected = 0;
    let mut bytes = 0;
    loop {
        let packet = stalled.text().await;
        bytes += packet.len();
        match number(&packet) {
            Some(number) => {
                assert_eq!(number, expected);
                expected += 1;
            }
            None => {
                assert_eq!(packet, r#"42["lagged","room"]"#);
                break;
            }
        }
    }
    assert!(expected < published);
    assert!(bytes < MAX_KERNEL, "{bytes} bytes were kept");
    stalled.send(r#"422["echo","still here"]"#).await;
    assert_eq!(stalled.text().await, r#"432["still here"]"#);

    // Another topic goes on, and so does this one once it is joined again.
    gateway.hub.publish("quiet", &numbered(1));
    assert_eq!(number(&stalled.text().await), Some(1));
    join(&mut stalled, "room").await;
    gateway.hub.publish("room", &numbered(2));
    assert_eq!(number(&stalled.text().await), Some(2));
    assert_eq!(gateway.hub.stats().lagged(), 1);

    // Who reads has seen it all.
    within("the reader's last event", reading).await.unwrap();
    assert_eq!(read.load(Ordering::Relaxed), published);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn volatile_events_go_first() {
    let gateway = TestGateway::start(small_queues()).await;
    let mut stalled = gateway.narrow_websocket().await;
    join(&mut stalled, "room").await;
    let stats = gateway.hub.stats();
    // Portion after portion is dropped: nothing is being written any more.
    let (mut before, mut in_a_row) = (0, 0);
    let full = || {
        let dropped = stats.dropped();
        in_a_row = if dropped > before { in_a_row + 1 } else { 0 };
        before = dropped;
        in_a_row == 50
    };
    let volatile = |number| numbered(number).volatile();
    let published = publish(&gateway, volatile, |_| true, full).await;
    // The queue is full of what may be lost: what may not has room.
    for number in 0..20 {
        gateway.hub.publish("room", &numbered(1_000_000 + number));
    }
    assert_eq!(gateway.hub.subscribers("room"), 1);
    assert_eq!(stats.lagged(), 0);
    let mut numbers = Vec::new();
    while numbers.last() != Some(&1_000_019) {
        numbers.extend(number(&stalled.text().await));
    }
    assert!(numbers.is_sorted());
    assert!(numbers.ends_with(&(1_000_000..1_000_020).collect::<Vec<_>>()));
    assert!(numbers.len() < published as usize, "nothing was dropped");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_even_read_replies_is_closed() {
    let gateway = TestGateway::start(small_queues()).await;
    let mut other = gateway.websocket().await;
    let mut stalled = gateway.narrow_websocket().await;
    join(&mut stalled, "room").await;
    stalled.send(r#"42["count",1000000]"#).await;
    becomes("the end of the slow", 1, || {
        gateway.closed(CloseReason::SlowConsumer)
    })
    .await;
    let ended = gateway.rooms.ended.lock().clone();
    assert_eq!(ended.len(), 1);
    assert_eq!(ended[0].reason, CloseReason::SlowConsumer);
    assert_eq!(ended[0].topics, ["room"]);
    assert_eq!(gateway.hub.topics(), 0);
    other.send(r#"421["echo",1]"#).await;
    assert_eq!(other.text().await, "431[1]");
    // If it reads after all, it learns why.
    let mut expected = 0;
    loop {
        match stalled.next().await {
            Incoming::Text(packet) => {
                assert_eq!(packet, format!("42[\"number\",{expected}]"));
                expected += 1;
            }
            Incoming::Close(code, _) => {
                assert_eq!(code, 1013);
                break;
            }
            other => panic!("{other:?} after {expected}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_wait_while_their_answers_are_not_read() {
    /// A kilobyte each.
    const REQUESTS: u64 = 30_000;
    let gateway = TestGateway::start(Config {
        event_burst: 1_000_000,
        max_in_flight: 1_000_000,
        ..small_queues()
    })
    .await;
    let mut socket = gateway.narrow_websocket().await;
    let mut writer = socket.writer();
    let writing = tokio::spawn(async move {
        let filler = "x".repeat(1000);
        for id in 0..REQUESTS {
            let event = text(&format!("42{id}[\"echo\",\"{filler}\"]"));
            writer.write_all(&event).await.unwrap();
        }
    });
    // Nobody takes the answers, so after some buffers full of them the server takes no more requests.
    let events = || gateway.hub.stats().events();
    let mut before = 0;
    while before == 0 || before != events() {
        before = events();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(before < REQUESTS, "the server answers into the void");
    for id in 0..REQUESTS {
        let answer = socket.text().await;
        assert!(answer.starts_with(&format!("43{id}[")), "{answer}");
    }
    writing.await.unwrap();
    assert_eq!(gateway.closed(CloseReason::SlowConsumer), 0);
    assert_eq!(gateway.hub.stats().overloaded(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_never_polls_is_bounded_too() {
    let gateway = TestGateway::start(small_queues()).await;
    let polling = gateway.polling().await;
    polling.send(r#"421["join","room"]"#).await;
    assert_eq!(polling.receive().await, [r#"431[{"Ok":true}]"#]);
    let stats = gateway.hub.stats();
    let published = publish(&gateway, numbered, |_| true, || stats.lagged() > 0).await;
    assert!(published < 200, "{published} events were queued");
    becomes("the subscription ends", 0, || {
        gateway.hub.subscribers("room")
    })
    .await;
    // The whole backlog is gone, for polls need no order with what is on its way.
    assert_eq!(polling.receive().await, [r#"42["lagged","room"]"#]);
}
