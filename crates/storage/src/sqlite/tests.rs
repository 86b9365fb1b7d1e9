//! The writer and the readers when things go wrong: jobs that fail or panic, transactions that
//! SQLite refuses or takes back, queues that are full, a second process.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use parking_lot::Mutex;
use tempfile::TempDir;

use super::*;

const SCHEMA: Migrations = Migrations(&[Step::Sql(
    "
    CREATE TABLE parents (id INTEGER PRIMARY KEY) STRICT;
    CREATE TABLE numbers (number INTEGER PRIMARY KEY, parent INTEGER REFERENCES parents) STRICT;
    CREATE TABLE purged (step INTEGER PRIMARY KEY) STRICT;
",
)]);

/// Long enough for a slow machine; no test waits for it to pass.
const PATIENCE: Duration = Duration::from_secs(30);

struct Fixture {
    database: Arc<Database>,
    directory: TempDir,
}

impl Fixture {
    fn new() -> Self {
        Self::with_maintenance(|_| Ok(false))
    }

    fn with_maintenance(maintenance: Maintenance) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::open(directory.path(), "test", SCHEMA, maintenance).unwrap();
        Self {
            database: Arc::new(database),
            directory,
        }
    }

    /// Stops the writer inside a transaction of its own, so that what is submitted before the
    /// guard is dropped makes one batch.
    fn hold(&self) -> Hold {
        let (entered, has_entered) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        self.database.submit(
            0,
            move |_| {
                entered.send(()).unwrap();
                // Ends when the guard is dropped.
                assert!(released.recv_timeout(PATIENCE).is_err());
                Ok(())
            },
            drop,
        );
        has_entered.recv_timeout(PATIENCE).unwrap();
        Hold { _release: release }
    }

    async fn numbers(&self) -> Vec<i64> {
        self.database
            .read(|connection| {
                let mut statement =
                    connection.prepare_cached("SELECT number FROM numbers ORDER BY number")?;
                Ok(statement
                    .query_map([], |row| row.get(0))?
                    .collect::<Result<_, _>>()?)
            })
            .await
            .unwrap()
    }

    async fn insert(&self, number: i64) -> Result<(), StoreError> {
        self.database
            .write(move |transaction| insert(transaction, number))
            .await
    }
}

struct Hold {
    _release: mpsc::Sender<()>,
}

fn insert(transaction: &Transaction<'_>, number: i64) -> Outcome<()> {
    transaction
        .prepare_cached("INSERT INTO numbers (number) VALUES (?1)")?
        .execute([number])?;
    Ok(())
}

/// What completions report, in the order in which they ran.
#[derive(Clone, Default)]
struct Results(Arc<Mutex<Vec<Completed>>>);

type Completed = (i64, Result<(), StoreError>);

