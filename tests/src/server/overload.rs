//! Too much at once: refused so that a client knows when to try again, and closed only where it is abuse.

use rusqlite::Connection;
use serde_json::{Value, json};

use super::{chat_client::is_refused_for_now, test_app::TestApp};
use crate::client::websocket;

fn is_rate_limited(answer: &Value) -> bool {
    is_refused_for_now(answer, "rate_limited")
}

/// Events in one write: a client that doesn't wait.
fn flood(count: u64, first_ack: u64) -> Vec<u8> {
    let packets = (0..count).map(|n| websocket::text(&format!(r#"42{}["x",{{}}]"#, first_ack + n)));
    packets.flatten().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn more_events_than_the_bound_are_refused_and_the_connection_goes_on() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.register("ana").await, app.guest("bea").await);
    let (mut anas, mut beas) = (app.connect(&ana).await, app.connect(&bea).await);
    let room = anas.create("public", "hall").await;
    anas.socket().write(&flood(6_000, 100)).await;
    let mut refused = 0;
    for n in 0..6_000 {
        let answer = anas.ack(100 + n).await;
        if is_rate_limited(&answer) {
            assert!(n >= 1_000, "{n}");
            refused += 1;
        } else {
            assert_eq!(answer["error"]["code"], "invalid");
        }
    }
    assert!(refused > 0);
    // Nobody else is slowed down, and whoever waits gets through.
    beas.join(&room).await;
    beas.say(&room, "calm").await;
    let mut tries = 0;
    loop {
        let send = json!({ "roomId": room, "clientId": "late", "body": "late" });
        let answer = anas.emit("message:send", send).await;
        if answer["ok"] == true {
            break;
        }
        assert!(is_rate_limited(&answer), "{answer}");
        tries += 1;
        assert!(tries < 1_000);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    beas.before("late").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_is_closed_with_a_reason() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.register("ana").await, app.guest("bea").await);
    let (mut anas, mut beas) = (app.connect(&ana).await, app.connect(&bea).await);
    let room = anas.create("public", "hall").await;
    beas.join(&room).await;
    let events = websocket::text(r#"42["x",{}]"#).repeat(10_000);
    while anas.socket().try_write(&events).await.is_ok() {}
    let code = anas.ended().await;
    // What a peer still writes may cost it the close frame.
    assert!(matches!(code, Some(1008) | None), "{code:?}");
    beas.say(&room, "still here").await;
    app.connect(&ana).await.say(&room, "and back").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sends_without_an_answer_are_bounded() {
    const SENT: usize = 1_300;
    const BOUND: usize = 1_024;
    let app = TestApp::start_embedded().await;
    let ana = app.register("ana").await;
    let mut anas = app.connect(&ana).await;
    let room = anas.create("public", "hall").await;
    let database = Connection::open(app.data_dir().join("messages.db")).unwrap();
    database.execute_batch("BEGIN IMMEDIATE").unwrap();
    let send = |n: usize| json!(["message:send", { "roomId": room, "clientId": n.to_string(), "body": "x" }]);
    let packets = (0..SENT).flat_map(|n| websocket::text(&format!("42{}{}", 1_000 + n, send(n))));
    let packets: Vec<u8> = packets.collect();
    anas.socket().write(&packets).await;
    // Those beyond the bound are answered first: the others wait for the disk.
    let beyond = anas.ack(1_000 + BOUND as u64).await;
    assert!(is_rate_limited(&beyond), "{beyond}");
    database.execute_batch("ROLLBACK").unwrap();
    let mut done = Vec::new();
    for n in 0..SENT {
        if n == BOUND {
            continue;
        }
        let answer = anas.ack(1_000 + n as u64).await;
        match answer["error"]["code"].as_str() {
            None => done.push(answer["message"]["seq"].as_u64().unwrap()),
            Some("rate_limited") => assert!(n >= BOUND && is_rate_limited(&answer)),
            // The lock was held for too long; the first group of writes gave up.
            Some(code) => assert_eq!(code, "unavailable"),
        }
    }
    // Whatever was acked has its place, in the order sent, without gaps.
    assert_eq!(done, (1..=done.len() as u64).collect::<Vec<_>>());
    assert_eq!(anas.join(&room).await["headSeq"], done.len());
}
