//! Ready-to-write events.
//!
//! An event for a thousand recipients is serialised once. The bytes hold complete WebSocket frames, so a socket
//! needs no more than a `writev` of them; a polling recipient takes the same payloads without the frame headers.

use std::{collections::VecDeque, fmt, ops::Range, sync::Arc};

use bytes::Bytes;
use serde::Serialize;
use smallvec::SmallVec;
use socketioxide_core::{Str, Value, packet::Packet, parser::Parse};
use socketioxide_parser_common::CommonParser;
use tungstenite::protocol::frame::{
    FrameHeader,
    coding::{Control, Data, OpCode},
};

use crate::{close::CloseReason, event_text};

/// A payload that can't be serialised as JSON.
#[derive(Debug, thiserror::Error)]
#[error("payload can't be encoded: {0}")]
pub struct EncodeError(String);

impl From<serde_json::Error> for EncodeError {
    fn from(error: serde_json::Error) -> Self {
        Self(error.to_string())
    }
}

/// One event (or one answer) in its final bytes, shared by all that receive it.
///
/// Cloning copies a pointer. An event with `n` binary attachments consists of `1 + n` WebSocket frames that are
/// always queued and written together.
#[derive(Clone)]
pub struct Frame(Arc<Encoded>);

#[derive(Clone)]
struct Encoded {
    /// WebSocket frames, headers included, one after the other.
    wire: Vec<u8>,
    packets: SmallVec<[EnginePacket; 1]>,
    volatile: bool,
}

/// One Engine.IO packet inside `wire`.
#[derive(Clone)]
struct EnginePacket {
    payload: Range<usize>,
    binary: bool,
}

impl Frame {
    /// Encodes `payload` as event `name` of `namespace`. A tuple becomes several arguments; byte buffers that
    /// serialise as bytes become binary attachments.
    ///
    /// # Errors
    /// If `payload` doesn't serialise (a map with keys that aren't strings, for example).
    pub fn event<T: Serialize + ?Sized>(
        namespace: &str,
        name: &str,
        payload: &T,
    ) -> Result<Self, EncodeError> {
        Ok(Self::packet(event_packet(namespace, name, payload)?))
    }

    /// An event whose arguments are JSON already: `arguments` is the text between the brackets after the name,
    /// without a leading comma, or empty. Placeholders in it refer to `attachments` by index.
    pub fn event_from_json(
        namespace: &str,
        name: &str,
        arguments: &str,
        attachments: Vec<Bytes>,
    ) -> Self {
        let mut data = String::with_capacity(name.len() + arguments.len() + 5);
        data.push('[');
        // Writing a `str` as JSON into a `String` can't fail; Value's Display is infallible.
        data.push_str(&serde_json::Value::from(name).to_string());
        if !arguments.is_empty() {
            data.push(',');
            data.push_str(arguments);
        }
        data.push(']');
        Self::packet(Packet::event(
            owned(namespace),
            value_from_json(data, attachments),
        ))
    }

    /// Marks an event that may be dropped first when a recipient falls behind (typing, presence).
    pub fn volatile(mut self) -> Self {
        Arc::make_mut(&mut self.0).volatile = true;
        self
    }

