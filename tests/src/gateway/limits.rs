//! Clients beyond the bounds: each pays for itself, and nobody else notices.

use gateway::{CloseReason, Config};
use serde_json::{Value, json};
use tungstenite::protocol::frame::FrameHeader;

use super::test_gateway::TestGateway;
use crate::{
    client::{
        polling::SEPARATOR,
        websocket::{BINARY, CONTINUE, Incoming, TEXT, frame, text, with_header},
    },
    deadline::becomes,
};

const MAX_PAYLOAD: usize = 10_000;

fn small_payloads() -> Config {
    Config {
        max_payload: MAX_PAYLOAD,
        ..Config::default()
    }
}

/// An event of exactly so many bytes, its packet type included.
fn event_of(bytes: usize) -> String {
    let empty = r#"421["echo",""]"#;
    empty.replace("\"\"", &format!("\"{}\"", "x".repeat(bytes - empty.len())))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_message_closes_a_websocket() {
    let gateway = TestGateway::start(small_payloads()).await;
    let mut other = gateway.websocket().await;

    let mut socket = gateway.websocket().await;
    let largest = event_of(MAX_PAYLOAD);
    socket.send(&largest).await;
    assert_eq!(socket.text().await.len(), largest.len() - "\"echo\",".len());
    socket.send(&event_of(MAX_PAYLOAD + 1)).await;
    assert_eq!(socket.closed().await.0, 1009);

    // What is announced counts, before any of it has come.
    let mut socket = gateway.websocket().await;
    let header = FrameHeader {
        opcode: BINARY,
        mask: Some([0; 4]),
        ..FrameHeader::default()
    };
    socket.write(&with_header(&header, usize::MAX >> 1)).await;
    assert_eq!(socket.closed().await.0, 1009);

    let mut socket = gateway.websocket().await;
    socket
        .write(&frame(TEXT, false, &[b'4'; MAX_PAYLOAD]))
        .await;
    socket.write(&frame(CONTINUE, false, b"4")).await;
    assert_eq!(socket.closed().await.0, 1009);

    let mut socket = gateway.websocket().await;
    socket.send(r#"453-["echo",1]"#).await;
    socket.send_binary(&[0; MAX_PAYLOAD / 2]).await;
    socket.send_binary(&[0; MAX_PAYLOAD / 2 + 1]).await;
    assert_eq!(socket.closed().await.0, 1009);

    other.send(r#"421["echo",1]"#).await;
    assert_eq!(other.text().await, "431[1]");
    assert_eq!(gateway.closed(CloseReason::TooLarge), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_payload_closes_a_polling_connection() {
    let gateway = TestGateway::start(small_payloads()).await;
    let other = gateway.polling().await;

    let polling = gateway.polling().await;
    polling.send(&event_of(MAX_PAYLOAD)).await;
    assert_eq!(polling.receive().await.len(), 1);
    assert_eq!(polling.post(event_of(MAX_PAYLOAD + 1)).await.status, 413);
    assert_eq!(polling.get().await.status, 400);

    let polling = gateway.polling().await;
    let half = event_of(MAX_PAYLOAD / 2);
    let payload = format!("{half}{SEPARATOR}{half}");
    assert_eq!(polling.post(payload).await.status, 413);

    let polling = gateway.polling().await;
    polling.send(r#"453-["echo",1]"#).await;
    let attachment = format!("b{}", "A".repeat(MAX_PAYLOAD * 3 / 4));
    polling.send(&attachment).await;
    assert_eq!(polling.post(attachment).await.status, 413);

    other.send(r#"421["echo",1]"#).await;
    assert_eq!(other.receive().await, ["431[1]"]);
    becomes("all have ended", 3, || {
        gateway.closed(CloseReason::TooLarge)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn namespaces_and_topics_have_an_end() {
    let gateway = TestGateway::start(Config {
        max_namespaces: 1,
        max_topics: 2,
        ..Config::default()
    })
    .await;
    let mut socket = gateway.websocket().await;
    socket.send("40/custom,").await;
    let refused = socket.text().await;
    assert!(refused.starts_with("44/custom,{"), "{refused}");
    for (topic, joins) in [("a", true), ("b", true), ("a", true), ("c", false)] {
        socket.send(&format!("421[\"join\",\"{topic}\"]")).await;
        let joined = socket.text().await;
        assert_eq!(joined.contains("\"Ok\""), joins, "{topic}: {joined}");
    }
    assert_eq!(gateway.hub.topics(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_whose_answer_is_outstanding_are_bounded() {
    let gateway = TestGateway::start(Config {
        max_in_flight: 10,
        ..Config::default()
    })
    .await;
    let mut socket = gateway.websocket().await;
    for id in 0..12 {
        socket.send(&format!("42{id}[\"hold\"]")).await;
    }
    assert_eq!(socket.text().await, r#"4310["overloaded"]"#);
    assert_eq!(socket.text().await, r#"4311["overloaded"]"#);
    assert_eq!(gateway.hub.stats().overloaded(), 2);
    // Another connection has its own share.
    let mut other = gateway.websocket().await;
    other.send(r#"420["release"]"#).await;
    for id in 0..10 {
        assert_eq!(socket.text().await, format!("43{id}[\"released\"]"));
    }
    socket.send(r#"421["echo",1]"#).await;
    assert_eq!(socket.text().await, "431[1]");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_is_refused_and_then_closed() {
    let gateway = TestGateway::start(Config {
        events_per_second: 1,
        event_burst: 100,
        event_abuse: 100,
        ..Config::default()
    })
    .await;
    let mut socket = gateway.websocket().await;
    let flood: Vec<u8> = (0..300)
        .flat_map(|id| text(&format!("42{id}[\"echo\",{id}]")))
        .collect();
    socket.write(&flood).await;
    let (mut answered, mut refused) = (Vec::new(), 0);
    let code = loop {
        match socket.next().await {
            Incoming::Text(ack) if ack.contains("overloaded") => refused += 1,
            Incoming::Text(ack) => answered.push(ack),
            Incoming::Close(code, _) => break code,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(code, 1008);
    // A second or two may pass meanwhile, and the CONNECT counts too.
    assert!((95..=110).contains(&answered.len()), "{}", answered.len());
    assert!((90..=110).contains(&refused), "{refused}");
    for (id, ack) in answered.iter().enumerate() {
        assert_eq!(*ack, format!("43{id}[{id}]"));
    }
    becomes("the connection ends", 1, || {
        gateway.closed(CloseReason::Flood)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_of_a_thousand_is_answered_in_order() {
    let gateway = TestGateway::start(Config::default()).await;
    let events: Vec<_> = (0..1_000)
        .map(|id| format!("42{id}{}", json!(["echo", { "id": id }])))
        .collect();
    let expected: Vec<_> = (0..1_000)
        .map(|id| format!("43{id}{}", json!([{ "id": id }])))
        .collect();

    let mut socket = gateway.websocket().await;
    let burst: Vec<u8> = events.iter().flat_map(|event| text(event)).collect();
    socket.write(&burst).await;
    for ack in &expected {
        assert_eq!(socket.text().await, *ack);
    }

    let polling = gateway.polling().await;
    polling.send(&events.join(&SEPARATOR.to_string())).await;
    let mut acks = Vec::new();
    while acks.len() < expected.len() {
        acks.extend(polling.receive().await);
    }
    assert_eq!(acks, expected);
    assert_eq!(gateway.hub.stats().overloaded(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_wait_for_the_one_before_them() {
    let gateway = TestGateway::start(Config::default()).await;
    let mut socket = gateway.websocket().await;
    let events = [r#"421["wait",50]"#, r#"422["echo",2]"#, r#"423["echo",3]"#];
    let bytes: Vec<u8> = events.iter().flat_map(|event| text(event)).collect();
    socket.write(&bytes).await;
    assert_eq!(socket.text().await, r#"431["waited"]"#);
    assert_eq!(socket.text().await, "432[2]");
    assert_eq!(socket.text().await, "433[3]");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unanswered_requests_to_a_client_are_bounded() {
    let gateway = TestGateway::start(Config::default()).await;
    let mut socket = gateway.websocket().await;
    for id in 0..300 {
        socket.send(&format!("42{id}[\"ask\",{id}]")).await;
    }
    let mut refused = 0;
    let mut asked = Vec::new();
    while refused + asked.len() < 300 {
        let packet = socket.text().await;
        match packet.strip_prefix("43") {
            Some(ack) => {
                assert!(ack.contains("too many unanswered requests"), "{ack}");
                refused += 1;
            }
            None => asked.push(packet),
        }
    }
    assert_eq!(asked.len(), 256);
    // An answer makes room for the next question.
    let start = asked[0].find('[').unwrap();
    let question: Value = serde_json::from_str(&asked[0][start..]).unwrap();
    socket
        .send(&format!("43{}[\"yes\"]", &asked[0][2..start]))
        .await;
    assert_eq!(
        socket.text().await,
        format!("43{}{}", question[1], json!([{ "Ok": "yes" }]))
    );
    socket.send(r#"42999["ask",null]"#).await;
    assert!(socket.text().await.contains("question"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_is_answered_and_costs_nothing_else() {
    let gateway = TestGateway::start(Config::default()).await;
    let events = [
        r#"["bad\ud800",1]"#,
        r#"["disconnect"]"#,
        "[7,{}]",
        "[null]",
        "[]",
        r#"{"echo":1}"#,
    ];
    let mut socket = gateway.websocket().await;
    let polling = gateway.polling().await;
    for event in events {
        socket.send(&format!("42{event}")).await;
        socket.send(&format!("427{event}")).await;
        assert_eq!(socket.text().await, r#"437["unreadable"]"#, "{event}");
        polling.send(&format!("427{event}")).await;
        assert_eq!(polling.receive().await, [r#"437["unreadable"]"#], "{event}");
    }
    // No id to answer to.
    for event in ["42", r#"42"echo""#, "42-1[\"echo\"]"] {
        socket.send(event).await;
    }
    socket.send(r#"458["echo",{}"#).await;
    assert_eq!(socket.closed().await.0, 1002);
    let count = events.len() as u64 * 3 + 3;
    assert_eq!(gateway.hub.stats().unreadable(), count);
    polling.send(r#"428["echo",NaN]"#).await;
    assert_eq!(polling.receive().await, ["438[]"]);
}
