//! Faults of servers while a crowd writes and reads.

use std::sync::atomic::Ordering;

use stack::Stack;

use super::*;
use crowd::Crowd;

const SERVICE: &[&str] = &["postgresql"];

struct Fixture {
    stack: Stack,
    /// Before the stack, which it is in.
    database: Option<PostgresDatabase>,
    postgres: Postgres,
    crowd: Crowd,
}

impl Fixture {
    /// A crowd at work on servers of its own.
    async fn start() -> Self {
        let stack = Stack::start(SERVICE);
        let database = PostgresDatabase::on(&stack);
        let postgres = Postgres::connect(config(&database)).unwrap();
        is_in(&postgres, ReplicaState::InRotation).await;
        let crowd = Crowd::start(&postgres).await;
        crowd.go_on(100).await;
        Self {
            stack,
            database: Some(database),
            postgres,
            crowd,
        }
    }

    async fn end(mut self) {
        self.crowd.check().await;
        self.postgres.close().await;
        drop(self.database.take());
    }

    fn unavailable(&self) -> u64 {
        self.crowd.counts().unavailable.load(Ordering::Relaxed)
    }

    fn unread(&self) -> u64 {
        self.crowd.counts().unread.load(Ordering::Relaxed)
    }

    /// Calls of replicas that have ended.
    fn asked_of_replica(&self) -> u64 {
        let calls = self.postgres.stats().calls;
        let reads = calls.iter().filter(|(access, ..)| *access == "read");
        reads.map(|(.., count)| count).sum()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_primary_that_is_killed_loses_nothing_that_was_acked_and_comes_back() {
    let fixture = Fixture::start().await;
    for _ in 0..2 {
        let before = fixture.unavailable();
        fixture
            .stack
            .signal_processes("postgresql/primary", "", "KILL");
        until("writes that are unavailable", || {
            fixture.unavailable() > before
        })
        .await;
        until("a primary that is missed", || {
            !fixture.postgres.stats().primary_answers
        })
        .await;
        // The replica is left to those who may be told what it has.
        let read = fixture
            .postgres
            .read(Freshness::Recent, |connection| {
                let query = sqlx::query("SELECT count(*) FROM written");
                Box::pin(async move { query.execute(connection).await })
            })
            .await;
        assert!(read.is_ok(), "{read:?}");
        fixture.stack.up();
        fixture.crowd.go_on(200).await;
        is_in(&fixture.postgres, ReplicaState::InRotation).await;
    }
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_replica_that_is_killed_is_left_out_and_taken_back() {
    let fixture = Fixture::start().await;
    fixture
        .stack
        .signal_processes("postgresql/replica", "", "KILL");
    is_in(&fixture.postgres, ReplicaState::Failed).await;
    fixture.crowd.go_on(200).await;
    fixture.stack.up();
    is_in(&fixture.postgres, ReplicaState::InRotation).await;
    fixture.crowd.go_on(200).await;
    // Whoever was asking it was answered by the primary.
    assert_eq!((fixture.unavailable(), fixture.unread()), (0, 0));
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_replica_that_lags_is_left_out_and_taken_back() {
    let fixture = Fixture::start().await;
    // It answers, but doesn't replay what it gets.
    fixture
        .stack
        .signal_processes("postgresql/replica", "startup", "STOP");
    is_in(&fixture.postgres, ReplicaState::Lagging).await;
    let lag = &fixture.postgres.stats().replicas[0];
    assert!(
        lag.lag.unwrap() > replicas::MAX_LAG && lag.lag_bytes.unwrap() > 0,
        "{lag:?}"
    );
    fixture.crowd.go_on(200).await;
    fixture
        .stack
        .signal_processes("postgresql/replica", "startup", "CONT");
    is_in(&fixture.postgres, ReplicaState::InRotation).await;
    fixture.crowd.go_on(200).await;
    assert_eq!((fixture.unavailable(), fixture.unread()), (0, 0));
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_replica_that_is_paused_is_left_out_and_nobody_waits_for_it() {
    let fixture = Fixture::start().await;
    // Until it has what the crowd reads, so that it is asked.
    let before = fixture.asked_of_replica();
    fixture
        .stack
        .signal_processes("postgresql/replica", "", "STOP");
    is_in(&fixture.postgres, ReplicaState::Failed).await;
    fixture.crowd.go_on(200).await;
    assert!(fixture.asked_of_replica() > before);
    fixture
        .stack
        .signal_processes("postgresql/replica", "", "CONT");
    is_in(&fixture.postgres, ReplicaState::InRotation).await;
    fixture.crowd.go_on(200).await;
    assert_eq!((fixture.unavailable(), fixture.unread()), (0, 0));
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_primary_that_is_paused_is_unavailable_until_it_goes_on() {
    let fixture = Fixture::start().await;
    let before = fixture.unavailable();
    fixture
        .stack
        .signal_processes("postgresql/primary", "", "STOP");
    until("a primary that is missed", || {
        !fixture.postgres.stats().primary_answers
    })
    .await;
    until("writes that are unavailable", || {
        fixture.unavailable() > before
    })
    .await;
    fixture
        .stack
        .signal_processes("postgresql/primary", "", "CONT");
    fixture.crowd.go_on(200).await;
    fixture.end().await;
}

/// More connections than the server grants.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_without_connections_to_spare_answers_some_and_then_all() {
    let stack = Stack::start(SERVICE);
    let database = PostgresDatabase::on(&stack);
    let owner = Postgres::connect(config(&database)).unwrap();
    let role =
        "CREATE ROLE limited LOGIN CONNECTION LIMIT 4; GRANT ALL ON SCHEMA public TO limited";
    let run = async |sql: &'static str| {
        owner
            .write(None, |connection| {
                Box::pin(async move { sqlx::raw_sql(sql).execute(connection).await })
            })
            .await
            .unwrap();
    };
    run(role).await;
    let limited = PostgresConfig {
        url: database
            .url
            .replace("tertulia@", "limited@")
            .parse()
            .unwrap(),
        replica_urls: Vec::new(),
        write_pool_size: 12,
        ..config(&database)
    };
    let postgres = Postgres::connect(limited).unwrap();
    let crowd = Crowd::start(&postgres).await;
    let counts = crowd.counts();
    let refused =
        || counts.unavailable.load(Ordering::Relaxed) + counts.unread.load(Ordering::Relaxed);
    until("some that get none", || refused() > 0).await;
    run("ALTER ROLE limited CONNECTION LIMIT 100").await;
    crowd.go_on(500).await;
    // All have one now.
    let before = refused();
    crowd.go_on(500).await;
    assert_eq!(refused(), before);
    crowd.check().await;
    postgres.close().await;
    owner.close().await;
    drop(database);
}