    /// The arguments of an event as JSON text, as they stand in the frame: mostly one. `None` for an event without
    /// arguments and for frames that aren't events.
    pub fn arguments(&self) -> Option<&str> {
        let text =
            std::str::from_utf8(&self.0.wire[self.0.packets.first()?.payload.clone()]).ok()?;
        // Types and the number of attachments, a namespace that isn't "/" up to its comma, an ack's id, the arguments.
        let rest = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '-');
        let rest = match rest.starts_with('/') {
            true => rest.split_once(',')?.1,
            false => rest,
        };
        let arguments = event_text::arguments(&rest[rest.find('[')?..])?;
        (!arguments.is_empty()).then_some(arguments)
    }

    pub(crate) fn ack(
        namespace: &str,
        id: i64,
        arguments: String,
        attachments: Vec<Bytes>,
    ) -> Self {
        let data = value_from_json(format!("[{arguments}]"), attachments);
        Self::packet(Packet::ack(owned(namespace), data, id))
    }

    pub(crate) fn request<T: Serialize + ?Sized>(
        namespace: &str,
        name: &str,
        payload: &T,
        id: i64,
    ) -> Result<Self, EncodeError> {
        let mut packet = event_packet(namespace, name, payload)?;
        packet.inner.set_ack_id(id);
        Ok(Self::packet(packet))
    }

    pub(crate) fn connect(namespace: &str, sid: &str) -> Self {
        let data = Value::Str(Str::from(format!("{{\"sid\":\"{sid}\"}}")), None);
        Self::packet(Packet::connect(owned(namespace), Some(data)))
    }

    /// CONNECT_ERROR; the library's encoder knows no `data`, which the official clients show as `err.data`.
    pub(crate) fn connect_error(namespace: &str, error: &serde_json::Value) -> Self {
        let separator = if namespace == "/" { "" } else { "," };
        let shown = if namespace == "/" { "" } else { namespace };
        Self::engine_text(&format!("44{shown}{separator}{error}"))
    }

    pub(crate) fn disconnect(namespace: &str) -> Self {
        Self::packet(Packet::disconnect(owned(namespace)))
    }

    fn packet(packet: Packet) -> Self {
        match CommonParser.encode(packet) {
            Value::Str(text, attachments) => {
                let mut encoder = Encoder::with_capacity(text.len() + 16);
                encoder.text(b'4', text.as_bytes());
                for attachment in attachments.into_iter().flatten() {
                    encoder.binary(&attachment);
                }
                encoder.finish()
            }
            Value::Bytes(bytes) => {
                let mut encoder = Encoder::with_capacity(bytes.len() + 16);
                encoder.binary(&bytes);
                encoder.finish()
            }
        }
    }

    /// An Engine.IO text packet given whole, its type included ("2", "3probe", "4…").
    pub(crate) fn engine_text(packet: &str) -> Self {
        let mut encoder = Encoder::with_capacity(packet.len() + 16);
        encoder.append(OpCode::Data(Data::Text), &[packet.as_bytes()]);
        encoder.finish()
    }

    pub(crate) fn engine_binary(payload: &[u8]) -> Self {
        let mut encoder = Encoder::with_capacity(payload.len() + 16);
        encoder.binary(payload);
        encoder.finish()
    }

    /// A WebSocket control frame; never queued for a polling connection.
    pub(crate) fn control(control: Control, payload: &[u8]) -> Self {
        let mut encoder = Encoder::with_capacity(payload.len() + 16);
        encoder.append(OpCode::Control(control), &[payload]);
        encoder.finish()
    }

    /// The WebSocket close frame that tells the reason.
    pub(crate) fn close(reason: CloseReason) -> Self {
        let mut payload = reason.code().to_be_bytes().to_vec();
        payload.extend_from_slice(reason.as_str().as_bytes());
        Self::control(Control::Close, &payload)
    }

    pub(crate) fn wire(&self) -> &[u8] {
        &self.0.wire
    }

    /// Its bytes on a WebSocket, headers included.
    pub fn size(&self) -> usize {
        self.0.wire.len()
    }

    /// Whether it may be dropped first.
    pub fn is_volatile(&self) -> bool {
        self.0.volatile
    }

    /// Engine.IO packets for a polling payload: payload bytes, and whether they are binary.
    pub(crate) fn packets(&self) -> impl Iterator<Item = (&[u8], bool)> {
        self.0
            .packets
            .iter()
            .map(|p| (&self.0.wire[p.payload.clone()], p.binary))
    }
}

impl fmt::Debug for Frame {
    /// Sizes only: bodies stay out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame({} bytes)", self.size())
    }
}

struct Encoder(Encoded);

impl Encoder {
    fn with_capacity(bytes: usize) -> Self {
        Self(Encoded {
            wire: Vec::with_capacity(bytes),
            packets: SmallVec::new(),
            volatile: false,
        })
    }

    fn text(&mut self, packet_type: u8, payload: &[u8]) {
        self.append(OpCode::Data(Data::Text), &[&[packet_type], payload]);
    }

    fn binary(&mut self, payload: &[u8]) {
        self.append(OpCode::Data(Data::Binary), &[payload]);
    }

