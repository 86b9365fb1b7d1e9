//! A disk that is full and a database that somebody else locks: nothing is acked that isn't kept, what was acked
//! stays, and clients only have to try again.

use std::{collections::BTreeMap, fs::File, path::Path};

use rusqlite::Connection;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    chat_client::{ChatClient, is_refused_for_now},
    server_process::{ServerProcess, command},
    test_app::TestApp,
};
use crate::deadline::within;

fn is_unavailable(answer: &Value) -> bool {
    is_refused_for_now(answer, "unavailable")
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_database_is_locked_clients_are_told_to_try_again() {
    let app = TestApp::start_embedded().await;
    let (ana, bea) = (app.register("ana").await, app.guest("bea").await);
    let (mut anas, mut beas) = (app.connect(&ana).await, app.connect(&bea).await);
    let room = anas.create("public", "hall").await;
    let other = anas.create("public", "other").await;
    beas.join(&room).await;
    anas.say(&room, "before").await;
    beas.before("before").await;

    let database = Connection::open(app.data_dir().join("messages.db")).unwrap();
    database.execute_batch("BEGIN IMMEDIATE").unwrap();
    let send = json!({ "roomId": room, "clientId": "kept", "body": "kept" });
    for (event, payload) in [
        ("message:send", send.clone()),
        (
            "message:edit",
            json!({ "roomId": room, "seq": 1, "body": "changed" }),
        ),
        (
            "message:react",
            json!({ "roomId": room, "seq": 1, "emoji": "👍", "on": true }),
        ),
        ("message:delete", json!({ "roomId": room, "seq": 1 })),
        ("room:create", json!({ "name": "x", "kind": "public" })),
        ("room:leave", json!({ "roomId": room })),
        ("read:set", json!({ "roomId": room, "seq": 1 })),
    ] {
        let answer = anas.emit(event, payload).await;
        assert!(is_unavailable(&answer), "{event}: {answer}");
    }
    let answer = beas.emit("room:join", json!({ "roomId": other })).await;
    assert!(is_unavailable(&answer), "{answer}");
    let path = format!("/api/v1/rooms/{room}/messages");
    let posted = app
        .post(
            &path,
            Some(&ana),
            json!({ "body": "by HTTP", "clientId": "h" }),
        )
        .await;
    assert_eq!(
        (posted.status.as_u16(), posted.code()),
        (503, "unavailable")
    );
    // Reading goes on, and so does what isn't kept.
    anas.done("message:history", json!({ "roomId": room }))
        .await;
    anas.done("typing:set", json!({ "roomId": room, "on": true }))
        .await;
    beas.event("typing:changed").await;
    database.execute_batch("ROLLBACK").unwrap();

    let sent = anas.done("message:send", send).await;
    assert_eq!(
        (&sent["duplicate"], &sent["message"]["seq"]),
        (&json!(false), &json!(2))
    );
    assert_eq!(anas.say(&room, "after").await["seq"], 3);
    let heard = beas.before("after").await;
    let bodies: Vec<_> = heard.iter().map(|(_, message)| &message["body"]).collect();
    assert_eq!(bodies, ["kept"], "{heard:?}");
}

/// Sends messages all at once; returns those that were acked, by name.
async fn send_many(
    socket: &mut ChatClient,
    room: &str,
    names: impl Iterator<Item = usize>,
    acked: &mut BTreeMap<u64, usize>,
) -> Vec<usize> {
    let mut acks = Vec::new();
    for name in names {
        let body = format!("{name} {}", "filler ".repeat(500));
        let send = json!({ "roomId": room, "clientId": name.to_string(), "body": body });
        acks.push((name, socket.start("message:send", send).await));
    }
    let mut refused = Vec::new();
    for (name, ack) in acks {
        let answer = socket.ack(ack).await;
        if answer["ok"] == true {
            let seq = answer["message"]["seq"].as_u64().unwrap();
            assert_eq!(acked.insert(seq, name), None);
        } else {
            assert!(is_unavailable(&answer), "{answer}");
            refused.push(name);
        }
    }
    refused
}

/// The names of the messages in a room's log, which has no gaps.
async fn log(socket: &mut ChatClient, room: &str) -> BTreeMap<u64, usize> {
    let mut log = BTreeMap::new();
    loop {
        let after = log.len();
        let page = json!({ "roomId": room, "after": after, "limit": 200 });
        let page = socket.done("room:events", page).await;
        for event in page["events"].as_array().unwrap() {
            let seq = event["seq"].as_u64().unwrap();
            assert_eq!(seq, log.len() as u64 + 1);
            log.insert(seq, event["clientId"].as_str().unwrap().parse().unwrap());
        }
        if page["hasMore"] == false {
            return log;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_nothing_acked_is_lost_and_all_else_can_be_sent_again() {
    let data = TempDir::new().unwrap();
    let server = ServerProcess::start(data.path(), &[("LOG_LEVEL", "error")]).await;
    let (ana, bea) = (server.register("ana").await, server.guest("bea").await);
    let (mut anas, mut beas) = (server.connect(&ana).await, server.connect(&bea).await);
    let room = anas.create("public", "hall").await;
    beas.join(&room).await;
    let mut acked = BTreeMap::new();
    assert_eq!(send_many(&mut anas, &room, 0..50, &mut acked).await, [0; 0]);

    // Room for some more, as on a disk that fills up in the middle of a group.
    let log_file = data.path().join("messages.db-wal");
    let size = std::fs::metadata(&log_file).unwrap().len();
    server.limit_files(Some(size + 100_000));
    let mut refused = Vec::new();
    let mut next = 50;
    within("a full disk", async {
        while refused.len() < 100 {
            let some = send_many(&mut anas, &room, next..next + 50, &mut acked).await;
            refused.extend(some);
            next += 50;
        }
    })
    .await;
    assert!(acked.len() > 50);
    // The connections are still there, and what they read.
    assert_eq!(log(&mut anas, &room).await, acked);
    beas.done("typing:set", json!({ "roomId": room, "on": true }))
        .await;

    server.limit_files(None);
    within("what was refused", async {
        while !refused.is_empty() {
            let again = std::mem::take(&mut refused);
            refused = send_many(&mut anas, &room, again.into_iter(), &mut acked).await;
        }
    })
    .await;
    assert_eq!(acked.len(), next);
    assert_eq!(log(&mut anas, &room).await, acked);
    for (seq, name) in &acked {
        let (_, heard) = beas.next_of_log().await;
        let body = heard["body"].as_str().unwrap();
        assert_eq!(
            (&heard["seq"], body.split(' ').next()),
            (&json!(seq), Some(&*name.to_string()))
        );
    }
    server.kill().await;
    let server = ServerProcess::start(data.path(), &[]).await;
    assert_eq!(log(&mut server.connect(&ana).await, &room).await, acked);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_refused_writes_is_one_line_of_the_log() {
    let data = TempDir::new().unwrap();
    let server = ServerProcess::start(data.path(), &[]).await;
    let ana = server.register("ana").await;
    let mut anas = server.connect(&ana).await;
    let room = anas.create("public", "hall").await;
    let log_file = data.path().join("messages.db-wal");
    server.limit_files(Some(std::fs::metadata(&log_file).unwrap().len()));
    let refused = send_many(&mut anas, &room, 0..500, &mut BTreeMap::new()).await;
    assert!(refused.len() > 100, "{}", refused.len());
    server.limit_files(None);
    let (_, printed) = server.stop().await;
    let lines = printed
        .lines()
        .filter(|line| line.contains("the store is unavailable"));
    assert_eq!(lines.count(), 1, "{printed}");
}

/// Whether a server is ready, and what it says of its store.
async fn health(server: &ServerProcess) -> (u16, Value) {
    let mut answer = server.operations().get("/health/ready", None).await;
    let message = answer.body["checks"]["store"]["message"].take();
    (answer.status.as_u16(), message)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_database_is_not_ready() {
    let data = TempDir::new().unwrap();
    let file = data.path().join("messages.db");
    let server = ServerProcess::start(data.path(), &[]).await;
    let ana = server.register("ana").await;
    let mut anas = server.connect(&ana).await;
    let room = anas.create("public", "hall").await;
    send_many(&mut anas, &room, 0..200, &mut BTreeMap::new()).await;
    assert_eq!(health(&server).await.0, 200);
    server.stop().await;
    let sound = std::fs::read(&file).unwrap();
    let damaged = (503, json!("the database is damaged"));

    // Damage that no request may meet for a long time.
    let mut broken = sound.clone();
    let half = broken.len() / 2;
    broken[half..half + 40_000].fill(0x5a);
    std::fs::write(&file, &broken).unwrap();
    let server = ServerProcess::start(data.path(), &[]).await;
    assert_eq!(health(&server).await, damaged);
    server.kill().await;

    // A file that was cut to nothing while it was in use, and one that isn't there any more.
    for cut in [
        |file: &Path| drop(File::create(file).unwrap()),
        |file: &Path| {
            std::fs::remove_file(file).unwrap();
        },
    ] {
        for end in ["-wal", "-shm"] {
            drop(std::fs::remove_file(
                data.path().join(format!("messages.db{end}")),
            ));
        }
        std::fs::write(&file, &sound).unwrap();
        let server = ServerProcess::start(data.path(), &[]).await;
        assert_eq!(health(&server).await.0, 200);
        cut(&file);
        let told = within("a server that isn't ready", async {
            loop {
                // Success is remembered for a moment.
                let told = health(&server).await;
                if told.0 != 200 {
                    return told;
                }
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        });
        assert_eq!(told.await, damaged);
        server.kill().await;
    }

    // Nothing is begun anew in its place.
    drop(File::create(&file).unwrap());
    let directory = data.path().to_str().unwrap();
    let variables = [("DATA_DIR", directory), ("PORT", "0")];
    let again = command(&["serve"], &variables).await.output();
    let again = within("the end", again).await.unwrap();
    let said = String::from_utf8(again.stderr).unwrap();
    assert_eq!(again.status.code(), Some(1));
    assert!(said.contains("was emptied"), "{said}");
    assert_eq!(file.metadata().unwrap().len(), 0);
}
