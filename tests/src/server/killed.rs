//! A server that is alone is killed in the middle of what it does with uploads, at each step of it: begun again, it ends in
//! the same state as if nothing had happened.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::Connection;
use serde_json::{Value, json};

use super::{
    api::{Api, Person},
    chat_client::ChatClient,
    media::{PHOTO, complete, fetch, put, until, upload, with},
    server_process::{PROGRAM, ServerProcess},
    test_app::on_a_fleet,
};
use crate::deadline::within;

/// A program that decodes images as the server's own does, but not until it is let go.
pub struct Gate {
    directory: PathBuf,
}

impl Gate {
    pub fn new(directory: &Path) -> Self {
        let gate = Self {
            directory: directory.join("gate"),
        };
        fs::create_dir(&gate.directory).unwrap();
        let (begun, open) = (gate.path("begun"), gate.path("open"));
        let script = format!(
            "#!/bin/sh\n: > {begun}\nwhile [ ! -e {open} ]; do /bin/sleep 0.02; done\nexec {PROGRAM} \"$@\"\n"
        );
        fs::write(gate.program(), script).unwrap();
        fs::set_permissions(gate.program(), fs::Permissions::from_mode(0o755)).unwrap();
        gate
    }

    fn path(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }

    pub fn program(&self) -> String {
        self.path("decode")
    }

    /// Waits until an image is to be decoded.
    pub async fn begun(&self) {
        exists(self.directory.join("begun")).await;
    }

    /// Lets what waits go on, and all that comes.
    pub fn open(&self) {
        fs::write(self.path("open"), "").unwrap();
    }
}

