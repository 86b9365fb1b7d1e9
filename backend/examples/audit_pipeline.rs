//! How many entries of the audit log an instance accepts a second, and brings to Redis.
//!
//! `cargo run --release -p tertulia --example audit_pipeline redis://…`: first `record` alone, then with the spool and the streams behind
//! it, at the pace that these keep; nobody stores anything meanwhile. Then what is in the streams is stored in a SQLite file, so that nothing
//! stays in Redis.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::{Duration, Instant},
};

use protocol::AuditOutcome;
use redis_client::{Options, RedisClient};
use storage::AuditStore;
use tertulia::audit::{
    codec::Batch,
    counts::Counts,
    fleet::{consumer::Consumer, forwarder::Forwarder, spool::Spool, streams::Streams},
    queue::Queue,
    record::Record,
};
use tokio::{sync::Notify, task::JoinSet, time::sleep};

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// As many as fit into the streams at once.
const ENTRIES: usize = 400_000;

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let redis = std::env::args().nth(1).ok_or("the address of a Redis?")?;
    record_alone();
    let client = RedisClient::new(redis.parse()?, Options::new("audit"));
    let prefix = format!("audit-pipeline-{:016x}", rand::random::<u64>());
    let streams = Arc::new(Streams::new(client, &prefix, "one".to_owned()));
    let directory = tempfile::tempdir()?;
    let spool = Spool::open(&directory.path().join("spool"), 1 << 30)?;
    let (queue, counts, added) = <(Arc<Queue>, Arc<Counts>, Arc<Notify>)>::default();
    let forwarder = Arc::new(Forwarder::new(
        queue.clone(),
        spool,
        streams.clone(),
        counts.clone(),
        added.clone(),
    ));
    let mut tasks = JoinSet::new();
    let running = forwarder.clone();
    tasks.spawn(async move { tokio::join!(running.run_writer(), running.run_sender()) });

    let began = Instant::now();
    let mut waited = 0_u64;
    for number in 0..ENTRIES {
        let mut entry = entry(number).into_entry("one");
        while !queue.push(entry) {
            // As fast as the rest goes.
            waited += 1;
            sleep(Duration::from_millis(1)).await;
            entry = self::entry(number).into_entry("one");
        }
        if number % 1_000 == 0 {
            tokio::task::yield_now().await;
        }
    }
    let accepted = began.elapsed();
    while !queue.is_done() {
        sleep(Duration::from_millis(1)).await;
    }
    let spooled = began.elapsed();
    let mut before = 0;
    let sent = loop {
        let (length, _) = streams.lengths().await?;
        // All is sent once nothing comes any more: the spool goes on saying that it has it.
        if length > 0 && length == before {
            break began.elapsed() - PAUSE;
        }
        before = length;
        sleep(PAUSE).await;
    };
    let rate = |took: Duration| ENTRIES as f64 / took.as_secs_f64();
    println!("accepted: {:.0} entries/s ({waited} waits)", rate(accepted));
    println!("on the disk: {:.0} entries/s", rate(spooled));
    println!("in Redis: {:.0} entries/s, {before} batches", rate(sent));

    let store = AuditStore::open(directory.path()).await?;
    let consumer = Consumer::new(streams, store.clone(), counts.clone(), added);
    tasks.spawn(async move {
        consumer.run().await;
        ((), ())
    });
    while !forwarder.is_done() {
        sleep(Duration::from_millis(50)).await;
    }
    println!(
        "stored: {}, twice: {}, lost: {}",
        counts.stored(),
        counts.duplicates(),
        counts.dropped()
    );
    tasks.shutdown().await;
    store.close().await;
    Ok(())
}

const PAUSE: Duration = Duration::from_millis(100);

/// What one thread records a second, and what writing batches takes of it.
fn record_alone() {
    let queue = Queue::default();
    let (mut recorded, began) = (0_usize, Instant::now());
    let (mut taking, mut encoding) = (Duration::ZERO, Duration::ZERO);
    while began.elapsed() < Duration::from_secs(3) {
        for _ in 0..10_000 {
            if queue.push(entry(recorded).into_entry("one")) {
                recorded += 1;
            }
        }
        let taken = Instant::now();
        let entries = queue.take();
        queue.written();
        taking += taken.elapsed();
        let encoded = Instant::now();
        let batches = Batch::of(&entries);
        encoding += encoded.elapsed();
        assert!(!batches.is_empty());
        let freed = Instant::now();
        drop(entries);
        taking += freed.elapsed();
    }
    let own = began.elapsed().saturating_sub(taking + encoding);
    println!(
        "record alone: {:.0} entries/s a thread, {} ns each; encoding {} ns each",
        recorded as f64 / own.as_secs_f64(),
        own.as_nanos() / recorded as u128,
        encoding.as_nanos() / recorded as u128
    );
}

/// Of the usual size.
fn entry(number: usize) -> Record {
    Record::new("room.update", AuditOutcome::Succeeded)
        .from_address(IpAddr::from(Ipv4Addr::LOCALHOST))
        .in_request("01993f0f5b2c7c3e9a4d2b1c0f9e8d7c".into())
        .on("room", &format!("room-{number:012}"))
}
