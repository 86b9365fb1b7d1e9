//! WebSocket messages from bytes that arrive in any pieces.
//!
//! The decoder is given whatever a read brought and hands out whole messages. It keeps bytes only while a frame or a
//! fragmented message is incomplete, never more than one message of `max_message` bytes and one read beside it; an
//! idle connection keeps nothing. Frame headers are parsed by tungstenite; its collectors for masks, fragments and
//! UTF-8 are private, so these three are here, held against it by the property tests below.

use std::io::Cursor;

use bytes::{Buf, Bytes, BytesMut};
use engineioxide_core::Str;
use tungstenite::protocol::frame::{
    FrameHeader,
    coding::{Control, Data, OpCode},
};

/// A message or control frame of the peer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Message {
    Text(Str),
    Binary(Bytes),
    Ping(Bytes),
    Pong,
    /// The peer's close code, if it sent one.
    Close(Option<u16>),
}

/// Why a byte stream isn't acceptable WebSocket. Each ends the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DecodeError {
    #[error("message too large")]
    TooLarge,
    #[error("text is not UTF-8")]
    InvalidUtf8,
    #[error("invalid frame")]
    Protocol,
}

/// Whether the sink wants more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    Continue,
    /// Keep the rest: the sink is busy with this message.
    Pause,
}

/// The largest payload of a control frame (RFC 6455, 5.5).
const MAX_CONTROL: u64 = 125;

#[derive(Default)]
pub(crate) struct Decoder {
    /// Bytes of frames that are not complete yet, or that came after a pause.
    pending: BytesMut,
    /// The fragments so far of a message sent in pieces.
    fragments: Option<Box<Fragments>>,
    /// The sink wanted no more; what is pending may be whole.
    paused: bool,
}

struct Fragments {
    text: bool,
    payload: Vec<u8>,
}

impl Decoder {
    /// A decoder that has been given `received` already, but no sink.
    pub(crate) fn holding(received: &[u8]) -> Self {
        Self {
            pending: received.into(),
            fragments: None,
            paused: false,
        }
    }

    /// Whether the sink paused, so that there may be more to decode without more input.
    pub(crate) fn is_paused(&self) -> bool {
        self.paused
    }

    /// Bytes that it keeps.
    pub(crate) fn held(&self) -> usize {
        let fragments = self.fragments.as_ref();
        self.pending.len() + fragments.map_or(0, |fragments| fragments.payload.len())
    }

    /// Decodes `input` (unmasking it in place) after what is pending and gives each message to `sink` until that
    /// pauses; what is left over is kept.
    pub(crate) fn feed(
        &mut self,
        input: &mut [u8],
        max_message: usize,
        mut sink: impl FnMut(Message) -> Flow,
    ) -> Result<(), DecodeError> {
        self.paused = false;
        let paused = &mut self.paused;
        let mut sink = |message| {
            let flow = sink(message);
            *paused = flow == Flow::Pause;
            flow
        };
        if self.pending.is_empty() {
            let consumed = Self::frames(&mut self.fragments, input, max_message, &mut sink)?;
            self.pending.extend_from_slice(&input[consumed..]);
            return Ok(());
        }
        self.pending.extend_from_slice(input);
        let consumed = Self::frames(
            &mut self.fragments,
            &mut self.pending,
            max_message,
            &mut sink,
        )?;
        self.pending.advance(consumed);
        if self.pending.is_empty() {
            self.pending = BytesMut::new();
        }
        Ok(())
    }

