//! Handling of clients' packets: those of Engine.IO, and those of Socket.IO in its messages.
//!
//! A packet that can't be framed ends the connection, as with the official server. What is in a packet costs its sender
//! no more than an answer: an event or an answer that can't be read is the application's to refuse. A valid packet for a
//! namespace that isn't connected (any more) is ignored, since the client may not know yet that it was disconnected.

use std::sync::Arc;

use bytes::Bytes;
use engineioxide_core::{Packet as EnginePacket, ProtocolVersion, Str};
use serde_json::json;
use socketioxide_core::{
    Value,
    packet::{Packet, PacketData},
    parser::{Parse, ParseConfig, ParseError, ParserState},
};
use socketioxide_parser_common::CommonParser;

use crate::{
    ack::Ack,
    close::CloseReason,
    connection::{Admission, Connection},
    context::Endpoint,
    engine::EngineSocket,
    event::Event,
    frame::Frame,
    handler::{ConnectRequest, Handled, Handler, Refusal},
    reply::Reply,
    socket::Socket,
};

/// Attachments of one packet; the official parser allows 10 unless told otherwise. The parser's work grows with their
/// square.
const MAX_ATTACHMENTS: usize = 1_000;

impl Connection {
    /// Handles a text packet of Engine.IO, its type included.
    pub(crate) fn receive_text(self: &Arc<Self>, text: Str) -> Handled {
        match EnginePacket::parse(ProtocolVersion::V4, text) {
            Ok(packet) => self.receive(packet),
            Err(_) => self.violated(),
        }
    }

    /// Handles a packet of Engine.IO.
    pub(crate) fn receive(self: &Arc<Self>, packet: EnginePacket) -> Handled {
        match packet {
            EnginePacket::Message(message) => self.receive_message(message),
            EnginePacket::Binary(message) => self.receive_binary(message),
            EnginePacket::Pong => {
                self.heartbeat.pong(self.context().clock.now_millis());
                None
            }
            EnginePacket::Close => {
                self.close(CloseReason::Client);
                None
            }
            EnginePacket::Noop => None,
            // The server pings, and an upgrade has a connection of its own.
            _ => self.violated(),
        }
    }

    fn violated(self: &Arc<Self>) -> Handled {
        self.close(CloseReason::Protocol);
        None
    }

    fn receive_message(self: &Arc<Self>, message: Str) -> Handled {
        match &self.context().endpoint {
            Endpoint::EngineIo(handler) => {
                handler.text(&EngineSocket(self.clone()), &message);
                None
            }
            Endpoint::SocketIo(_) => {
                // A state is needed from a packet with attachments until its last one.
                let state = self.take_partial().unwrap_or_default();
                let parsed = CommonParser.decode_str(&self.parse_config(), &state, message);
                self.parsed(parsed, state)
            }
        }
    }

    pub(crate) fn receive_binary(self: &Arc<Self>, message: Bytes) -> Handled {
        match &self.context().endpoint {
            Endpoint::EngineIo(handler) => {
                handler.binary(&EngineSocket(self.clone()), &message);
                None
            }
            Endpoint::SocketIo(_) => {
                let Some(state) = self.take_partial() else {
                    return self.violated();
                };
                let parsed = CommonParser.decode_bin(&self.parse_config(), &state, message);
                self.parsed(parsed, state)
            }
        }
    }

    fn parse_config(&self) -> ParseConfig {
        let config = &self.context().config;
        ParseConfig {
            max_incoming_binary_buf_size: self.max_message(),
            max_incoming_binaries: MAX_ATTACHMENTS,
            packet_completion_timeout: config.silence(),
        }
    }

    fn parsed(
        self: &Arc<Self>,
        parsed: Result<Packet, ParseError>,
        state: Box<ParserState>,
    ) -> Handled {
        match parsed {
            Ok(packet) => self.receive_packet(packet),
            Err(ParseError::NeedsMoreBinaryData) => {
                self.keep_partial(state);
                None
            }
            Err(ParseError::AttachmentsTooHeavy { .. } | ParseError::TooManyAttachments { .. }) => {
                self.close(CloseReason::TooLarge);
                None
            }
            Err(_) => self.violated(),
        }
    }

