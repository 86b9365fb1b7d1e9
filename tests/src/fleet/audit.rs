//! The audit log of a fleet: an entry is one row, whatever breaks between the instance that records it and the database.

use std::{collections::HashSet, path::Path, time::Duration};

use ::http::Method;
use protocol::AuditOutcome;
use redis_client::{Options, RedisClient, cmd};
use serde_json::json;
use stack::{PostgresDatabase, Stack};
use storage::{AuditEntry, AuditFilter, AuditStore};
use tempfile::TempDir;
use tertulia::audit::{
    Audit, AuditParts, StreamParts, codec::Batch, counts::Counts, record::Record,
};
use tokio::task::JoinSet;

use super::fleet::Fleet;
use crate::{client::http, deadline::within};

/// Longer than it takes until what a consumer was given is given to another.
const LONG: Duration = Duration::from_secs(90);

/// Where the entries of one test are and go.
struct Log {
    spools: TempDir,
    _data: TempDir,
    store: AuditStore,
    prefix: String,
    redis: String,
}

impl Log {
    async fn on(redis: &str) -> Self {
        let data = TempDir::new().unwrap();
        Self {
            store: AuditStore::open(data.path()).await.unwrap(),
            spools: TempDir::new().unwrap(),
            _data: data,
            prefix: format!("test-{:016x}", rand::random::<u64>()),
            redis: redis.to_owned(),
        }
    }

    fn client(&self, name: &'static str) -> RedisClient {
        RedisClient::new(self.redis.parse().unwrap(), Options::new(name))
    }

    fn instance(&self, name: &str) -> Instance {
        self.instance_of(name, self.client("audit"), self.spools.path(), 256 << 20)
    }

    fn instance_of(&self, name: &str, redis: RedisClient, spool: &Path, bytes: u64) -> Instance {
        let parts = AuditParts {
            instance: name.to_owned(),
            store: self.store.clone(),
            counts: Counts::default(),
            retention_days: None,
        };
        let streams = StreamParts {
            redis,
            prefix: &self.prefix,
            spool,
            spool_max_bytes: bytes,
        };
        let audit = Audit::of_fleet(parts, streams).unwrap();
        let mut tasks = JoinSet::new();
        audit.spawn_tasks(&mut tasks);
        Instance { audit, tasks }
    }

    async fn rows(&self) -> Vec<AuditEntry> {
        let mut rows: Vec<AuditEntry> = Vec::new();
        loop {
            let after = rows.last().map(AuditEntry::cursor);
            let filter = AuditFilter::default();
            let page = self
                .store
                .export(&filter, after.as_ref(), 5_000)
                .await
                .unwrap();
            if page.is_empty() {
                return rows;
            }
            rows.extend(page);
        }
    }