async fn exists(path: PathBuf) {
    within("a file", async {
        while !path.exists() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

/// What has happened when the server is killed.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// A process decodes the image.
    Decoding,
    /// What is shown of it is stored, and nobody knows of it.
    Stored,
    /// What became of it is in its row, and not in the room's log.
    Noted,
    /// It is in the log, and the job isn't done.
    Told,
}

fn database(data: &Path, name: &str) -> Connection {
    let database = Connection::open(data.join(name)).unwrap();
    database.busy_timeout(Duration::from_secs(10)).unwrap();
    database
}

/// Keeps others from writing to a database until it is dropped.
fn lock(data: &Path, name: &str) -> Connection {
    let database = database(data, name);
    database.execute_batch("BEGIN IMMEDIATE").unwrap();
    database
}

async fn becomes(tables: &Connection, sql: &str, id: &str, expected: i64) {
    within(sql, async {
        while tables.query_row(sql, [id], |row| row.get(0)) != Ok(expected) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

const TABLES: &str = "tables/tables.db";

#[tokio::test]
async fn an_image_is_shown_once_wherever_the_server_is_killed() {
    if on_a_fleet() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    for step in [Step::Decoding, Step::Stored, Step::Noted, Step::Told] {
        let place = directory.path().join(format!("{step:?}"));
        fs::create_dir(&place).unwrap();
        shown_once(&place, step).await;
    }
}

async fn shown_once(place: &Path, step: Step) {
    let (gate, data) = (Gate::new(place), place.join("data"));
    let program = gate.program();
    let server = ServerProcess::start(&data, &[("IMAGE_PROGRAM", &program)]).await;
    let ana = server.register("ana").await;
    let mut client = server.connect(&ana).await;
    let room = client.create("private", "Photos").await;
    let id = upload(&server, &ana, "cat.jpg", "image/jpeg", &PHOTO).await;
    client.done("message:send", with(&room, "c1", &[&id])).await;
    let tables = database(&data, TABLES);
    let seq = "SELECT count(*) FROM uploads WHERE id = ?1 AND message_seq IS NOT NULL";
    becomes(&tables, seq, &id, 1).await;
    gate.begun().await;
    match step {
        Step::Decoding => server.kill().await,
        Step::Stored => {
            let locked = lock(&data, TABLES);
            gate.open();
            exists(data.join(format!("objects/media/{id}-400.jpg"))).await;
            server.kill().await;
            drop(locked);
        }
        Step::Noted => {
            let locked = lock(&data, "messages.db");
            gate.open();
            let ready = "SELECT count(*) FROM uploads WHERE id = ?1 AND status = 'ready'";
            becomes(&tables, ready, &id, 1).await;
            server.kill().await;
            drop(locked);
        }
        Step::Told => {
            let never = "
                CREATE TRIGGER never BEFORE UPDATE OF announced ON uploads
                BEGIN SELECT RAISE(ABORT, 'not yet'); END";
            tables.execute_batch(never).unwrap();
            gate.open();
            client.event("image:ready").await;
            server.kill().await;
            tables.execute_batch("DROP TRIGGER never").unwrap();
        }
    }
    gate.open();
    drop(tables);

    let server = ServerProcess::start(&data, &[]).await;
    let attachment = shown(&server, &ana, &room).await;
    assert_eq!(attachment["status"], "ready", "{step:?}: {attachment}");
    let tables = database(&data, TABLES);
    let jobs = "SELECT count(*) FROM jobs WHERE kind = 'image.process' AND id = ?1";
    becomes(&tables, jobs, &id, 0).await;
    let dead = "SELECT count(*) FROM dead_jobs WHERE id = ?1";
    becomes(&tables, dead, &id, 0).await;
    // What became of it is in the log once.
    let events = format!("/api/v1/rooms/{room}/events");
    let events = server.get(&events, Some(&ana)).await.expect(200);
    let events = events["events"].as_array().unwrap();
    let types: Vec<_> = events.iter().map(|event| &event["type"]).collect();
    assert_eq!(types, ["message:new", "image:ready"], "{step:?}");
    // All that it names is there, and nothing else.
    let mut urls = vec![&attachment["url"]];
    let variants = attachment["variants"].as_array().unwrap();
    urls.extend(variants.iter().map(|variant| &variant["url"]));
    for url in &urls {
        let (status, ..) = fetch(&server, url.as_str().unwrap(), &[]).await;
        assert_eq!(status, 200, "{step:?}: {url}");
    }
    let served = fs::read_dir(data.join("objects/media")).unwrap();
    let served: Vec<_> = served
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    let named = |file: &String| {
        let path = format!("/media/{file}?");
        urls.iter().any(|url| url.as_str().unwrap().contains(&path))
    };
    let unnamed: Vec<_> = served.iter().filter(|file| !named(file)).collect();
    assert!(unnamed.is_empty(), "{step:?}: {unnamed:?}");
    within("the end of what came in", async {
        while data.join("objects/incoming").join(&id).exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    server.stop().await;
}

/// What history shows of the first message's attachment, once it isn't being processed.
async fn shown(app: &Api, person: &Person, room: &str) -> Value {
    let page = format!("/api/v1/rooms/{room}/messages");
    within("the end of processing", async {
        loop {
            let page = app.get(&page, Some(person)).await.expect(200);
            let attachment = page["messages"][0]["attachments"][0].clone();
            if attachment["status"] != "processing" {
                return attachment;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
}

#[tokio::test]
async fn an_image_in_an_event_is_processed_although_the_server_was_killed() {
    if on_a_fleet() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(data.path(), &[]).await;
    let ana = server.register("ana").await;
    let mut client: ChatClient = server.connect(&ana).await;
    let room = client.create("private", "Photos").await;
    let request = json!({
        "roomId": room, "clientId": "c1", "fileName": "cat.jpg", "contentType": "image/jpeg",
        "data": { "_placeholder": true, "num": 0 },
    });
    let id = client.start_binary("image:upload", request, &PHOTO).await;
    let accepted = client.ack(id).await;
    assert_eq!(accepted["ok"], true, "{accepted}");
    // Acked, and perhaps being processed.
    server.kill().await;
    let server = ServerProcess::start(data.path(), &[]).await;
    let attachment = shown(&server, &ana, &room).await;
    assert_eq!(attachment["status"], "ready", "{attachment}");
    server.stop().await;
}

#[tokio::test]
async fn a_file_is_completed_or_removed_although_the_server_was_killed_in_between() {
    if on_a_fleet() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let server = ServerProcess::start(data, &[]).await;
    let ana = server.register("ana").await;
    let mut ids = Vec::new();
    for name in ["kept.txt", "lost.txt"] {
        ids.push(put(&server, &ana, name, "text/plain", b"hello").await);
    }
    let moved = |id: &str| data.join(format!("objects/media/{id}-file.bin"));
    let locked = lock(data, TABLES);
    // It answers that nothing is known.
    for id in &ids {
        let complete = format!("/api/v1/uploads/{id}/complete");
        let completing = server.post(&complete, Some(&ana), json!({}));
        tokio::select! {
            answer = completing => assert_eq!(answer.code(), "unavailable"),
            () = exists(moved(id)) => {}
        }
        exists(moved(id)).await;
    }
    server.kill().await;
    drop(locked);

    let server = ServerProcess::start(data, &[]).await;
    let [kept, lost] = &ids[..] else {
        unreachable!()
    };
    assert_eq!(complete(&server, &ana, kept).await["status"], "ready");
    let mut client = server.connect(&ana).await;
    let room = client.create("private", "Files").await;
    let sent = client
        .done("message:send", with(&room, "c1", &[kept]))
        .await;
    let url = sent["message"]["attachments"][0]["url"].as_str().unwrap();
    let (status, _, bytes) = fetch(&server, url, &[]).await;
    assert_eq!((status, &bytes[..]), (200, &b"hello"[..]));
    // Nobody asks for the other one again.
    until(&server, &ana, lost, "awaited").await;
    let due = "UPDATE uploads SET check_at = 0 WHERE id = ?1";
    assert_eq!(database(data, TABLES).execute(due, [lost]).unwrap(), 1);
    within("the end of a file", async {
        while moved(lost).exists() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    assert!(moved(kept).exists());
    server.stop().await;
}