impl Results {
    fn submit(
        &self,
        fixture: &Fixture,
        number: i64,
        work: impl FnOnce(&Transaction<'_>) -> Outcome<()> + Send + 'static,
    ) {
        let results = self.clone();
        fixture.database.submit(0, work, move |result| {
            results.0.lock().push((number, result))
        });
    }

    /// Waits until so many are there: what is submitted then is no part of their batch.
    async fn wait_for(&self, count: usize) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while self.0.lock().len() < count {
            assert!(tokio::time::Instant::now() < deadline);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn succeeded(&self) -> Vec<i64> {
        self.0
            .lock()
            .iter()
            .filter(|(_, result)| result.is_ok())
            .map(|(number, _)| *number)
            .collect()
    }
}

#[tokio::test]
async fn a_failing_job_leaves_nothing_behind_and_harms_no_other() {
    let fixture = Fixture::new();
    let results = Results::default();
    let hold = fixture.hold();
    results.submit(&fixture, 1, |transaction| insert(transaction, 1));
    results.submit(&fixture, 2, |transaction| {
        insert(transaction, 2)?;
        transaction.before_commit(1, |connection| {
            connection
                .execute("INSERT INTO numbers (number) VALUES (20)", [])
                .map(drop)
        });
        Err(StoreError::Forbidden.into())
    });
    results.submit(&fixture, 3, |transaction| {
        insert(transaction, 3)?;
        panic!("a fault in a job");
    });
    results.submit(&fixture, 4, |transaction| insert(transaction, 1));
    results.submit(&fixture, 5, |transaction| insert(transaction, 5));
    drop(hold);
    fixture.insert(6).await.unwrap();
    assert_eq!(fixture.numbers().await, [1, 5, 6]);
    let results = results.0.lock().clone();
    assert_eq!(
        results
            .iter()
            .map(|(number, _)| *number)
            .collect::<Vec<_>>(),
        [1, 2, 3, 4, 5]
    );
    assert!(matches!(results[1].1, Err(StoreError::Forbidden)));
    assert!(matches!(results[2].1, Err(StoreError::Internal(_))));
    assert!(
        matches!(results[3].1, Err(StoreError::Internal(_))),
        "{:?}",
        results[3]
    );
    assert!(results[0].1.is_ok() && results[4].1.is_ok());
}

#[tokio::test]
async fn a_panicking_completion_ends_nothing_else() {
    let fixture = Fixture::new();
    let results = Results::default();
    let hold = fixture.hold();
    fixture
        .database
        .submit(0, |_| Ok(()), |_| panic!("a fault in a completion"));
    results.submit(&fixture, 1, |transaction| insert(transaction, 1));
    drop(hold);
    fixture.insert(2).await.unwrap();
    assert_eq!(results.succeeded(), [1]);
    assert_eq!(fixture.numbers().await, [1, 2]);
}

#[tokio::test]
async fn nothing_of_a_group_whose_commit_fails_is_visible() {
    let fixture = Fixture::new();
    let results = Results::default();
    let hold = fixture.hold();
    results.submit(&fixture, 1, |transaction| insert(transaction, 1));
    results.submit(&fixture, 2, |transaction| {
        // A violation that only COMMIT finds.
        transaction.execute_batch("PRAGMA defer_foreign_keys = ON")?;
        transaction.execute("INSERT INTO numbers (number, parent) VALUES (2, 99)", [])?;
        Ok(())
    });
    results.submit(&fixture, 3, |transaction| insert(transaction, 3));
    drop(hold);
    results.wait_for(3).await;
    // Also shows that the transaction was left.
    fixture.insert(4).await.unwrap();
    let all = results.0.lock().clone();
    assert_eq!(all.len(), 3);
    for (number, result) in all {
        assert!(
            matches!(result, Err(StoreError::Unavailable(_))),
            "{number}: {result:?}"
        );
    }
    assert_eq!(fixture.numbers().await, [4]);
}

#[tokio::test]
async fn nothing_of_a_group_that_sqlite_takes_back_is_visible() {
    let fixture = Fixture::new();
    let results = Results::default();
    let hold = fixture.hold();
    results.submit(&fixture, 1, |transaction| insert(transaction, 1));
    results.submit(&fixture, 2, |transaction| {
        // As SQLite does when the disk fails in the middle of a statement.
        transaction.execute_batch("ROLLBACK")?;
        Ok(())
    });
    results.submit(&fixture, 3, |transaction| insert(transaction, 3));
    drop(hold);
    results.wait_for(3).await;
    fixture.insert(4).await.unwrap();
    assert_eq!(results.0.lock().len(), 3);
    assert_eq!(results.succeeded(), [] as [i64; 0]);
    assert_eq!(fixture.numbers().await, [4]);
}

#[tokio::test]
async fn a_failure_before_commit_fails_the_group() {
    let fixture = Fixture::new();
    let results = Results::default();
    let hold = fixture.hold();
    results.submit(&fixture, 1, |transaction| insert(transaction, 1));
    results.submit(&fixture, 2, |transaction| {
        transaction.before_commit(1, |connection| connection.execute_batch("nonsense"));
        Ok(())
    });
    drop(hold);
    results.wait_for(2).await;
    fixture.insert(3).await.unwrap();
    assert_eq!(results.succeeded(), [] as [i64; 0]);
    assert_eq!(fixture.numbers().await, [3]);
}

#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    let fixture = Fixture::new();
    let results = Results::default();
    let hold = fixture.hold();
    let mut submitted = 0;
    while results.0.lock().is_empty() {
        submitted += 1;
        results.submit(&fixture, submitted, |_| Ok(()));
        assert!(submitted < 100_000, "the queue has no bound");
    }
    assert!(
        matches!(results.0.lock()[0], (number, Err(StoreError::Unavailable(_))) if number == submitted)
    );
    drop(hold);
    results.wait_for(submitted as usize).await;
    assert_eq!(results.succeeded(), (1..submitted).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_queue_is_bounded_in_bytes_too() {
    let fixture = Fixture::new();
    let hold = fixture.hold();
    let refused = Arc::new(AtomicBool::new(false));
    let mut megabytes = 0;
    while !refused.load(Ordering::Relaxed) {
        let refused = Arc::clone(&refused);
        fixture.database.submit(
            1 << 20,
            |_| Ok(()),
            move |result| refused.store(result.is_err(), Ordering::Relaxed),
        );
        megabytes += 1;
        assert!(megabytes < 1_000, "the queue has no bound");
    }
    drop(hold);
    fixture.insert(1).await.unwrap();
    // What was completed has given its bytes back.
    fixture.database.submit(
        1 << 20,
        |transaction| insert(transaction, 2),
        |result| result.unwrap(),
    );
    fixture.insert(3).await.unwrap();
    assert_eq!(fixture.numbers().await, [1, 2, 3]);
}

#[tokio::test]
async fn closing_finishes_what_is_queued_and_refuses_the_rest() {
    let fixture = Fixture::new();
    let results = Results::default();
    let hold = fixture.hold();
    for number in 1..=100 {
        results.submit(&fixture, number, move |transaction| {
            insert(transaction, number)
        });
    }
    let closing = tokio::spawn({
        let database = Arc::clone(&fixture.database);
        async move { database.close().await }
    });
    drop(hold);
    closing.await.unwrap();
    assert_eq!(results.succeeded(), (1..=100).collect::<Vec<_>>());
    assert!(matches!(
        fixture.insert(101).await,
        Err(StoreError::Unavailable(_))
    ));
    let read = fixture.database.read(|_| Ok(())).await;
    assert!(matches!(read, Err(StoreError::Unavailable(_))), "{read:?}");
    // The directory is free again, and the log is folded in.
    assert!(!fixture.directory.path().join("test.db-wal").exists());
    let again = Database::open(fixture.directory.path(), "test", SCHEMA, |_| Ok(false)).unwrap();
    let fixture = Fixture {
        database: Arc::new(again),
        directory: fixture.directory,
    };
    assert_eq!(fixture.numbers().await, (1..=100).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_directory_has_one_owner() {
    let fixture = Fixture::new();
    let second = Database::open(fixture.directory.path(), "test", SCHEMA, |_| Ok(false));
    let Err(error) = second else {
        panic!("opened twice")
    };
    assert!(matches!(error, OpenError::InUse(_)), "{error:?}");
    assert!(
        error.to_string().contains("in use by another process"),
        "{error}"
    );
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let result = Database::open(&file.join("data"), "test", SCHEMA, |_| Ok(false));
    let Err(error) = result else {
        panic!("opened below a file")
    };
    assert!(matches!(error, OpenError::Directory { .. }), "{error:?}");
}

#[test]
fn a_file_that_is_no_database_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(
        directory.path().join("test.db"),
        "certainly not a database".repeat(100),
    )
    .unwrap();
    let result = Database::open(directory.path(), "test", SCHEMA, |_| Ok(false));
    assert!(matches!(result, Err(OpenError::Database(_))));
}

fn open(directory: &TempDir) -> Result<Database, OpenError> {
    Database::open(directory.path(), "test", SCHEMA, |_| Ok(false))
}

#[test]
fn files_that_others_could_read_are_theirs_no_more() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("test.db");
    drop(open(&directory).unwrap());
    std::fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    let database = within_patience(|| open(&directory));
    for file in directory.path().read_dir().unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file:?}");
    }
    drop(database);
}

/// Opens again what another one may be closing still.
fn within_patience(open: impl Fn() -> Result<Database, OpenError>) -> Database {
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        match open() {
            Ok(database) => return database,
            Err(OpenError::InUse(_)) => assert!(std::time::Instant::now() < deadline),
            Err(error) => panic!("{error:?}"),
        }
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn a_file_that_lost_its_contents_is_not_a_new_one() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("test.db");
    let database = open(&directory).unwrap();
    assert!(database.check().is_ok());
    database.close().await;
    std::fs::write(&file, "").unwrap();
    assert!(matches!(open(&directory), Err(OpenError::Emptied(path)) if path == file));
    assert_eq!(std::fs::read(&file).unwrap(), b"");
    // Nor is one that left its log behind.
    std::fs::remove_file(&file).unwrap();
    std::fs::write(directory.path().join("test.db-wal"), "log").unwrap();
    assert!(matches!(open(&directory), Err(OpenError::Emptied(_))));
    assert!(!file.exists());
    // What was begun and not finished was never one.
    std::fs::remove_file(directory.path().join("test.db-wal")).unwrap();
    std::fs::write(directory.path().join("test.db.new"), "half of it").unwrap();
    let database = open(&directory).unwrap();
    assert!(database.check().is_ok());
    database.close().await;
}

#[tokio::test]
async fn damage_is_met_and_remembered() {
    let fixture = Fixture::new();
    let many = |transaction: &Transaction<'_>| {
        (1..=2_000).try_for_each(|number| insert(transaction, number))
    };
    fixture.database.write(many).await.unwrap();
    fixture.database.close().await;
    let file = fixture.directory.path().join("test.db");
    let mut bytes = std::fs::read(&file).unwrap();
    let last = bytes.len() - 4_096;
    bytes[last..].fill(0x5a);
    std::fs::write(&file, bytes).unwrap();
    let database = open(&fixture.directory).unwrap();
    let damaged = |database: &Database| matches!(database.check(), Err(StoreError::Corrupt(_)));
    assert!(damaged(&database));
    database.close().await;
}

