//! What publishing to shard channels and receiving from them costs: CPU per message by the kernel's account, the publisher
//! and the receiver each on a thread of its own.
//!
//! `publish_and_receive ADDRESS CHANNELS AT_ONCE MESSAGES [BYTES]`

use std::sync::mpsc;
use std::time::{Duration, Instant};

use redis_client::{Options, Received, RedisClient, RedisUrl, Subscriber};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

fn runtime() -> Result<Runtime, std::io::Error> {
    Builder::new_current_thread().enable_all().build()
}

/// Nanoseconds that this thread has run.
fn cpu() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ')
        .next()
        .and_then(|first| first.parse().ok())
        .unwrap_or(0)
}

async fn receive(
    url: RedisUrl,
    channels: usize,
    messages: usize,
    ready: mpsc::Sender<()>,
) -> (u64, usize) {
    let (subscriber, mut incoming) = Subscriber::new(url, Options::new("bench"), 1 << 20);
    let start = Instant::now();
    for index in 0..channels {
        while subscriber
            .subscribe(&format!("bench:{index}"))
            .await
            .is_err()
        {}
    }
    eprintln!("{channels} subscribed one by one in {:?}", start.elapsed());
    if ready.send(()).is_err() {
        return (0, 0);
    }
    let start = cpu();
    let (mut received, mut batch) = (0, Vec::new());
    while received < messages {
        let more =
            tokio::time::timeout(Duration::from_secs(3), incoming.recv_many(&mut batch, 1024));
        if !matches!(more.await, Ok(1..)) {
            break;
        }
        received += batch
            .drain(..)
            .filter(|one| matches!(one, Received::Message { .. }))
            .count();
    }
    (cpu() - start, received)
}

async fn publish(
    url: RedisUrl,
    channels: usize,
    at_once: usize,
    messages: usize,
    bytes: usize,
) -> (u64, Duration) {
    let client = RedisClient::new(url, Options::new("bench"));
    while !client.is_connected() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let (start, clock) = (cpu(), Instant::now());
    let mut tasks = JoinSet::new();
    for task in 0..at_once {
        let client = client.clone();
        tasks.spawn(async move {
            let payload = vec![b'x'; bytes];
            for message in (task..messages).step_by(at_once) {
                if let Err(error) = client
                    .publish_sharded(&format!("bench:{}", message % channels), &payload)
                    .await
                {
                    eprintln!("{error}");
                }
            }
        });
    }
    while tasks.join_next().await.is_some() {}
    (cpu() - start, clock.elapsed())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, numbers @ ..] = arguments.as_slice() else {
        return Err("publish_and_receive ADDRESS CHANNELS AT_ONCE MESSAGES [BYTES]".into());
    };
    let url: RedisUrl = url.parse()?;
    let number = |index: usize, default| {
        numbers
            .get(index)
            .map_or(Ok(default), |text| text.parse::<usize>())
    };
    let (channels, at_once, messages, bytes) = (
        number(0, 1)?,
        number(1, 64)?,
        number(2, 300_000)?,
        number(3, 200)?,
    );

    let (ready, is_ready) = mpsc::channel();
    let receiver_url = url.clone();
    let receiver = std::thread::spawn(move || {
        runtime().map(|runtime| runtime.block_on(receive(receiver_url, channels, messages, ready)))
    });
    is_ready.recv()?;
    let publisher = std::thread::spawn(move || {
        runtime().map(|runtime| runtime.block_on(publish(url, channels, at_once, messages, bytes)))
    });
    let (publishing, time) = publisher.join().map_err(|_| "the publisher panicked")??;
    let (receiving, received) = receiver.join().map_err(|_| "the receiver panicked")??;
    println!(
        "{messages} in {time:.2?}: {:.0}/s; {:.2} us to publish, {:.2} us to receive ({received} received)",
        messages as f64 / time.as_secs_f64(),
        publishing as f64 / messages as f64 / 1e3,
        receiving as f64 / received.max(1) as f64 / 1e3,
    );
    Ok(())
}
