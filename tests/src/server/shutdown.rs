//! Stopping: everybody is told when to come back, and finds there what was acked.

use std::collections::HashSet;

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::test_app::TestApp;
use crate::client::websocket;

/// The status of the answer to a handshake, and whether it says when to come back; `None` if the connection ends first.
async fn handshake(mut stream: TcpStream) -> Option<(u16, bool)> {
    let request = websocket::request("EIO=4&transport=websocket");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if stream.read_buf(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, head.contains("\r\nretry-after: ")))
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_sent_away_and_find_everything_when_they_come_back() {
    const CONNECTIONS: usize = 300;
    // All of one user, within a minute.
    let app = TestApp::start_with(&[("RATE_LIMIT_CONNECTS", "off")]).await;
    let (ana, bea) = (app.register("ana").await, app.guest("bea").await);
    let mut anas = app.connect(&ana).await;
    let room = anas.create("public", "hall").await;
    anas.say(&room, "acked").await;
    let mut others = Vec::new();
    for _ in 0..CONNECTIONS {
        others.push(app.connect(&bea).await);
    }
    // Sends on their way while the server stops: each is acked, or can be sent again.
    let mut acks = Vec::new();
    for n in 0..200 {
        let send = json!({ "roomId": room, "clientId": n.to_string(), "body": n.to_string() });
        acks.push(anas.start("message:send", send).await);
    }
    let address = app.address();
    let late = tokio::spawn(async move {
        let mut answers = HashSet::new();
        // As long as there is somebody to ask.
        while let Ok(stream) = TcpStream::connect(address).await {
            if let Some(answer) = handshake(stream).await {
                answers.insert(answer);
            }
        }
        answers
    });
    let restarted = tokio::spawn(app.restart());
    let mut moments = HashSet::new();
    for other in &mut others {
        let told = other.event("server:draining").await;
        let after = told["reconnectAfterMs"].as_u64().unwrap();
        assert!(after < 60_000, "{after}");
        moments.insert(after);
        assert_eq!(other.ended().await, Some(1001));
    }
    assert!(moments.len() > CONNECTIONS / 4, "{moments:?}");
    let mut acked: Vec<(usize, u64)> = Vec::new();
    anas.ended().await;
    for (n, ack) in acks.into_iter().enumerate() {
        if let Some(answer) = anas.take_ack(ack) {
            assert_eq!(answer["ok"], true, "{answer}");
            acked.push((n, answer["message"]["seq"].as_u64().unwrap()));
        }
    }
    anas.event("server:draining").await;
    // Whoever comes meanwhile is sent away so that they come back.
    let mut answers = late.await.unwrap();
    answers.remove(&(101, false));
    assert_eq!(answers, HashSet::from([(503, true)]));

    let app = restarted.await.unwrap();
    let mut anas = app.connect(&ana).await;
    for n in 0..200 {
        let send = json!({ "roomId": room, "clientId": n.to_string(), "body": n.to_string() });
        let sent = anas.done("message:send", send).await;
        if let Some((_, seq)) = acked.iter().find(|(acked, _)| *acked == n) {
            assert_eq!(
                (&sent["duplicate"], &sent["message"]["seq"]),
                (&json!(true), &json!(seq))
            );
        }
    }
    let page = json!({ "roomId": room, "after": 0 });
    let page = anas.done("room:events", page).await;
    let events = page["events"].as_array().unwrap();
    let seqs: Vec<_> = events
        .iter()
        .map(|event| event["seq"].as_u64().unwrap())
        .collect();
    assert_eq!(seqs, (1..=201).collect::<Vec<_>>());
    let names: HashSet<&Value> = events.iter().map(|event| &event["clientId"]).collect();
    assert_eq!(names.len(), 201);
    app.stop().await;
}