#[tokio::test]
async fn a_read_sees_one_moment() {
    let fixture = Fixture::new();
    fixture.insert(1).await.unwrap();
    let (began, has_begun) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel();
    let reading = tokio::spawn({
        let database = Arc::clone(&fixture.database);
        async move {
            database
                .read(move |connection| {
                    let mut statement = connection.prepare("SELECT count(*) FROM numbers")?;
                    let before: i64 = statement.query_row([], |row| row.get(0))?;
                    began.send(()).unwrap();
                    may_go_on.recv_timeout(PATIENCE).unwrap();
                    let after: i64 = statement.query_row([], |row| row.get(0))?;
                    Ok((before, after))
                })
                .await
        }
    });
    tokio::task::spawn_blocking(move || has_begun.recv_timeout(PATIENCE))
        .await
        .unwrap()
        .unwrap();
    fixture.insert(2).await.unwrap();
    go_on.send(()).unwrap();
    assert_eq!(reading.await.unwrap().unwrap(), (1, 1));
    assert_eq!(fixture.numbers().await, [1, 2]);
}

#[tokio::test]
async fn a_read_that_panics_costs_no_connection() {
    let fixture = Fixture::new();
    for _ in 0..20 {
        let result: Result<(), _> = fixture.database.read(|_| panic!("a fault in a read")).await;
        assert!(matches!(result, Err(StoreError::Internal(_))), "{result:?}");
    }
    assert_eq!(fixture.numbers().await, [] as [i64; 0]);
}

