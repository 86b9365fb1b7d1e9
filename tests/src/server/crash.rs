//! A conversation of the official clients through `kill -9`: what was acked is there, once, in one order for everybody.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use tempfile::TempDir;

use super::server_process::ServerProcess;
use crate::{client::official, deadline::within};

/// Messages of each of the two.
const COUNT: usize = 150;

/// Times that the server is killed.
const KILLS: usize = 3;

#[derive(Debug, Deserialize)]
struct Account {
    acked: Vec<Entry>,
    seen: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Entry {
    seq: u64,
    body: String,
}

#[tokio::test(flavor = "multi_thread")]
async fn two_official_clients_talk_through_crashes() {
    let data = TempDir::new().unwrap();
    let mut server = ServerProcess::start(data.path(), &[]).await;
    let port = server.address().port().to_string();
    let (ana, bea) = (server.register("ana").await, server.register("bea").await);
    let room = {
        let mut anas = server.connect(&ana).await;
        let created = anas
            .done(
                "room:create",
                json!({ "name": "kitchen", "kind": "public" }),
            )
            .await;
        created["room"]["id"].as_str().unwrap().to_owned()
    };
    let talk = |mut command: tokio::process::Command, script: &str, name: &str, token: &str| {
        command
            .arg(script)
            .env("SERVER_URL", format!("http://127.0.0.1:{port}"))
            .env("ROOM", &room)
            .env("NAME", name)
            .env("TOKEN", token)
            .env("COUNT", COUNT.to_string())
            .env("EXPECTED", (2 * COUNT).to_string())
            .kill_on_drop(true);
        tokio::spawn(async move { command.output().await.unwrap() })
    };
    let talking = [
        talk(
            official::javascript(),
            "talker.mjs",
            "ana",
            &ana.access_token,
        ),
        talk(official::python(), "talker.py", "bea", &bea.access_token),
    ];
    for kill in 1..=KILLS {
        // In the middle of the conversation, as far as there is one.
        let enough = (2 * COUNT * kill / (KILLS + 1)) as u64;
        within("messages", async {
            loop {
                let found = server
                    .get(&format!("/api/v1/rooms/{room}"), Some(&ana))
                    .await;
                if found.expect(200)["room"]["headSeq"].as_u64().unwrap() >= enough {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
        server.kill().await;
        server = ServerProcess::start(data.path(), &[("PORT", &port)]).await;
    }
    let mut accounts = Vec::new();
    for talker in talking {
        let output = within("the end of the conversation", talker).await.unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        accounts.push(serde_json::from_slice::<Account>(&output.stdout).unwrap());
    }

    let path = format!("/api/v1/rooms/{room}/events?after=0&limit=500");
    let log: Vec<Entry> =
        serde_json::from_value(server.get(&path, Some(&ana)).await.expect(200)["events"].take())
            .unwrap();
    let seqs: Vec<u64> = log.iter().map(|entry| entry.seq).collect();
    assert_eq!(
        seqs,
        (1..=2 * COUNT as u64).collect::<Vec<_>>(),
        "no gap, nothing twice"
    );
    for (name, account) in ["ana", "bea"].iter().zip(&accounts) {
        assert_eq!(account.seen, log, "{name} saw the log, in its order");
        let own: Vec<&Entry> = log
            .iter()
            .filter(|entry| entry.body.starts_with(name))
            .collect();
        assert_eq!(
            account.acked.iter().collect::<Vec<_>>(),
            own,
            "{name}'s messages, in the order sent"
        );
        assert_eq!(own.len(), COUNT);
    }
}
