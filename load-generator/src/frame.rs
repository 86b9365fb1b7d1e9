//! WebSocket frames as both ends of this program need them: whole, unfragmented, without extensions.
//!
//! Nothing here copies or allocates for a frame that is read. The header itself is read and written by tungstenite.

use std::io::Cursor;

use tungstenite::protocol::frame::{
    FrameHeader,
    coding::{Control, Data, OpCode},
};

use crate::error::{Error, Result};

/// The largest frame that is accepted, in bytes; the servers under test never come near it.
const MAX_PAYLOAD: u64 = 4 << 20;

/// One whole frame inside a buffer.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What the frame is.
    pub opcode: OpCode,
    /// The key the payload is masked with; only clients mask.
    pub mask: Option<[u8; 4]>,
    /// The payload as it was sent, still masked if `mask` is set.
    pub payload: &'a [u8],
    /// Bytes of the buffer that the frame took, header included.
    pub length: usize,
}

/// Reads the frame at the start of `bytes`; `None` while it is incomplete.
///
/// # Errors
/// [`Error::Protocol`] on an invalid header, an extension, a fragment, or a payload over 4 MB.
pub fn parse(bytes: &[u8]) -> Result<Option<Frame<'_>>> {
    let mut cursor = Cursor::new(bytes);
    let header = FrameHeader::parse(&mut cursor)
        .map_err(|error| Error::Protocol(format!("invalid frame: {error}")))?;
    let Some((header, payload)) = header else {
        return Ok(None);
    };
    if header.rsv1 || header.rsv2 || header.rsv3 {
        return Err(Error::Protocol(
            "a frame uses an extension that was not agreed".into(),
        ));
    }
    if !header.is_final || header.opcode == OpCode::Data(Data::Continue) {
        return Err(Error::Protocol(
            "a message came in fragments, which is not supported".into(),
        ));
    }
    if payload > MAX_PAYLOAD {
        return Err(Error::Protocol(format!(
            "a frame of {payload} bytes is too large"
        )));
    }
    let start = header.len(payload);
    let end = start + payload as usize;
    Ok(bytes.get(start..end).map(|payload| Frame {
        opcode: header.opcode,
        mask: header.mask,
        payload,
        length: end,
    }))
}

/// A text frame as a client sends it. The mask key is zero, which is valid and leaves the payload as it is, so that
/// masking costs the clients nothing; the server still has to apply it.
pub fn client_text(payload: &[u8]) -> Vec<u8> {
    write(OpCode::Data(Data::Text), Some([0; 4]), payload)
}

/// A pong as a client sends it.
pub fn client_pong(payload: &[u8]) -> Vec<u8> {
    write(OpCode::Control(Control::Pong), Some([0; 4]), payload)
}

/// A text frame as a server sends it.
pub fn server_text(payload: &[u8]) -> Vec<u8> {
    write(OpCode::Data(Data::Text), None, payload)
}

/// A pong as a server sends it.
pub fn server_pong(payload: &[u8]) -> Vec<u8> {
    write(OpCode::Control(Control::Pong), None, payload)
}

fn write(opcode: OpCode, mask: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
    let header = FrameHeader {
        opcode,
        mask,
        ..FrameHeader::default()
    };
    let length = payload.len() as u64;
    let mut frame = Vec::with_capacity(header.len(length) + payload.len());
    #[expect(clippy::expect_used, reason = "writing into a Vec cannot fail")]
    header
        .format(length, &mut frame)
        .expect("a Vec takes every write");
    frame.extend_from_slice(payload);
    frame
}

/// Removes (or applies) a mask.
pub fn unmask(payload: &mut [u8], key: [u8; 4]) {
    for (byte, key) in payload.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads all frames of `stream` as they come out when it arrives in pieces that end at `cuts`.
    fn read_in_pieces(stream: &[u8], piece: usize) -> Vec<Vec<u8>> {
        let mut buffer = Vec::new();
        let mut payloads = Vec::new();
        for bytes in stream.chunks(piece) {
            buffer.extend_from_slice(bytes);
            while let Some(frame) = parse(&buffer).unwrap() {
                payloads.push(frame.payload.to_vec());
                let length = frame.length;
                buffer.drain(..length);
            }
        }
        assert!(buffer.is_empty(), "{} bytes left over", buffer.len());
        payloads
    }

    #[test]
    fn frames_come_out_the_same_however_the_stream_is_cut() {
        let payloads: Vec<Vec<u8>> = [0, 1, 125, 126, 127, 65_535, 65_536]
            .iter()
            .map(|&length| vec![b'x'; length])
            .collect();
        let stream: Vec<u8> = payloads
            .iter()
            .flat_map(|payload| server_text(payload))
            .collect();
        for piece in [1, 2, 3, 7, 100, 4096, stream.len()] {
            assert_eq!(
                read_in_pieces(&stream, piece),
                payloads,
                "pieces of {piece}"
            );
        }
    }

    #[test]
    fn a_client_frame_is_masked_with_a_key_that_changes_nothing() {
        let bytes = client_text(b"42[\"publish\"]");
        let frame = parse(&bytes).unwrap().unwrap();
        assert_eq!(frame.mask, Some([0; 4]));
        assert_eq!(frame.payload, b"42[\"publish\"]");
        assert_eq!(frame.length, bytes.len());
        assert_eq!(bytes[1] & 0x80, 0x80, "the mask bit is set");
    }

    #[test]
    fn unmasking_is_the_inverse_of_masking() {
        let mut payload = b"hello there".to_vec();
        unmask(&mut payload, [1, 2, 3, 4]);
        assert_ne!(payload, b"hello there");
        unmask(&mut payload, [1, 2, 3, 4]);
        assert_eq!(payload, b"hello there");
    }

    #[test]
    fn fragments_extensions_and_oversized_frames_are_refused() {
        let fragment = [0x01, 0x01, b'a'];
        let continuation = [0x80, 0x01, b'a'];
        let compressed = [0xC1, 0x01, b'a'];
        let reserved_opcode = [0x83, 0x01, b'a'];
        let oversized = [0x81, 0x7F, 0, 0, 0, 1, 0, 0, 0, 0];
        for bytes in [
            &fragment[..],
            &continuation,
            &compressed,
            &reserved_opcode,
            &oversized,
        ] {
            assert!(matches!(parse(bytes), Err(Error::Protocol(_))), "{bytes:?}");
        }
    }
}
