//! Topics under many hands: what members see of them, and what is left behind.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use gateway::{Config, Frame};
use parking_lot::Mutex;
use rand::{RngExt, SeedableRng, rngs::SmallRng};

use super::test_gateway::TestGateway;
use crate::deadline::{becomes, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_see_an_unbroken_part_of_it() {
    const PUBLISHERS: usize = 4;
    const MEMBERS: usize = 10;
    const STAYS: usize = 6;
    let gateway = Arc::new(TestGateway::start(Config::default()).await);
    let stop = Arc::new(AtomicBool::new(false));
    // Whoever publishes on a topic from several threads keeps the order; so does this lock.
    let next = Arc::new(Mutex::new(0_u64));
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|_| {
            let (hub, stop, next) = (gateway.hub.clone(), stop.clone(), next.clone());
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let mut number = next.lock();
                    hub.publish("room", &Frame::event("/", "n", &*number).unwrap());
                    *number += 1;
                    drop(number);
                    thread::sleep(Duration::from_micros(300));
                }
            })
        })
        .collect();
    let members: Vec<_> = (0..MEMBERS)
        .map(|member| {
            let gateway = gateway.clone();
            tokio::spawn(async move {
                let mut socket = gateway.websocket().await;
                for stay in 0..STAYS {
                    socket.send(r#"421["join","room"]"#).await;
                    // Events may come before the answer.
                    let mut numbers: Vec<u64> = Vec::new();
                    let mut joined = false;
                    let mut left = false;
                    while !left {
                        let packet = socket.text().await;
                        match packet.strip_prefix(r#"42["n","#) {
                            Some(number) => {
                                numbers.push(number.trim_end_matches(']').parse().unwrap());
                                if joined && numbers.len() == 20 + member + stay {
                                    socket.send(r#"422["leave","room"]"#).await;
                                }
                            }
                            None if packet == r#"431[{"Ok":true}]"# => joined = true,
                            None => left = packet == "432[true]",
                        }
                    }
                    let unbroken = numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]);
                    assert!(unbroken, "{numbers:?}");
                }
            })
        })
        .collect();
    for member in members {
        within("a member's stays", member).await.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    for publisher in publishers {
        publisher.join().unwrap();
    }
    assert_eq!(gateway.hub.stats().lagged(), 0);
    assert_eq!(gateway.hub.topics(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_of_those_who_come_and_go() {
    let gateway = Arc::new(TestGateway::start(Config::default()).await);
    let clients: Vec<_> = (0..8)
        .map(|seed| {
            let gateway = gateway.clone();
            tokio::spawn(async move {
                let mut random = SmallRng::seed_from_u64(seed);
                for _ in 0..20 {
                    let mut socket = gateway.websocket().await;
                    for _ in 0..30 {
                        let topic = random.random_range(0..20);
                        let what = if random.random_bool(0.7) {
                            "join"
                        } else {
                            "leave"
                        };
                        socket.send(&format!("421[\"{what}\",\"{topic}\"]")).await;
                        if random.random_bool(0.1) {
                            gateway
                                .hub
                                .publish(&topic.to_string(), &Frame::event("/", "n", &1).unwrap());
                        }
                    }
                    match random.random_range(0..4) {
                        // Gone without a word, perhaps before the last events are read.
                        0 => {}
                        1 => socket.send("41").await,
                        2 => {
                            socket.send("1").await;
                            socket.ended().await;
                        }
                        _ => {
                            socket.send(r#"42["close-me"]"#).await;
                            socket.ended().await;
                        }
                    }
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    becomes("everything is gone", (0, 0, 0), || {
        let stats = gateway.hub.stats();
        (
            gateway.gateway.connections(),
            stats.connections(),
            gateway.hub.topics(),
        )
    })
    .await;
    assert_eq!(gateway.hub.stats().opened(), 160);
    becomes("every session is told", 160, || {
        gateway.rooms.ended.lock().len()
    })
    .await;
}
