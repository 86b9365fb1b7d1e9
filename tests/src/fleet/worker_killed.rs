//! A worker is killed in the middle of each kind of job, at each step of it. Another one runs the job again, and the effect
//! is there once.

use std::time::Duration;

use protocol::Day;
use serde_json::Value;
use stack::{Held, PostgresDatabase};
use storage::{ObjectKey, ObjectStore, StoreError};

use super::worker_process::WorkerProcess;
use crate::{
    deadline::within,
    server::{
        killed::Gate,
        media::{PHOTO, fetch, upload, with},
        test_app::TestApp,
    },
};

/// A worker of this fleet, with these variables beside its own.
async fn start_worker(app: &TestApp, variables: &[(&str, &str)]) -> WorkerProcess {
    let of_fleet = app.variables().iter();
    let of_fleet = of_fleet.map(|(name, value)| (&**name, &**value));
    let all: Vec<_> = of_fleet.chain(variables.iter().copied()).collect();
    WorkerProcess::start(app.data_dir(), &all).await
}

/// Keeps everybody from a change of a table that a trigger stands before.
const LOCK: &str = "SELECT pg_advisory_lock(1)";

/// Has a change wait for who holds the lock.
fn wait_before(database: &PostgresDatabase, change: &str, when: &str) {
    database.run(&format!(
        "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN coalesce(NEW, OLD); END $$;
         CREATE TRIGGER wait BEFORE {change} FOR EACH ROW {when} EXECUTE FUNCTION wait()"
    ));
}

/// Waits until somebody waits for the lock.
async fn waited_for(database: &PostgresDatabase) {
    let waiting = "
        SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    becomes(database, waiting, 1).await;
}