    fn append(&mut self, opcode: OpCode, parts: &[&[u8]]) {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let header = FrameHeader {
            is_final: true,
            opcode,
            ..FrameHeader::default()
        };
        let written = header.format(length as u64, &mut self.0.wire);
        debug_assert!(written.is_ok(), "writing to a Vec can't fail");
        let start = self.0.wire.len();
        for part in parts {
            self.0.wire.extend_from_slice(part);
        }
        self.0.packets.push(EnginePacket {
            payload: start..self.0.wire.len(),
            binary: opcode == OpCode::Data(Data::Binary),
        });
    }

    fn finish(mut self) -> Frame {
        self.0.wire.shrink_to_fit();
        Frame(Arc::new(self.0))
    }
}

fn event_packet<T: Serialize + ?Sized>(
    namespace: &str,
    name: &str,
    payload: &T,
) -> Result<Packet, EncodeError> {
    let value = CommonParser
        .encode_value(payload, Some(name))
        .map_err(|e| EncodeError(e.to_string()))?;
    Ok(Packet::event(owned(namespace), value))
}

fn owned(text: &str) -> Str {
    // The packet type owns its namespace; "/" is by far the most frequent one and needs no copy.
    if text == "/" {
        Str::from("/")
    } else {
        Str::copy_from_slice(text)
    }
}

fn value_from_json(data: String, attachments: Vec<Bytes>) -> Value {
    let attachments = (!attachments.is_empty()).then(|| VecDeque::from(attachments));
    Value::Str(Str::from(data), attachments)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(frame: &Frame) -> Vec<String> {
        frame
            .packets()
            .map(|(payload, _)| String::from_utf8_lossy(payload).into_owned())
            .collect()
    }

    #[test]
    fn an_event_is_one_websocket_frame() {
        let frame = Frame::event("/", "message:new", &serde_json::json!({ "body": "hi" })).unwrap();
        assert_eq!(texts(&frame), [r#"42["message:new",{"body":"hi"}]"#]);
        assert_eq!(frame.wire()[0], 0x81);
        assert_eq!(usize::from(frame.wire()[1]), frame.size() - 2);
        assert_eq!(frame.arguments(), Some(r#"{"body":"hi"}"#));
    }

    #[test]
    fn a_namespace_and_a_long_payload() {
        let body = "x".repeat(70_000);
        let frame = Frame::event("/orders", "e", &body).unwrap();
        assert_eq!(texts(&frame), [format!("42/orders,[\"e\",\"{body}\"]")]);
        assert_eq!(frame.wire()[1], 127);
        assert_eq!(frame.arguments(), Some(format!("\"{body}\"").as_str()));
        let frame = Frame::event("/a[b", "e", &1).unwrap();
        assert_eq!(frame.arguments(), Some("1"));
    }

    #[test]
    fn attachments_follow_their_event() {
        let frame = Frame::event_from_json(
            "/",
            "image",
            r#"{"_placeholder":true,"num":0}"#,
            vec![Bytes::from_static(&[1, 2, 3])],
        );
        let packets: Vec<_> = frame.packets().collect();
        assert_eq!(
            packets[0].0,
            br#"451-["image",{"_placeholder":true,"num":0}]"#
        );
        assert_eq!(packets[1], (&[1u8, 2, 3][..], true));
        assert_eq!(frame.wire().len(), packets[0].0.len() + 2 + 3 + 2);
    }

    #[test]
    fn an_event_without_arguments_has_no_arguments() {
        let frame = Frame::event_from_json("/", "e\"x", "", Vec::new());
        assert_eq!(texts(&frame), [r#"42["e\"x"]"#]);
        assert_eq!(frame.arguments(), None);
    }

    #[test]
    fn a_refusal_carries_its_data() {
        let error = serde_json::json!({ "message": "no", "data": { "code": "not_found" } });
        assert_eq!(
            texts(&Frame::connect_error("/x", &error)),
            [format!("44/x,{error}")]
        );
        assert_eq!(
            texts(&Frame::connect_error("/", &error)),
            [format!("44{error}")]
        );
    }

    #[test]
    fn volatile_keeps_the_bytes_of_a_shared_frame() {
        let frame = Frame::event("/", "e", &1).unwrap();
        let kept = frame.clone();
        let volatile = frame.volatile();
        assert!(volatile.is_volatile() && !kept.is_volatile());
        assert_eq!(volatile.wire(), kept.wire());
    }
}
