//! A WebSocket client that can do everything wrong: frames are written as the caller says, in any pieces.

use std::{io, net::SocketAddr};

use bytes::{Buf, BytesMut};
use http::StatusCode;
use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tungstenite::protocol::frame::{
    FrameHeader,
    coding::{Control, Data, OpCode},
};

use crate::deadline::within;

/// The sample of RFC 6455, 1.3, and what a server has to make of it.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// Any mask will do.
const MASK: [u8; 4] = [0x1d, 0xf0, 0x42, 0x99];

/// What a server sent.
#[derive(Debug, Clone, PartialEq)]
pub enum Incoming {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    /// A close frame, with its code and reason.
    Close(u16, String),
    /// The end of the stream, or its reset.
    End,
}

pub const TEXT: OpCode = OpCode::Data(Data::Text);
pub const BINARY: OpCode = OpCode::Data(Data::Binary);
pub const CONTINUE: OpCode = OpCode::Data(Data::Continue);
pub const PING: OpCode = OpCode::Control(Control::Ping);
pub const CLOSE: OpCode = OpCode::Control(Control::Close);

/// A masked frame as a client sends it.
pub fn frame(opcode: OpCode, is_final: bool, payload: &[u8]) -> Vec<u8> {
    let header = FrameHeader {
        is_final,
        opcode,
        mask: Some(MASK),
        ..FrameHeader::default()
    };
    let mut bytes = with_header(&header, payload.len());
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(b, m)| b ^ m));
    bytes
}

/// A header alone, announcing a payload of `length` bytes.
pub fn with_header(header: &FrameHeader, length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    header.format(length as u64, &mut bytes).unwrap();
    bytes
}

/// A text message in one frame.
pub fn text(message: &str) -> Vec<u8> {
    frame(TEXT, true, message.as_bytes())
}

/// A binary message in one frame.
pub fn binary(message: &[u8]) -> Vec<u8> {
    frame(BINARY, true, message)
}

pub struct WebSocket {
    stream: TcpStream,
    received: BytesMut,
    /// The subprotocol that the server chose.
    pub protocol: Option<String>,
}

impl WebSocket {
    /// Opens an Engine.IO connection and reads its opening packet.
    ///
    /// # Panics
    /// If the server does anything else.
    pub async fn open(address: SocketAddr) -> Self {
        Self::open_on(TcpStream::connect(address).await.unwrap()).await
    }