async fn becomes(database: &PostgresDatabase, sql: &str, expected: i64) {
    within(sql, async {
        while database.run(sql) != Some(expected) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

async fn fleet(database: &PostgresDatabase) -> TestApp {
    let names = [
        "S3_ENDPOINT",
        "S3_BUCKET",
        "S3_PATH_STYLE",
        "S3_ACCESS_KEY_ID",
        "S3_SECRET_ACCESS_KEY",
        "RABBITMQ_URL",
    ];
    let values = names.map(|name| (name, stack::address(name)));
    let prefix = format!("test-{:016x}", rand::random::<u64>());
    let mut variables = vec![
        ("DATABASE_URL", database.url.as_str()),
        ("RABBITMQ_PREFIX", &prefix),
    ];
    variables.extend(values.iter().map(|(name, value)| (*name, value.as_str())));
    let app = TestApp::start_fleet(&variables).await;
    app.migrate().await;
    app
}

/// What has happened when the worker is killed.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// A process decodes the image.
    Decoding,
    /// What is shown of it is stored. The database hears of it, and nobody hears the answer.
    Stored,
    /// It is in the room's log. Likewise.
    Told,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_is_shown_once_wherever_the_worker_is_killed() {
    let database = PostgresDatabase::shared();
    let app = fleet(&database).await;
    let objects = ObjectStore::s3(app.configuration().media.s3.as_ref().unwrap()).unwrap();
    let ana = app.register("ana").await;
    let mut client = app.connect(&ana).await;
    for step in [Step::Decoding, Step::Stored, Step::Told] {
        let directory = tempfile::tempdir().unwrap();
        let gate = Gate::new(directory.path());
        let program = gate.program();
        let held: Option<Held> = match step {
            Step::Decoding => None,
            Step::Stored => {
                let ready = "WHEN (NEW.status = 'ready')";
                wait_before(&database, "UPDATE OF status ON uploads", ready);
                Some(database.hold(LOCK))
            }
            Step::Told => {
                let announced = "WHEN (NEW.announced = 1)";
                wait_before(&database, "UPDATE OF announced ON uploads", announced);
                Some(database.hold(LOCK))
            }
        };
        let worker = start_worker(&app, &[("IMAGE_PROGRAM", &program)]).await;
        let room = client.create("private", "Photos").await;
        let id = upload(&app, &ana, "cat.jpg", "image/jpeg", &PHOTO).await;
        client.done("message:send", with(&room, "c1", &[&id])).await;
        let placed =
            format!("SELECT count(*) FROM uploads WHERE id = '{id}' AND message_seq IS NOT NULL");
        becomes(&database, &placed, 1).await;
        gate.begun().await;
        if held.is_some() {
            gate.open();
            waited_for(&database).await;
        }
        worker.kill().await;
        gate.open();
        if held.is_some() {
            drop(held);
            database.run("DROP FUNCTION wait() CASCADE");
        }

        let worker = start_worker(&app, &[]).await;
        let announced = format!("SELECT count(*) FROM uploads WHERE id = '{id}' AND announced = 1");
        becomes(&database, &announced, 1).await;
        let history = format!("/api/v1/rooms/{room}/messages");
        let history = app.get(&history, Some(&ana)).await.expect(200);
        let attachment = &history["messages"][0]["attachments"][0];
        assert_eq!(attachment["status"], "ready", "{step:?}: {attachment}");
        // The log says so once, also when the job has been run to its end.
        within("the end of the original", async {
            let original: ObjectKey = format!("incoming/{id}").parse().unwrap();
            while !matches!(objects.head(&original).await, Err(StoreError::NotFound)) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
        let events = format!("/api/v1/rooms/{room}/events");
        let events = app.get(&events, Some(&ana)).await.expect(200);
        let events = events["events"].as_array().unwrap();
        let types: Vec<_> = events.iter().map(|event| &event["type"]).collect();
        assert_eq!(types, ["message:new", "image:ready"], "{step:?}");
        no_more_than_shown(&app, &objects, &id, attachment).await;
        worker.kill().await;
    }
    becomes(&database, "SELECT count(*) FROM dead_jobs", 0).await;
    app.stop().await;
}

/// All that an attachment names is there, and nothing else of it.
async fn no_more_than_shown(app: &TestApp, objects: &ObjectStore, id: &str, attachment: &Value) {
    let mut urls = vec![attachment["url"].as_str().unwrap()];
    let variants = attachment["variants"].as_array().unwrap();
    urls.extend(
        variants
            .iter()
            .map(|variant| variant["url"].as_str().unwrap()),
    );
    for url in &urls {
        assert_eq!(fetch(app, url, &[]).await.0, 200, "{url}");
    }
    let endings = ["jpg", "webp", "gif", "bin"];
    for name in ["full", "200", "400", "800", "file"] {
        for ending in endings {
            let key = format!("{id}-{name}.{ending}");
            let path = format!("/media/{key}?");
            if urls.iter().any(|url| url.contains(&path)) {
                continue;
            }
            let unnamed: ObjectKey = format!("media/{key}").parse().unwrap();
            assert!(
                matches!(objects.head(&unnamed).await, Err(StoreError::NotFound)),
                "{key}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_dead_letters_are_forgotten_although_the_worker_is_killed() {
    let database = PostgresDatabase::shared();
    let app = fleet(&database).await;
    database.run(
        "INSERT INTO dead_jobs (kind, id, payload, enqueued_at, died_at, attempts, error)
         VALUES ('test.old', '1', '{}', 0, 0, 1, ''), ('test.new', '1', '{}', 0, 9000000000000, 1, '')",
    );
    wait_before(&database, "DELETE ON dead_jobs", "");
    let worker = killed_while_waiting(&app, &database).await;
    becomes(
        &database,
        "SELECT count(*) FROM dead_jobs WHERE kind = 'test.old'",
        0,
    )
    .await;
    becomes(&database, "SELECT count(*) FROM dead_jobs", 1).await;
    worker.kill().await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn days_are_counted_once_although_the_worker_is_killed() {
    let database = PostgresDatabase::shared();
    let app = fleet(&database).await;
    let yesterday = Day::today().plus(-1);
    database.run(&format!(
        "INSERT INTO daily_rollups (day, messages, active_users) VALUES ('{yesterday}', 7, 0);
         INSERT INTO active_users (day, user_id) VALUES ('{yesterday}', 'ana'), ('{yesterday}', 'bea')"
    ));
    wait_before(&database, "UPDATE OF active_users ON daily_rollups", "");
    let worker = killed_while_waiting(&app, &database).await;
    let counted =
        format!("SELECT messages * 10 + active_users FROM daily_rollups WHERE day = '{yesterday}'");
    becomes(&database, &counted, 72).await;
    worker.kill().await;
    app.stop().await;
}

/// Kills a worker in the middle of a change that waits, and has another one come as far and go on.
async fn killed_while_waiting(app: &TestApp, database: &PostgresDatabase) -> WorkerProcess {
    let held = database.hold(LOCK);
    let worker = start_worker(app, &[]).await;
    waited_for(database).await;
    worker.kill().await;
    end_those_who_wait(database);
    let worker = start_worker(app, &[]).await;
    waited_for(database).await;
    drop(held);
    worker
}

/// Whose transaction had no end is rolled back.
fn end_those_who_wait(database: &PostgresDatabase) {
    database.run(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    );
}
