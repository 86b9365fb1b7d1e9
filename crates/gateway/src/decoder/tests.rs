//! Whatever way the bytes are cut, the messages are the same, and the same as tungstenite finds in them.

use std::io::{self, Read, Write};

use proptest::prelude::*;
use tungstenite::protocol::{Role, WebSocket, WebSocketConfig};

use super::*;

const MAX: usize = 1_000;

/// A frame as a client writes it.
fn frame(first: u8, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let bit = if mask.is_some() { 0x80 } else { 0 };
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..=125 => bytes.push(bit | length as u8),
        length @ 126..=0xffff => {
            bytes.push(bit | 126);
            bytes.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            bytes.push(bit | 127);
            bytes.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    let mask_bytes = mask.unwrap_or_default();
    bytes.extend_from_slice(mask.as_ref().map_or(&[], |m| &m[..]));
    bytes.extend(
        payload
            .iter()
            .zip(mask_bytes.iter().cycle())
            .map(|(b, m)| b ^ m),
    );
    bytes
}

fn client(first: u8, payload: &[u8]) -> Vec<u8> {
    frame(first, payload, Some([0x12, 0x34, 0x56, 0x78]))
}

/// Decodes `bytes` cut at `cuts`, pausing after every message if told so.
fn decode(bytes: &[u8], cuts: &[usize], pausing: bool) -> (Vec<Message>, Result<(), DecodeError>) {
    let mut decoder = Decoder::default();
    let mut messages = Vec::new();
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    for piece in cuts.windows(2) {
        let mut piece = bytes[piece[0]..piece[1]].to_vec();
        loop {
            let before = messages.len();
            let fed = decoder.feed(&mut piece, MAX, |message| {
                messages.push(message);
                if pausing { Flow::Pause } else { Flow::Continue }
            });
            if let Err(error) = fed {
                return (messages, Err(error));
            }
            if !pausing || messages.len() == before {
                break;
            }
            piece.clear();
        }
    }
    assert!(decoder.pending.len() <= bytes.len());
    (messages, Ok(()))
}

#[derive(Debug, PartialEq)]
enum Violation {
    Utf8,
    Other,
}

/// The same bytes through tungstenite's own server side.
fn reference(bytes: &[u8]) -> (Vec<Message>, Result<(), Violation>) {
    struct Stream<'a>(&'a [u8]);
    impl Read for Stream<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.0.read(buffer)
        }
    }
    impl Write for Stream<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let config = WebSocketConfig::default()
        .max_message_size(Some(MAX))
        .max_frame_size(Some(MAX));
    let mut socket = WebSocket::from_raw_socket(Stream(bytes), Role::Server, Some(config));
    let mut messages = Vec::new();
    loop {
        let message = match socket.read() {
            Ok(tungstenite::Message::Text(text)) => Message::Text(text.to_string().into()),
            Ok(tungstenite::Message::Binary(bytes)) => Message::Binary(bytes),
            Ok(tungstenite::Message::Ping(bytes)) => Message::Ping(bytes),
            Ok(tungstenite::Message::Pong(_)) => Message::Pong,
            Ok(tungstenite::Message::Close(close)) => {
                messages.push(Message::Close(close.map(|c| c.code.into())));
                return (messages, Ok(()));
            }
            Ok(tungstenite::Message::Frame(_)) => continue,
            Err(tungstenite::Error::Io(e)) if e.kind() == io::ErrorKind::WouldBlock => {
                return (messages, Ok(()));
            }
            Err(tungstenite::Error::Utf8(_)) => return (messages, Err(Violation::Utf8)),
            Err(_) => return (messages, Err(Violation::Other)),
        };
        messages.push(message);
    }
}

/// A valid message: fragments of text or binary with control frames between them, or a control frame alone.
fn valid_message() -> impl Strategy<Value = Vec<u8>> {
    let control = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..=125).prop_map(|p| client(0x89, &p)),
        prop::collection::vec(any::<u8>(), 0..=125).prop_map(|p| client(0x8a, &p)),
    ];
    let payload = prop_oneof![
        "\\PC{0,300}".prop_map(|text| (0x01, text.into_bytes())),
        prop::collection::vec(any::<u8>(), 0..900).prop_map(|bytes| (0x02, bytes)),
    ];
    let data = (
        payload,
        prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        prop::collection::vec(prop::option::of(control.clone()), 5),
        any::<[u8; 4]>(),
    )
        .prop_map(|((opcode, payload), cuts, controls, mask)| {
            let mut cuts: Vec<usize> = cuts.iter().map(|c| c.index(payload.len() + 1)).collect();
            cuts.extend([0, payload.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|w| &payload[w[0]..w[1]]).collect();
            let mut bytes = Vec::new();
            for (index, piece) in pieces.iter().enumerate() {
                let last = if index + 1 == pieces.len() { 0x80 } else { 0 };
                let opcode = if index == 0 { opcode } else { 0 };
                bytes.extend(frame(last | opcode, piece, Some(mask)));
                if last == 0
                    && let Some(Some(control)) = controls.get(index)
                {
                    bytes.extend(control);
                }
            }
            bytes
        });
    prop_oneof![3 => data, 1 => control]
}

