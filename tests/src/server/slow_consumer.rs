//! A client that stops reading: what it missed is replaced by one `resync`, and nothing of it is lost.

use serde_json::{Value, json};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpSocket, TcpStream},
};

use super::{chat_client::ChatClient, test_app::TestApp};
use crate::{client::websocket, deadline::within};

/// Who doesn't read answers no ping, for longer than usual on a loaded machine.
pub(super) const NO_HEARTBEAT: [(&str, &str); 1] = [("PING_INTERVAL_MS", "600000")];

/// Of four bytes each, so that messages are as large as they get.
fn large(n: usize) -> String {
    format!("{n} {}", "🦊".repeat(15_000))
}

pub(super) async fn say_large(socket: &mut ChatClient, room: &str, from: usize, to: usize) {
    for n in from..to {
        let send = json!({ "roomId": room, "clientId": n.to_string(), "body": large(n) });
        socket.done("message:send", send).await;
    }
}

/// A connection whose kernel holds little for whoever doesn't read.
pub(super) async fn narrow(app: &TestApp) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(8 * 1024).unwrap();
    socket.connect(app.address()).await.unwrap()
}

/// Reads the log until `resync`; returns the last `seq` before it.
pub(super) async fn until_resync(socket: &mut ChatClient, room: &str, mut seq: u64) -> u64 {
    let of_log = |told: &(String, Value)| told.0 == "resync" || told.0.starts_with("message:");
    loop {
        let (name, event) = socket.event_that(of_log).await;
        if name == "resync" {
            assert_eq!(event["roomId"], room);
            assert!(
                event["headSeq"].as_u64().is_some_and(|head| head > seq),
                "{event}"
            );
            return seq;
        }
        seq += 1;
        assert_eq!(event["seq"], seq);
    }
}

/// Joins with the last `seq`, and reads what is missing by pages; returns the last `seq` then.
pub(super) async fn catch_up(socket: &mut ChatClient, room: &str, seq: u64) -> u64 {
    let joined = within("a subscription", async {
        loop {
            let request = json!({ "roomId": room, "since": seq });
            let answer = socket.emit("room:join", request).await;
            if answer["ok"] == true {
                return answer;
            }
            // It is being told that it fell behind.
            assert_eq!(answer["error"]["retryable"], true, "{answer}");
        }
    })
    .await;
    let mut seq = gapless(&joined["missed"], seq);
    let head = joined["headSeq"].as_u64().unwrap();
    assert_eq!(joined["complete"] == true, seq == head);
    while seq < head {
        let request = json!({ "roomId": room, "after": seq, "limit": 10 });
        let page = socket.done("room:events", request).await;
        let read = gapless(&page["events"], seq);
        assert!(read > seq, "an empty page before the head");
        seq = read;
    }
    seq
}

fn gapless(events: &Value, mut seq: u64) -> u64 {
    for event in events.as_array().unwrap() {
        seq += 1;
        assert_eq!(event["seq"], seq);
    }
    seq
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_reader_is_told_to_start_over_and_misses_nothing() {
    const FIRST: usize = 150;
    const ALL: usize = 300;
    let app = TestApp::start_with(&NO_HEARTBEAT).await;
    let (ana, bea) = (app.register("ana").await, app.guest("bea").await);
    let mut anas = app.connect(&ana).await;
    let room = anas.create("public", "hall").await;
    let connect = format!("40{}", json!({ "token": bea.access_token }));
    let mut stalled = ChatClient::try_connect_on(narrow(&app).await, &connect)
        .await
        .unwrap();
    stalled.join(&room).await;
    say_large(&mut anas, &room, 0, FIRST).await;
    let seq = until_resync(&mut stalled, &room, 0).await;
    assert!(seq < FIRST as u64);
    // Not subscribed any more, so nothing comes twice; once subscribed nothing is left out.
    anas.say(&room, "meanwhile").await;
    let mut seq = catch_up(&mut stalled, &room, seq).await;
    assert_eq!(seq, FIRST as u64 + 1);
    let presence = stalled
        .done("presence:get", json!({ "roomId": room }))
        .await;
    assert_eq!(presence["count"], 2);

    // Again, now stalled after a resync.
    say_large(&mut anas, &room, FIRST, ALL).await;
    seq = until_resync(&mut stalled, &room, seq).await;
    seq = catch_up(&mut stalled, &room, seq).await;
    assert_eq!(seq, ALL as u64 + 1);
    anas.say(&room, "end").await;
    let (_, last) = stalled.next_of_log().await;
    assert_eq!(
        (&last["body"], &last["seq"]),
        (&json!("end"), &json!(ALL + 2))
    );
    drop(stalled);
    let mut beas = app.connect(&bea).await;
    beas.join(&room).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_a_queue_holds_is_resumed_in_parts() {
    const MESSAGES: usize = 100;
    let app = TestApp::start_with(&NO_HEARTBEAT).await;
    let (ana, bea) = (app.register("ana").await, app.guest("bea").await);
    let mut anas = app.connect(&ana).await;
    let mut rooms = Vec::new();
    for _ in 0..2 {
        let room = anas.create("public", "hall").await;
        app.connect(&bea).await.join(&room).await;
        say_large(&mut anas, &room, 0, MESSAGES).await;
        rooms.push(room);
    }
    let points = json!({ &rooms[0]: { "seq": 0 }, &rooms[1]: { "seq": 0 } });
    let auth = json!({ "token": bea.access_token, "resume": points });
    // One that reads nothing until all is sent.
    let mut resumed = ChatClient::try_connect_on(narrow(&app).await, &format!("40{auth}"))
        .await
        .unwrap();
    let mut seqs = std::collections::HashMap::new();
    for _ in 0..2 {
        let told = loop {
            let any = resumed.event_that(|(name, _)| name.contains(':')).await;
            match any.0.as_str() {
                "message:new" => {
                    let seq = seqs.entry(any.1["roomId"].to_string()).or_insert(0);
                    *seq += 1;
                    assert_eq!(any.1["seq"], *seq);
                }
                "room:resumed" => break any.1,
                _ => {}
            }
        };
        assert_eq!(
            (&told["headSeq"], &told["complete"]),
            (&json!(MESSAGES), &json!(false))
        );
    }
    for room in &rooms {
        let seq = seqs.get(&json!(room).to_string()).copied().unwrap_or(0);
        assert_eq!(catch_up(&mut resumed, room, seq).await, MESSAGES as u64);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_large_messages_is_taken_whole() {
    const MESSAGES: u64 = 1_000;
    // A pong would get between the bytes of the burst.
    let app = TestApp::start_with(&NO_HEARTBEAT).await;
    let ana = app.register("ana").await;
    let mut anas = app.connect(&ana).await;
    let room = anas.create("public", "hall").await;
    let mut writer = anas.socket().writer();
    // Above the ids of the other requests.
    let ids = 10_000..10_000 + MESSAGES;
    let sent = (ids.clone(), room.clone());
    let writing = tokio::spawn(async move {
        let (ids, room) = sent;
        for id in ids {
            let body = format!("{id} {}", "é".repeat(15_990));
            let send = json!({ "roomId": room, "clientId": id.to_string(), "body": body });
            let packet = format!("42{id}{}", json!(["message:send", send]));
            writer.write_all(&websocket::text(&packet)).await.unwrap();
        }
    });
    for (place, id) in ids.enumerate() {
        let answer = anas.ack(id).await;
        assert_eq!(answer["ok"], true, "{answer}");
        assert_eq!(answer["message"]["seq"], place + 1);
    }
    writing.await.unwrap();
}
