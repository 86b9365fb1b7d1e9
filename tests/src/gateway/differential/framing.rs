//! WebSocket frames, well and badly formed.

use tungstenite::protocol::frame::{
    FrameHeader,
    coding::{Control, Data, OpCode},
};

use super::{
    case::{
        Case,
        Expected::{Closed, Open},
        Way, check,
    },
    mirror::MAX_PAYLOAD,
    script::Step,
};
use crate::client::websocket::{BINARY, CLOSE, CONTINUE, PING, TEXT, frame, with_header};

const GREETING: [&str; 2] = [r#"40{"sid":"…"}"#, r#"42["auth",{}]"#];

/// Frames behind the connection to "/", in one piece.
fn connected(frames: &[Vec<u8>]) -> [Step; 2] {
    [Step::Text("40".into()), Step::Raw(frames.concat())]
}

/// A frame with a header that no client should write.
fn odd(header: FrameHeader) -> Vec<u8> {
    with_header(
        &FrameHeader {
            mask: Some([0; 4]),
            ..header
        },
        0,
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames() {
    let echo = br#"42["echo","abc"]"#;
    const ECHOED: &[&str] = &[GREETING[0], GREETING[1], r#"42["echo","abc"]"#];
    let text = |is_final, bytes: &[u8]| frame(TEXT, is_final, bytes);
    let next = |is_final, bytes: &[u8]| frame(CONTINUE, is_final, bytes);
    let utf8 = "42[\"echo\",\"é\"]".as_bytes();
    let split = utf8.iter().position(|&byte| byte >= 0x80).unwrap() + 1;
    let mut every_byte = vec![text(false, &echo[..1])];
    every_byte.extend(echo[1..].iter().map(|&byte| next(false, &[byte])));
    every_byte.push(next(true, b""));

    let mut cases = vec![
        Case::same(connected(&[text(true, echo)]), Open(ECHOED)),
        Case::same(
            connected(&[text(false, &echo[..5]), next(true, &echo[5..])]),
            Open(ECHOED),
        ),
        Case::same(connected(&every_byte), Open(ECHOED)),
        Case::same(
            connected(&[
                text(false, &echo[..5]),
                frame(PING, true, b"between"),
                next(true, &echo[5..]),
            ]),
            Open(ECHOED),
        ),
        // A character may be cut by a fragment's end.
        Case::same(
            connected(&[text(false, &utf8[..split]), next(true, &utf8[split..])]),
            Open(&[GREETING[0], GREETING[1], r#"42["echo","é"]"#]),
        ),
        Case::same(
            connected(&[
                frame(OpCode::Control(Control::Pong), true, b"unasked"),
                text(true, echo),
            ]),
            Open(ECHOED),
        ),
        Case::same(
            connected(&[frame(CLOSE, true, &[]), text(true, echo)]),
            Closed(&GREETING),
        ),
        Case::same(
            connected(&[frame(CLOSE, true, b"\x03\xe8bye"), text(true, echo)]),
            Closed(&GREETING),
        ),
    ];
    let unmasked = {
        let header = FrameHeader {
            opcode: TEXT,
            ..FrameHeader::default()
        };
        [with_header(&header, echo.len()), echo.to_vec()].concat()
    };
    for bad in [
        vec![unmasked],
        vec![next(true, echo)],
        vec![text(false, &echo[..5]), text(true, &echo[5..])],
        vec![text(false, &echo[..5]), frame(BINARY, true, b"x")],
        vec![text(true, b"42[\"echo\",\"\xff\"]")],
        vec![text(true, &utf8[..split])],
        vec![frame(PING, false, b"")],
        vec![frame(PING, true, &[0; 126])],
        vec![frame(CLOSE, true, &[3])],
        vec![frame(CLOSE, true, b"\x03\xe8\xff")],
        vec![odd(FrameHeader {
            rsv1: true,
            ..FrameHeader::default()
        })],
        vec![odd(FrameHeader {
            rsv3: true,
            ..FrameHeader::default()
        })],
        vec![odd(FrameHeader {
            opcode: OpCode::Data(Data::Reserved(3)),
            ..FrameHeader::default()
        })],
        vec![odd(FrameHeader {
            opcode: OpCode::Control(Control::Reserved(11)),
            ..FrameHeader::default()
        })],
        vec![text(true, &[b'4'; MAX_PAYLOAD + 1])],
        vec![text(false, &[b'4'; MAX_PAYLOAD]), next(true, b"4")],
        vec![frame(BINARY, true, &[0; MAX_PAYLOAD + 1])],
    ] {
        cases.push(Case::same(connected(&bad), Closed(&GREETING)));
    }
    check(
        cases
            .into_iter()
            .map(|case| case.over(Way::WebSocket))
            .collect(),
    )
    .await;
}
