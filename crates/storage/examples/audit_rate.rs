//! How many entries of the audit log a second PostgreSQL takes, and how long it takes to find some of them.
//!
//! `cargo run --release -p storage --example audit_rate postgres://user@host/database`: in a database that is empty or was
//! used for this before, as its entries from this run are removed at the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use protocol::{AuditActorKind, AuditOutcome, Timestamp};
use storage::{AUDIT_BATCH, AuditEntry, AuditFilter, AuditStore, Postgres, PostgresConfig};
use uuid::Uuid;

type Failed = Box<dyn std::error::Error + Send + Sync>;

const PERIOD: Duration = Duration::from_secs(8);

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let url = std::env::args()
        .nth(1)
        .ok_or("the address of a database is missing")?;
    let config = PostgresConfig {
        url: url.parse()?,
        replica_urls: Vec::new(),
        write_pool_size: 8,
        read_pool_size: 8,
        ca_file: None,
    };
    Postgres::migrate(&config).await?;
    let postgres = Postgres::connect(config)?;
    let store = AuditStore::postgres(postgres.clone());
    for (writers, batch) in [
        (1, 100),
        (1, 1_000),
        (1, AUDIT_BATCH),
        (2, AUDIT_BATCH),
        (4, AUDIT_BATCH),
    ] {
        let (rows, took) = insert(&store, writers, batch).await?;
        println!(
            "{writers} at once, {batch:>5} a batch: {:>7.0} rows/s",
            rows as f64 / took.as_secs_f64()
        );
    }
    find(&store).await?;
    while store.delete_before(Timestamp::now(), 50_000).await? > 0 {}
    postgres.close().await;
    Ok(())
}

/// Writers that each write one batch after the other for a while.
async fn insert(store: &AuditStore, writers: u64, batch: usize) -> Result<(u64, Duration), Failed> {
    let written = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let mut writing = Vec::new();
    for writer in 0..writers {
        let (store, written) = (store.clone(), Arc::clone(&written));
        writing.push(tokio::spawn(async move {
            let mut number = writer;
            while began.elapsed() < PERIOD {
                let entries: Vec<_> = (0..batch)
                    .map(|_| {
                        number += writers;
                        entry(number)
                    })
                    .collect();
                let new = store.insert(&entries).await?;
                written.fetch_add(new, Ordering::Relaxed);
            }
            Ok::<_, storage::StoreError>(())
        }));
    }
    for writer in writing {
        writer.await??;
    }
    Ok((written.load(Ordering::Relaxed), began.elapsed()))
}

/// As a busy server would have them: a thousand people, ten actions, hardly any that fails.
fn entry(number: u64) -> AuditEntry {
    AuditEntry {
        id: Uuid::now_v7().to_string(),
        at: Timestamp::now(),
        action: format!("action.number_{}", number % 10),
        outcome: if number.is_multiple_of(100) {
            AuditOutcome::Refused
        } else {
            AuditOutcome::Succeeded
        },
        actor_id: format!("user-{}", number % 1_000).parse().ok(),
        actor_kind: AuditActorKind::User,
        session_id: format!("session-{}", number % 2_000).parse().ok(),
        address: Some(format!("192.0.2.{}", number % 250)),
        target_kind: Some("room".to_owned()),
        target_id: Some(format!("room-{}", number % 5_000)),
        details: Some(format!(r#"{{"role":"moderator","number":{number}}}"#)),
        request_id: Some(format!("request-{number}")),
        instance: "instance-1".to_owned(),
    }
}

async fn find(store: &AuditStore) -> Result<(), Failed> {
    let all = AuditFilter::default;
    let filters = [
        ("all", all()),
        (
            "of a user",
            AuditFilter {
                actor_id: "user-7".parse().ok(),
                ..all()
            },
        ),
        (
            "on a room, refused",
            AuditFilter {
                target_kind: Some("room".to_owned()),
                target_id: Some("room-100".to_owned()),
                outcome: Some(AuditOutcome::Refused),
                ..all()
            },
        ),
        (
            "of an action",
            AuditFilter {
                action: Some("action.number_3".to_owned()),
                ..all()
            },
        ),
        (
            "from an address",
            AuditFilter {
                address: Some("192.0.2.9".to_owned()),
                ..all()
            },
        ),
    ];
    for (name, filter) in filters {
        let mut took = Vec::new();
        let mut total = 0;
        for _ in 0..9 {
            let began = Instant::now();
            (_, total) = store.page(&filter, 1, 50).await?;
            took.push(began.elapsed());
        }
        took.sort();
        println!(
            "a page of those {name} ({total}): {:?}",
            took[took.len() / 2]
        );
    }
    Ok(())
}