    /// Takes whole frames off the front of `bytes`; returns how many bytes they had.
    fn frames(
        fragments: &mut Option<Box<Fragments>>,
        bytes: &mut [u8],
        max_message: usize,
        sink: &mut impl FnMut(Message) -> Flow,
    ) -> Result<usize, DecodeError> {
        let mut consumed = 0;
        while consumed < bytes.len() {
            let rest = &mut bytes[consumed..];
            let mut cursor = Cursor::new(&*rest);
            let Some((header, length)) =
                FrameHeader::parse(&mut cursor).map_err(|_| DecodeError::Protocol)?
            else {
                break;
            };
            let start = cursor.position() as usize;
            check(&header, length)?;
            // Before any of the payload is kept: the limit holds for what the peer announces.
            let collected = match header.opcode {
                OpCode::Data(Data::Continue) => fragments.as_ref().map_or(0, |f| f.payload.len()),
                _ => 0,
            };
            if length > max_message.saturating_sub(collected) as u64 {
                return Err(DecodeError::TooLarge);
            }
            let end = start + length as usize;
            if rest.len() < end {
                break;
            }
            let payload = &mut rest[start..end];
            if let Some(mask) = header.mask {
                apply_mask(payload, mask);
            }
            consumed += end;
            if let Some(message) = assemble(fragments, &header, payload)?
                && sink(message) == Flow::Pause
            {
                break;
            }
        }
        Ok(consumed)
    }
}

fn check(header: &FrameHeader, length: u64) -> Result<(), DecodeError> {
    // No extension is ever negotiated, and a client must mask (RFC 6455, 5.1 and 5.2).
    if header.rsv1 || header.rsv2 || header.rsv3 || header.mask.is_none() {
        return Err(DecodeError::Protocol);
    }
    if matches!(header.opcode, OpCode::Control(_)) && (!header.is_final || length > MAX_CONTROL) {
        return Err(DecodeError::Protocol);
    }
    Ok(())
}

fn assemble(
    fragments: &mut Option<Box<Fragments>>,
    header: &FrameHeader,
    payload: &[u8],
) -> Result<Option<Message>, DecodeError> {
    let message = match header.opcode {
        OpCode::Control(Control::Ping) => Message::Ping(Bytes::copy_from_slice(payload)),
        OpCode::Control(Control::Pong) => Message::Pong,
        OpCode::Control(Control::Close) => Message::Close(close_code(payload)?),
        OpCode::Data(Data::Continue) => {
            let Some(begun) = fragments.as_mut() else {
                return Err(DecodeError::Protocol);
            };
            begun.payload.extend_from_slice(payload);
            if !header.is_final {
                return Ok(None);
            }
            match fragments.take() {
                Some(whole) => message(whole.text, whole.payload)?,
                None => return Ok(None),
            }
        }
        OpCode::Data(kind @ (Data::Text | Data::Binary)) => {
            if fragments.is_some() {
                return Err(DecodeError::Protocol);
            }
            let text = kind == Data::Text;
            if !header.is_final {
                *fragments = Some(Box::new(Fragments {
                    text,
                    payload: payload.to_vec(),
                }));
                return Ok(None);
            }
            message(text, payload.to_vec())?
        }
        OpCode::Control(Control::Reserved(_)) | OpCode::Data(Data::Reserved(_)) => {
            return Err(DecodeError::Protocol);
        }
    };
    Ok(Some(message))
}

fn message(text: bool, payload: Vec<u8>) -> Result<Message, DecodeError> {
    if !text {
        return Ok(Message::Binary(payload.into()));
    }
    let text = String::from_utf8(payload).map_err(|_| DecodeError::InvalidUtf8)?;
    Ok(Message::Text(text.into()))
}

fn close_code(payload: &[u8]) -> Result<Option<u16>, DecodeError> {
    match payload {
        [] => Ok(None),
        [_] => Err(DecodeError::Protocol),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            if !may_be_sent(code) {
                return Err(DecodeError::Protocol);
            }
            std::str::from_utf8(reason).map_err(|_| DecodeError::InvalidUtf8)?;
            Ok(Some(code))
        }
    }
}

/// Close codes of RFC 6455, 7.4, and its registry but those that stand for the lack of one, and the free ones.
fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// Eight bytes at a time; the compiler turns it into vector instructions.
fn apply_mask(payload: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (chunks, rest) = payload.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

#[cfg(test)]
mod tests;