    /// Every one of so many entries has one row.
    async fn has(&self, count: usize) {
        let stored = async {
            while self.rows().await.len() < count {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(LONG, stored)
            .await
            .expect("all entries in the end");
        let rows = self.rows().await;
        let numbers: HashSet<_> = rows.iter().map(|row| row.target_id.clone()).collect();
        assert_eq!((rows.len(), numbers.len()), (count, count));
    }
}

/// An instance of a fleet, as far as its audit log goes.
struct Instance {
    audit: Audit,
    tasks: JoinSet<()>,
}

fn record(number: usize) -> Record {
    Record::new("room.create", AuditOutcome::Succeeded)
        .on("room", &number.to_string())
        .with("text", "x".repeat(100))
}

impl Instance {
    fn record(&self, numbers: std::ops::Range<usize>) {
        for number in numbers {
            self.audit.record(record(number));
        }
    }

    /// Records for a while, about 2,000 a second.
    async fn record_slowly(&self, numbers: std::ops::Range<usize>) {
        for number in numbers {
            self.audit.record(record(number));
            if number % 20 == 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }

    async fn is_spooled(&self) {
        within("what is recorded to be on the disk", async {
            while self.audit.queued_bytes() > 0 || self.audit.counts().spooled_bytes() == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    /// Ends at once, as a process that is killed.
    async fn kill(mut self) {
        self.tasks.shutdown().await;
    }

    /// Everything is known to be stored, and nothing was lost.
    async fn is_settled(&self) {
        self.audit.settle(LONG).await;
        let counts = self.audit.counts();
        assert_eq!((counts.spooled_bytes(), counts.dropped()), (0, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_instance_records_is_stored_by_any() {
    let log = Log::on(&stack::address("REDIS_URL")).await;
    let (one, other) = (log.instance("one"), log.instance("other"));
    one.record(0..20_000);
    other.record(20_000..40_000);
    one.is_settled().await;
    other.is_settled().await;
    log.has(40_000).await;
    let stored = [&one, &other].map(|instance| instance.audit.counts().stored());
    assert_eq!(stored.iter().sum::<u64>(), 40_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_consumer_didnt_finish_is_stored_by_another_once() {
    let log = Log::on(&stack::address("REDIS_URL")).await;
    // It was given everything. Half of it is in the database, and none of it is acknowledged.
    let redis = log.client("dead consumer");
    let entries: Vec<_> = (0..1_000)
        .map(|number| record(number).into_entry("one"))
        .collect();
    log.store.insert(&entries[..500]).await.unwrap();
    for (index, batch) in entries.chunks(100).flat_map(Batch::of).enumerate() {
        let tag = redis_client::tag((index % 16) as u16 * 16);
        let key = format!("{{{tag}}}{}:audit:entries", log.prefix);
        let mut add = cmd("XADD");
        add.arg(&key)
            .arg("*")
            .arg("id")
            .arg(batch.id.simple().to_string());
        add.arg("lines").arg(batch.lines);
        let _: String = redis.run(add).await.unwrap();
        let group = cmd("XGROUP")
            .arg("CREATE")
            .arg(&key)
            .arg("store")
            .arg(0)
            .take();
        let _: String = redis.run(group).await.unwrap();
        let mut read = cmd("XREADGROUP");
        read.arg("GROUP")
            .arg("store")
            .arg("dead")
            .arg("STREAMS")
            .arg(&key)
            .arg(">");
        let _: redis_client::Value = redis.run(read).await.unwrap();
    }
    let one = log.instance("one");
    one.record(1_000..1_500);
    log.has(1_500).await;
    assert_eq!(one.audit.counts().duplicates(), 500);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_killed_twice_and_forgets_everything_loses_no_entry() {
    let stack = Stack::start(&["redis"]);
    let log = Log::on(&stack.get("REDIS_SINGLE_URL")).await;
    let (one, other) = (log.instance("one"), log.instance("other"));
    let recording = async {
        one.record_slowly(0..10_000).await;
        other.record_slowly(10_000..20_000).await;
    };
    let breaking = async {
        for _ in 0..2 {
            tokio::time::sleep(Duration::from_secs(2)).await;
            stack.signal_all("redis", "KILL");
            tokio::time::sleep(Duration::from_secs(1)).await;
            stack.up();
        }
    };
    tokio::join!(recording, breaking);
    one.is_settled().await;
    other.is_settled().await;
    log.has(20_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_hangs_for_ten_seconds_loses_no_entry() {
    let stack = Stack::start(&["redis"]);
    let log = Log::on(&stack.get("REDIS_SINGLE_URL")).await;
    let (one, other) = (log.instance("one"), log.instance("other"));
    one.record_slowly(0..2_000).await;
    stack.signal_all("redis", "STOP");
    let paused = tokio::time::Instant::now() + Duration::from_secs(10);
    one.record_slowly(2_000..6_000).await;
    other.record_slowly(6_000..10_000).await;
    tokio::time::sleep_until(paused).await;
    assert!(one.audit.counts().spooled_bytes() > 0);
    stack.signal_all("redis", "CONT");
    one.is_settled().await;
    other.is_settled().await;
    log.has(10_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_fails_over_loses_no_entry() {
    let stack = Stack::to_break();
    let log = Log::on(&stack.get("REDIS_URL")).await;
    let (one, other) = (log.instance("one"), log.instance("other"));
    one.record_slowly(0..2_000).await;
    let master = stack.redis_masters()[0];
    stack.signal(&format!("redis-cluster/node-{master}"), "KILL");
    one.record_slowly(2_000..8_000).await;
    other.record_slowly(8_000..12_000).await;
    one.is_settled().await;
    other.is_settled().await;
    log.has(12_000).await;
    stack.up();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_process_had_spooled_is_sent_by_who_finds_it() {
    let log = Log::on(&stack::address("REDIS_URL")).await;
    // Nobody listens there.
    let away = RedisClient::new(
        "redis://127.0.0.1:1".parse().unwrap(),
        Options::new("audit"),
    );
    let killed = log.instance_of("killed", away, log.spools.path(), 256 << 20);
    killed.record(0..5_000);
    killed.is_spooled().await;
    killed.kill().await;
    let heir = log.instance("heir");
    heir.is_settled().await;
    log.has(5_000).await;
    assert_eq!(log.rows().await[0].instance, "killed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spool_that_is_full_counts_what_it_loses_and_keeps_the_rest() {
    let log = Log::on(&stack::address("REDIS_URL")).await;
    let away = RedisClient::new(
        "redis://127.0.0.1:1".parse().unwrap(),
        Options::new("audit"),
    );
    let full = log.instance_of("full", away, log.spools.path(), 1 << 20);
    full.record(0..10_000);
    let lost = within("the bound", async {
        loop {
            let lost = full.audit.counts().dropped();
            if lost > 0 && full.audit.queued_bytes() == 0 {
                return lost;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert!(full.audit.counts().spooled_bytes() <= 1 << 20);
    full.kill().await;
    let heir = log.instance("heir");
    heir.is_settled().await;
    log.has(10_000 - usize::try_from(lost).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_did_is_recorded_once_though_redis_and_their_instance_are_killed() {
    let stack = Stack::start(&["redis"]);
    let database = PostgresDatabase::shared();
    let fleet = Fleet::on(&stack.get("REDIS_SINGLE_URL"), stack::mongodb)
        .with("DATABASE_URL", &database.url);
    let (migrated, printed) = fleet.run(&["migrate"]).await;
    assert!(migrated, "{printed}");
    let killed = fleet.start().await;
    let ana = killed.register("ana").await;
    stack.signal_all("redis", "KILL");
    for number in 0..40 {
        let name = json!({ "displayName": format!("Ana {number}") });
        killed.patch("/api/v1/me", &ana, name).await.expect(200);
    }
    within("what was done to be on the disk", async {
        loop {
            let address = killed.operations().address();
            let metrics = http::request(address, Method::GET, "/metrics", &[], "").await;
            let metrics = String::from_utf8(metrics.body.to_vec()).unwrap();
            if metrics.contains("tertulia_audit_queued_bytes 0\n") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    killed.kill().await;
    stack.up();
    let (granted, printed) = fleet.run(&["admin", "grant", "ana"]).await;
    assert!(granted, "{printed}");
    let heir = fleet.start().await;
    let ana = heir.sign_in("ana").await;
    for (action, count) in [
        ("profile.update", 40),
        ("account.register", 1),
        ("admin.grant", 1),
    ] {
        within("every action in the log", async {
            loop {
                let path = format!("/api/v1/admin/audit?action={action}");
                let page = heir.get(&path, Some(&ana)).await.expect(200);
                let total = page["pagination"]["total"].as_u64().unwrap();
                assert!(total <= count, "{action}: {total}");
                if total == count {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        })
        .await;
    }
    heir.stop().await;
}