    fn receive_packet(self: &Arc<Self>, packet: Packet) -> Handled {
        // The official server takes what follows "?" for a query of the namespace.
        let namespace = match packet.ns.find('?') {
            Some(query) => packet.ns.slice(..query),
            None => packet.ns,
        };
        match packet.inner {
            PacketData::Connect(auth) => self.connect_namespace(namespace, auth),
            PacketData::Disconnect => {
                if let Some(key) = self.find_namespace(&namespace) {
                    self.end_namespace(key, CloseReason::Client);
                }
                None
            }
            PacketData::Event(data, ack) | PacketData::BinaryEvent(data, ack) => {
                self.receive_event(&namespace, data, ack)
            }
            PacketData::EventAck(data, id) | PacketData::BinaryAck(data, id) => {
                if let Some(waiting) = self.take_request(id) {
                    // Nobody waits any more if the request timed out just now.
                    drop(waiting.send(Reply { data }));
                }
                None
            }
            PacketData::ConnectError(_) => self.violated(),
        }
    }

    fn connect_namespace(self: &Arc<Self>, namespace: Str, auth: Option<Value>) -> Handled {
        let Endpoint::SocketIo(handler) = &self.context().endpoint else {
            return None;
        };
        // The application may have to look hard at who asks.
        if self.admit(self.context().clock.now_micros()) == Admission::Abuse {
            self.close(CloseReason::Flood);
            return None;
        }
        let auth = match auth {
            None => None,
            Some(Value::Str(text, _)) if text.starts_with('{') => Some(text),
            Some(_) => return self.violated(),
        };
        if self.find_namespace(&namespace).is_some() {
            return self.violated();
        }
        if self.namespace_count() >= self.context().config.max_namespaces {
            let error = json!({ "message": "too many namespaces on this connection" });
            self.send(&Frame::connect_error(&namespace, &error));
            return None;
        }
        let request = ConnectRequest {
            namespace: namespace.to_string(),
            address: self.address(),
            auth,
        };
        Some(Box::pin(self.clone().connect_to(
            namespace,
            handler.clone(),
            request,
        )))
    }

    async fn connect_to(
        self: Arc<Self>,
        namespace: Str,
        handler: Arc<dyn Handler>,
        request: ConnectRequest,
    ) {
        match handler.connect(request).await {
            Ok(session) => {
                let Some((socket, sid)) = self.add_namespace(&namespace, session.clone()) else {
                    self.close(CloseReason::TryLater);
                    return;
                };
                self.send(&Frame::connect(&namespace, sid.as_str()));
                if let Some(rest) = session.connected(socket) {
                    rest.await;
                }
            }
            Err(Refusal::Final { message, data }) => {
                let mut error = json!({ "message": message });
                if let Some(data) = data {
                    error["data"] = data;
                }
                self.send(&Frame::connect_error(&namespace, &error));
            }
            Err(Refusal::TryLater) => self.close(CloseReason::TryLater),
        }
    }

    fn receive_event(self: &Arc<Self>, namespace: &str, data: Value, ack: Option<i64>) -> Handled {
        self.context().stats().event();
        let now = self.context().clock.now_micros();
        let admission = self.admit(now);
        if admission == Admission::Abuse {
            self.close(CloseReason::Flood);
            return None;
        }
        let key = self.find_namespace(namespace)?;
        let socket = Socket::new(self.clone(), key);
        let ack = Ack::new(socket.clone(), ack, size(&data), now);
        let session = self.session(key)?;
        let event = match Event::new(data, ack) {
            Ok(event) => event,
            Err(ack) => {
                self.context().stats().event_unreadable();
                session.unreadable(ack);
                return None;
            }
        };
        if admission == Admission::Refused {
            self.context().stats().event_overloaded();
            session.overloaded(event);
            return None;
        }
        session.event(socket, event)
    }
}

/// Bytes of an event, attachments included.
fn size(data: &Value) -> usize {
    match data {
        Value::Str(text, attachments) => {
            let attachments = attachments.iter().flatten().map(Bytes::len);
            text.len() + attachments.sum::<usize>()
        }
        Value::Bytes(bytes) => bytes.len(),
    }
}
