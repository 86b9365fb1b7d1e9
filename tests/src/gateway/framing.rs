//! Frames as no library would send them; `differential` compares what each does, here is how the connection ends.

use std::time::Duration;

use gateway::{CloseReason, Config};
use tungstenite::protocol::frame::FrameHeader;

use super::test_gateway::TestGateway;
use crate::{
    client::websocket::{BINARY, CLOSE, CONTINUE, Incoming, PING, TEXT, frame, text, with_header},
    deadline::becomes,
};

/// A close frame with this code.
fn close(code: u16) -> Vec<u8> {
    frame(CLOSE, true, &code.to_be_bytes())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_violation_closes_with_its_reason() {
    let gateway = TestGateway::start(Config::default()).await;
    let unmasked = with_header(
        &FrameHeader {
            opcode: TEXT,
            ..FrameHeader::default()
        },
        0,
    );
    let cases = [
        (unmasked, 1002),
        (frame(CONTINUE, true, b"x"), 1002),
        (frame(TEXT, true, b"4\xff"), 1007),
        (frame(PING, false, b""), 1002),
        (text("4x"), 1002),
        (frame(BINARY, true, b"unasked"), 1002),
        (frame(CLOSE, true, &[0x03, 0xe8, 0xff]), 1007),
        (frame(CLOSE, true, &[0x03]), 1002),
        (close(0), 1002),
        (close(999), 1002),
        (close(1004), 1002),
        (close(1005), 1002),
        (close(1006), 1002),
        (close(1015), 1002),
        (close(1016), 1002),
        (close(2999), 1002),
        (close(5000), 1002),
        (close(1000), 1000),
        (close(1001), 1000),
        (close(1014), 1000),
        (close(3000), 1000),
        (close(4999), 1000),
        (frame(CLOSE, true, b""), 1000),
        (text("1"), 1000),
    ];
    let count = cases.len() as u64;
    for (bytes, expected) in cases {
        let mut socket = gateway.websocket().await;
        socket.write(&bytes).await;
        let (code, reason) = socket.closed().await;
        assert_eq!(code, expected, "{bytes:?}: {reason}");
        assert!(!reason.is_empty());
    }
    becomes("all have ended", 0, || gateway.gateway.connections()).await;
    assert_eq!(gateway.closed(CloseReason::Client), 7);
    assert_eq!(gateway.closed(CloseReason::NotText), 2);
    assert_eq!(gateway.closed(CloseReason::Protocol), count - 9);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pings_are_answered_between_fragments() {
    let gateway = TestGateway::start(Config::default()).await;
    let mut socket = gateway.websocket().await;
    let message = br#"421["echo","in pieces"]"#;
    socket.write(&frame(TEXT, false, &message[..9])).await;
    socket.write(&frame(PING, true, b"one")).await;
    assert_eq!(socket.next().await, Incoming::Pong(b"one".into()));
    socket.write(&frame(CONTINUE, false, &message[9..12])).await;
    socket.write(&frame(PING, true, &[7; 125])).await;
    assert_eq!(socket.next().await, Incoming::Pong(vec![7; 125]));
    socket.write(&frame(CONTINUE, true, &message[12..])).await;
    assert_eq!(socket.text().await, r#"431["in pieces"]"#);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_frame_is_waited_for_only_as_long_as_a_pong() {
    let gateway = TestGateway::start(Config {
        ping_interval: Duration::from_millis(100),
        ping_timeout: Duration::from_millis(100),
        ..Config::default()
    })
    .await;
    let mut socket = gateway.websocket().await;
    let whole = text(r#"42["echo",1]"#);
    socket.write(&whole[..whole.len() - 1]).await;
    assert_eq!(socket.closed().await.0, 1008);
    becomes("the connection ends", 1, || {
        gateway.closed(CloseReason::PingTimeout)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_vanishes_in_a_frame_leaves_nothing() {
    let gateway = TestGateway::start(Config::default()).await;
    for length in [1, 3, 10] {
        let mut socket = gateway.websocket().await;
        socket.write(&text(r#"42["echo",1]"#)[..length]).await;
    }
    becomes("all have ended", 0, || gateway.gateway.connections()).await;
    assert_eq!(gateway.closed(CloseReason::TransportError), 3);
    assert_eq!(gateway.rooms.ended.lock().len(), 3);
}