#[tokio::test]
async fn readers_cannot_write() {
    let fixture = Fixture::new();
    let result = fixture
        .database
        .read(|connection| Ok(connection.execute("INSERT INTO numbers (number) VALUES (1)", [])?))
        .await;
    assert!(
        matches!(result, Err(StoreError::Unavailable(_))),
        "{result:?}"
    );
}

#[tokio::test]
async fn the_write_ahead_log_stays_bounded() {
    let fixture = Fixture::new();
    fixture
        .database
        .write(|transaction| Ok(transaction.execute_batch("CREATE TABLE blobs (data BLOB)")?))
        .await
        .unwrap();
    let mut largest = 0;
    for _ in 0..100 {
        fixture
            .database
            .write(|transaction| {
                transaction.execute("INSERT INTO blobs VALUES (zeroblob(1000000))", [])?;
                Ok(())
            })
            .await
            .unwrap();
        let log = fixture.directory.path().join("test.db-wal");
        largest = largest.max(log.metadata().unwrap().len());
    }
    assert!(largest < 24 << 20, "{largest} bytes");
}

#[tokio::test]
async fn maintenance_goes_on_until_it_is_done() {
    let fixture = Fixture::with_maintenance(|transaction| {
        transaction.execute("INSERT INTO purged DEFAULT VALUES", [])?;
        let steps: i64 =
            transaction.query_row("SELECT count(*) FROM purged", [], |row| row.get(0))?;
        Ok(steps % 5 != 0)
    });
    let steps = async || -> i64 {
        fixture
            .database
            .read(|connection| {
                Ok(connection.query_row("SELECT count(*) FROM purged", [], |row| row.get(0))?)
            })
            .await
            .unwrap()
    };
    let until = async |wanted: i64| {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while steps().await < wanted {
            assert!(tokio::time::Instant::now() < deadline);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    until(5).await;
    // Without being asked for it doesn't run again.
    for number in 1..=10 {
        fixture.insert(number).await.unwrap();
    }
    assert_eq!(steps().await, 5);
    fixture
        .database
        .write(|transaction| {
            transaction.needs_maintenance();
            Ok(())
        })
        .await
        .unwrap();
    until(10).await;
}

#[test]
fn statements_are_planned_once() {
    let directory = tempfile::tempdir().unwrap();
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let connection = connect(&directory.path().join("test.db"), flags).unwrap();
    connection
        .execute_batch("CREATE TABLE a (x UNIQUE); CREATE TABLE b (x UNIQUE);")
        .unwrap();
    let sql = "SELECT count(*) FROM a, b WHERE a.x = ?1 AND b.x = ?1";
    let mut statement = connection.prepare(sql).unwrap();
    for value in 0..10 {
        statement
            .query_row([value], |row| row.get::<_, i64>(0))
            .unwrap();
    }
    assert_eq!(
        statement.get_status(rusqlite::StatementStatus::RePrepare),
        0
    );
}

/// Counts without end.
const ENDLESS: &str = "
    WITH RECURSIVE n (number) AS (VALUES (1) UNION ALL SELECT number + 1 FROM n)
    SELECT count(*) FROM n";

#[tokio::test]
async fn a_search_ends_with_its_time_and_leaves_its_connection_to_others() {
    let fixture = Fixture::new();
    let endless = |connection: &Connection| Ok(connection.query_row(ENDLESS, [], |_| Ok(()))?);
    for _ in 0..5 {
        let ended = fixture
            .database
            .readers
            .search(Duration::ZERO, endless)
            .await;
        assert!(
            matches!(ended, Err(StoreError::Unavailable(_))),
            "{ended:?}"
        );
    }
    for _ in 0..5 {
        assert_eq!(fixture.numbers().await, [0; 0]);
        let quick = |connection: &Connection| {
            let count = "SELECT count(*) FROM numbers";
            Ok(connection.query_row(count, [], |row| row.get::<_, i64>(0))?)
        };
        assert_eq!(fixture.database.search(quick).await.unwrap(), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn searches_leave_connections_to_other_reads() {
    let fixture = Fixture::new();
    let (release, released) = mpsc::channel::<()>();
    let released = Arc::new(Mutex::new(released));
    let searches: Vec<_> = (0..20)
        .map(|_| {
            let (database, released) = (Arc::clone(&fixture.database), Arc::clone(&released));
            tokio::spawn(async move {
                let search = move |_: &Connection| {
                    // Ends when the sender is dropped.
                    assert!(released.lock().recv_timeout(PATIENCE).is_err());
                    Ok(())
                };
                drop(database.search(search).await);
            })
        })
        .collect();
    for _ in 0..20 {
        tokio::time::timeout(PATIENCE, fixture.numbers())
            .await
            .unwrap();
    }
    drop(release);
    for search in searches {
        search.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_log_begins_anew_though_there_is_always_a_read() {
    const WRITTEN: u64 = 96;
    let fixture = Fixture::new();
    let database = &fixture.database;
    let make = |transaction: &Transaction<'_>| {
        Ok(transaction.execute_batch("CREATE TABLE bulk (bytes BLOB) STRICT")?)
    };
    database.write(make).await.unwrap();
    // Each read ends when the next one has begun.
    let stop = Arc::new(AtomicBool::new(false));
    let reads = {
        let (database, stop) = (Arc::clone(database), Arc::clone(&stop));
        tokio::spawn(async move {
            let mut before: Option<(mpsc::Sender<()>, tokio::task::JoinHandle<_>)> = None;
            while !stop.load(Ordering::Relaxed) {
                let (end, ended) = mpsc::channel::<()>();
                let (begin, begun) = tokio::sync::oneshot::channel();
                let database = Arc::clone(&database);
                let read = tokio::spawn(async move {
                    let read = move |connection: &Connection| {
                        let count = "SELECT count(*) FROM numbers";
                        connection.query_row(count, [], |row| row.get::<_, i64>(0))?;
                        begin.send(()).unwrap();
                        assert!(ended.recv_timeout(PATIENCE).is_err());
                        Ok(())
                    };
                    database.read(read).await
                });
                begun.await.unwrap();
                if let Some((end, read)) = before.replace((end, read)) {
                    drop(end);
                    read.await.unwrap().unwrap();
                }
            }
        })
    };
    let log = fixture.directory.path().join("test.db-wal");
    let mut longest = 0;
    for _ in 0..WRITTEN {
        let write = |transaction: &Transaction<'_>| {
            // Of one size and one place: the database itself stays small.
            transaction
                .execute_batch("DELETE FROM bulk; INSERT INTO bulk VALUES (zeroblob(1048576))")?;
            Ok(())
        };
        database.write(write).await.unwrap();
        longest = longest.max(std::fs::metadata(&log).unwrap().len());
    }
    stop.store(true, Ordering::Relaxed);
    reads.await.unwrap();
    assert!(longest < WRITTEN / 2 * (1 << 20), "{longest}");
}