proptest! {
    #[test]
    fn valid_messages_survive_any_cut(
        messages in prop::collection::vec(valid_message(), 1..6),
        cuts in prop::collection::vec(any::<usize>(), 0..12),
        pausing: bool,
    ) {
        let bytes = messages.concat();
        let (found, ended) = decode(&bytes, &cuts, pausing);
        let (expected, reference_ended) = reference(&bytes);
        prop_assert_eq!(ended, Ok(()));
        prop_assert_eq!(reference_ended, Ok(()));
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn any_bytes_end_as_with_the_reference(
        bytes in prop::collection::vec(prop_oneof![
            valid_message(),
            prop::collection::vec(any::<u8>(), 0..40),
            (any::<u8>(), prop::collection::vec(any::<u8>(), 0..140), prop::option::of(any::<[u8; 4]>()))
                .prop_map(|(first, payload, mask)| frame(first, &payload, mask)),
        ], 1..5),
        cuts in prop::collection::vec(any::<usize>(), 0..12),
    ) {
        let bytes = bytes.concat();
        let (mut found, ended) = decode(&bytes, &cuts, false);
        let (expected, reference_ended) = reference(&bytes);
        // The connection ends with a close frame; what follows it is nobody's business.
        let close = found.iter().position(|m| matches!(m, Message::Close(_)));
        if let Some(position) = close {
            found.truncate(position + 1);
        }
        if ended.is_ok() && reference_ended.is_ok() {
            prop_assert_eq!(found, expected);
        } else {
            // This side refuses a bad header at once, the reference when the frame is complete; the reference finds
            // invalid UTF-8 at once, this side when the message is complete. Nothing else may pass here.
            prop_assert!(found.starts_with(&expected) || expected.starts_with(&found));
            prop_assert!(reference_ended != Err(Violation::Other) || ended.is_err() || close.is_some());
        }
    }
}

#[test]
fn an_idle_decoder_keeps_nothing() {
    let bytes = client(0x81, b"hello");
    let mut decoder = Decoder::default();
    for cut in 0..bytes.len() {
        let mut count = 0;
        for piece in [&bytes[..cut], &bytes[cut..]] {
            let mut piece = piece.to_vec();
            decoder
                .feed(&mut piece, MAX, |_| {
                    count += 1;
                    Flow::Continue
                })
                .unwrap();
        }
        assert_eq!(count, 1);
        assert_eq!(
            (decoder.pending.capacity(), decoder.fragments.is_none()),
            (0, true)
        );
    }
}

#[test]
fn violations_are_named() {
    let too_large = [client(0x01, &[b'a'; 600]), client(0x80, &[b'a'; 401])].concat();
    for (bytes, error) in [
        (frame(0x81, b"unmasked", None), DecodeError::Protocol),
        (client(0xc1, b"reserved bit"), DecodeError::Protocol),
        (client(0x83, b"reserved opcode"), DecodeError::Protocol),
        (client(0x80, b"continues nothing"), DecodeError::Protocol),
        (client(0x09, b"fragmented ping"), DecodeError::Protocol),
        (client(0x89, &[0; 126]), DecodeError::Protocol),
        (client(0x88, &[1]), DecodeError::Protocol),
        (
            [client(0x01, b"a"), client(0x81, b"b")].concat(),
            DecodeError::Protocol,
        ),
        (client(0x81, &[0xff]), DecodeError::InvalidUtf8),
        (client(0x88, &[3, 232, 0xff]), DecodeError::InvalidUtf8),
        (client(0x82, &[0; MAX + 1]), DecodeError::TooLarge),
        (too_large, DecodeError::TooLarge),
    ] {
        assert_eq!(decode(&bytes, &[], false).1, Err(error));
    }
}

#[test]
fn the_announced_length_is_enough_to_refuse() {
    let mut header = vec![0x82, 0xff];
    header.extend_from_slice(&u64::MAX.to_be_bytes());
    header.extend_from_slice(&[0; 4]);
    assert_eq!(decode(&header, &[], false).1, Err(DecodeError::TooLarge));
}