    /// As [`open`](Self::open), on a connection made by the caller.
    pub async fn open_on(stream: TcpStream) -> Self {
        let mut socket = Self::handshake_on(stream, "EIO=4&transport=websocket")
            .await
            .expect("a WebSocket");
        let open = socket.text().await;
        assert!(open.starts_with(r#"0{"sid":"#), "{open}");
        socket
    }

    /// A WebSocket handshake with this query; what the server refuses it with otherwise.
    pub async fn handshake(address: SocketAddr, query: &str) -> Result<Self, (StatusCode, String)> {
        Self::handshake_on(TcpStream::connect(address).await.unwrap(), query).await
    }

    async fn handshake_on(
        mut stream: TcpStream,
        query: &str,
    ) -> Result<Self, (StatusCode, String)> {
        let request = request(query);
        stream.write_all(request.as_bytes()).await.unwrap();
        Self::accepted(stream).await
    }

    /// Goes on after a handshake that the caller has written.
    pub async fn accepted(stream: TcpStream) -> Result<Self, (StatusCode, String)> {
        let mut socket = Self {
            stream,
            received: BytesMut::new(),
            protocol: None,
        };
        let head = within("an answer to the handshake", socket.head()).await;
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .expect("a status");
        if status != StatusCode::SWITCHING_PROTOCOLS {
            let rest = within("the end of a refusal", socket.read_to_end()).await;
            return Err((status, rest));
        }
        let accept = format!("sec-websocket-accept: {}\r\n", ACCEPT.to_ascii_lowercase());
        assert!(head.to_ascii_lowercase().contains(&accept), "{head}");
        socket.protocol = head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-protocol"))
            .map(|(_, protocol)| protocol.to_owned());
        Ok(socket)
    }

    async fn head(&mut self) -> String {
        loop {
            if let Some(end) = self.received.windows(4).position(|w| w == b"\r\n\r\n") {
                let head = self.received.split_to(end + 4);
                return String::from_utf8(head.to_vec()).unwrap();
            }
            let read = self.stream.read_buf(&mut self.received).await.unwrap();
            assert_ne!(read, 0, "no answer: {:?}", self.received);
        }
    }

    async fn read_to_end(&mut self) -> String {
        while !matches!(
            self.stream.read_buf(&mut self.received).await,
            Ok(0) | Err(_)
        ) {}
        String::from_utf8_lossy(&self.received).into_owned()
    }

    /// Writes bytes as they are.
    ///
    /// # Panics
    /// If the connection is closed.
    pub async fn write(&mut self, bytes: &[u8]) {
        self.try_write(bytes).await.expect("an open connection");
    }

    /// As [`write`](Self::write), for a server that may have closed.
    pub async fn try_write(&mut self, bytes: &[u8]) -> io::Result<()> {
        within("room for more bytes", self.stream.write_all(bytes)).await
    }

    /// The other half of the connection, to write while this one reads.
    pub fn writer(&self) -> TcpStream {
        let socket = SockRef::from(&self.stream).try_clone().unwrap();
        TcpStream::from_std(socket.into()).unwrap()
    }

    /// Sends a text message.
    pub async fn send(&mut self, message: &str) {
        self.write(&text(message)).await;
    }

    /// Sends a binary message.
    pub async fn send_binary(&mut self, message: &[u8]) {
        self.write(&binary(message)).await;
    }

    /// The next message or control frame.
    ///
    /// # Panics
    /// If nothing comes within the deadline.
    pub async fn next(&mut self) -> Incoming {
        within("a frame", self.read()).await
    }

    async fn read(&mut self) -> Incoming {
        loop {
            if let Some(incoming) = self.decode() {
                return incoming;
            }
            match self.stream.read_buf(&mut self.received).await {
                Ok(0) | Err(_) => return Incoming::End,
                Ok(_) => {}
            }
        }
    }

    /// A whole frame of those received; servers don't fragment what these tests ask for.
    fn decode(&mut self) -> Option<Incoming> {
        let mut cursor = io::Cursor::new(&self.received[..]);
        let (header, length) = FrameHeader::parse(&mut cursor).expect("a valid header")?;
        let start = cursor.position() as usize;
        let length = length as usize;
        if self.received.len() < start + length {
            return None;
        }
        assert!(header.is_final && header.mask.is_none(), "{header:?}");
        self.received.advance(start);
        let payload = self.received.split_to(length).to_vec();
        Some(match header.opcode {
            OpCode::Data(Data::Text) => Incoming::Text(String::from_utf8(payload).unwrap()),
            OpCode::Data(Data::Binary) => Incoming::Binary(payload),
            OpCode::Control(Control::Ping) => Incoming::Ping(payload),
            OpCode::Control(Control::Pong) => Incoming::Pong(payload),
            OpCode::Control(Control::Close) => match payload.split_at_checked(2) {
                Some((code, reason)) => Incoming::Close(
                    u16::from_be_bytes([code[0], code[1]]),
                    String::from_utf8(reason.to_vec()).unwrap(),
                ),
                None => Incoming::Close(1005, String::new()),
            },
            other => panic!("opcode {other:?}"),
        })
    }

    /// The next message, which has to be text. Answers Engine.IO's pings.
    ///
    /// # Panics
    /// If it is anything else.
    pub async fn text(&mut self) -> String {
        loop {
            match self.next().await {
                Incoming::Text(ping) if ping == "2" => self.send("3").await,
                Incoming::Text(text) => return text,
                other => panic!("{other:?} instead of a text"),
            }
        }
    }

    /// Reads until the close frame and the end of the stream behind it.
    ///
    /// # Panics
    /// If the stream ends without one.
    pub async fn closed(&mut self) -> (u16, String) {
        loop {
            match self.next().await {
                Incoming::Close(code, reason) => {
                    assert_eq!(self.next().await, Incoming::End);
                    return (code, reason);
                }
                Incoming::End => panic!("closed without saying why"),
                _ => {}
            }
        }
    }

    /// Reads until the stream ends, however it does.
    pub async fn ended(&mut self) {
        while self.next().await != Incoming::End {}
    }
}

/// The bytes of a valid handshake.
pub fn request(query: &str) -> String {
    format!(
        "GET /socket.io/?{query} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
    )
}
