//! One Socket.IO client: a non-blocking socket and the few states it passes through.
//!
//! It keeps bytes only while a frame is incomplete or the socket is full, so that many thousand clients are cheap.

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    rc::Rc,
    time::Duration,
};

use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, connect, recv, send,
        socket_with, sockopt,
    },
};
use tungstenite::{
    handshake::derive_accept_key,
    protocol::frame::coding::{Control, Data, OpCode},
};

use crate::{
    error::{Doing, Error, Result},
    frame,
};

/// The key of every opening handshake, the one of RFC 6455's own example. It protects from caches between the two
/// ends, of which there are none here, and so needs not be random.
const WEBSOCKET_KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// The longest answer to the opening handshake, in bytes.
const MAX_HEAD: usize = 16 << 10;

/// What a client tells the engine's caller.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// The default namespace is connected.
    Connected,
    /// A Socket.IO packet other than the answer to the connect.
    Packet(&'a [u8]),
}

/// What all clients of one server have in common.
pub struct Target {
    server: SocketAddrV4,
    request: Vec<u8>,
    accept: Rc<str>,
}

impl Target {
    /// Clients of this server.
    pub fn new(server: SocketAddrV4) -> Self {
        let request = format!(
            "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: {server}\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {WEBSOCKET_KEY}\r\n\r\n"
        );
        let accept = derive_accept_key(WEBSOCKET_KEY.as_bytes()).into();
        Self {
            server,
            request: request.into_bytes(),
            accept,
        }
    }
}

/// How far the connection is.
enum Stage {
    /// The upgrade was requested; the answer must hold this `Sec-WebSocket-Accept`.
    Upgrading { accept: Rc<str>, connect: Rc<[u8]> },
    /// Waiting for Engine.IO's open packet, to answer with this frame.
    Opening { connect: Rc<[u8]> },
    /// Waiting for the default namespace.
    Connecting,
    /// Events may come and go.
    Connected,
}

/// One connection.
pub struct Client {
    socket: OwnedFd,
    stage: Stage,
    /// The beginning of a frame (or of the handshake's answer) whose end has not come yet.
    incomplete: Vec<u8>,
    /// What the socket did not take yet.
    unsent: Vec<u8>,
}

impl Client {
    /// Starts to connect from `source`; `connect` is the frame that connects the namespace.
    ///
    /// # Errors
    /// [`Error::Io`] when there is no socket or no port to be had.
    pub fn open(target: &Target, source: Ipv4Addr, connect_frame: Rc<[u8]>) -> Result<Self> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)
            .doing(|| "opening a client's socket".into())?;
        sockopt::set_tcp_nodelay(&socket, true).doing(|| "setting TCP_NODELAY".into())?;
        bind(&socket, &SocketAddrV4::new(source, 0)).doing(|| format!("binding {source}"))?;
        match connect(&socket, &target.server) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error).doing(|| format!("connecting to {}", target.server)),
        }
        let stage = Stage::Upgrading {
            accept: Rc::clone(&target.accept),
            connect: connect_frame,
        };
        let mut client = Self {
            socket,
            stage,
            incomplete: Vec::new(),
            unsent: Vec::new(),
        };
        // On loopback the connection mostly stands by now, and the request goes out without waiting for epoll.
        client.send(&target.request)?;
        Ok(client)
    }

    /// Sends a ready frame, or keeps what the socket doesn't take for [`Client::flush`].
    ///
    /// # Errors
    /// [`Error::Io`] when the connection is gone.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let sent = if self.unsent.is_empty() {
            self.write(bytes)?
        } else {
            0
        };
        self.unsent.extend_from_slice(&bytes[sent..]);
        Ok(())
    }

    /// Sends what is kept, as far as the socket takes it.
    ///
    /// # Errors
    /// [`Error::Io`] when the connection is gone.
    pub fn flush(&mut self) -> Result<()> {
        let unsent = std::mem::take(&mut self.unsent);
        let sent = self.write(&unsent)?;
        if sent < unsent.len() {
            self.unsent = unsent;
            self.unsent.drain(..sent);
        }
        Ok(())
    }

    fn write(&self, bytes: &[u8]) -> Result<usize> {
        match send(&self.socket, bytes, SendFlags::NOSIGNAL) {
            Ok(sent) => Ok(sent),
            Err(Errno::AGAIN | Errno::INTR) => Ok(0),
            Err(error) => Err(error).doing(|| "sending".into()),
        }
    }

    /// Whether bytes wait for the socket to take them.
    pub fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Reads once into `buffer`, which all clients share, and tells `on` all that came.
    ///
    /// # Errors
    /// [`Error::Closed`] at the end of the stream, [`Error::Protocol`] and [`Error::Io`].
    pub fn receive(&mut self, buffer: &mut [u8], on: &mut impl FnMut(Event<'_>)) -> Result<()> {
        let length = match recv(&self.socket, &mut *buffer, RecvFlags::empty()) {
            Ok((0, _)) => return Err(Error::Closed("end of the stream".into())),
            Ok((length, _)) => length,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(()),
            Err(error) => return Err(error).doing(|| "receiving".into()),
        };
        self.take(&buffer[..length], on)
    }

    /// Handles bytes from the server, however the stream was cut.
    fn take(&mut self, bytes: &[u8], on: &mut impl FnMut(Event<'_>)) -> Result<()> {
        if self.incomplete.is_empty() {
            let taken = self.take_whole(bytes, on)?;
            self.incomplete.extend_from_slice(&bytes[taken..]);
        } else {
            let mut joined = std::mem::take(&mut self.incomplete);
            joined.extend_from_slice(bytes);
            let taken = self.take_whole(&joined, on)?;
            if taken < joined.len() {
                joined.drain(..taken);
                self.incomplete = joined;
            }
        }
        Ok(())
    }

    /// Handles everything in `bytes` that is complete and returns how many bytes that was.
    fn take_whole(&mut self, bytes: &[u8], on: &mut impl FnMut(Event<'_>)) -> Result<usize> {
        let mut taken = 0;
        if let Stage::Upgrading { accept, connect } = &self.stage {
            let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
                return if bytes.len() > MAX_HEAD {
                    Err(Error::Protocol(
                        "the answer to the upgrade is too long".into(),
                    ))
                } else {
                    Ok(0)
                };
            };
            check_upgrade(&bytes[..end], accept)?;
            self.stage = Stage::Opening {
                connect: Rc::clone(connect),
            };
            taken = end + 4;
        }
        while let Some(frame) = frame::parse(&bytes[taken..])? {
            self.take_frame(&frame, on)?;
            taken += frame.length;
        }
        Ok(taken)
    }

    fn take_frame(
        &mut self,
        frame: &frame::Frame<'_>,
        on: &mut impl FnMut(Event<'_>),
    ) -> Result<()> {
        if frame.mask.is_some() {
            return Err(Error::Protocol("the server masked a frame".into()));
        }
        match frame.opcode {
            OpCode::Data(Data::Text) => self.take_text(frame.payload, on),
            OpCode::Control(Control::Ping) => self.send(&frame::client_pong(frame.payload)),
            OpCode::Control(Control::Pong) => Ok(()),
            OpCode::Control(Control::Close) => Err(Error::Closed(close_reason(frame.payload))),
            other => Err(Error::Protocol(format!("unexpected frame: {other:?}"))),
        }
    }

    /// Handles an Engine.IO packet.
    fn take_text(&mut self, text: &[u8], on: &mut impl FnMut(Event<'_>)) -> Result<()> {
        let unexpected = || Error::Protocol(format!("unexpected packet: {}", text.escape_ascii()));
        match (text.first(), &self.stage) {
            (Some(b'0'), Stage::Opening { connect }) => {
                let connect = Rc::clone(connect);
                self.stage = Stage::Connecting;
                self.send(&connect)
            }
            (Some(b'2'), _) => self.send(&frame::client_text(b"3")),
            (Some(b'4'), Stage::Connected) => {
                on(Event::Packet(&text[1..]));
                Ok(())
            }
            (Some(b'4'), Stage::Connecting) if text.get(1) == Some(&b'0') => {
                self.stage = Stage::Connected;
                on(Event::Connected);
                Ok(())
            }
            (Some(b'1'), _) => Err(Error::Closed("Engine.IO close".into())),
            (Some(b'6'), _) => Ok(()),
            _ => Err(unexpected()),
        }
    }

    /// Makes the close send a reset: thousands of connections end at once, without leaving ports in `TIME_WAIT`.
    ///
    /// # Errors
    /// [`Error::Io`] when the option is refused.
    pub fn reset_on_close(&self) -> Result<()> {
        sockopt::set_socket_linger(&self.socket, Some(Duration::ZERO))
            .doing(|| "setting SO_LINGER".into())
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn check_upgrade(head: &[u8], accept: &str) -> Result<()> {
    let head = String::from_utf8_lossy(head);
    if !head.starts_with("HTTP/1.1 101 ") {
        let status = head.lines().next().unwrap_or_default().to_owned();
        return Err(Error::Protocol(format!(
            "the upgrade was refused: {status}"
        )));
    }
    let accepted = head
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .any(|(name, value)| {
            name.eq_ignore_ascii_case("sec-websocket-accept") && value.trim() == accept
        });
    if accepted {
        Ok(())
    } else {
        Err(Error::Protocol("wrong Sec-WebSocket-Accept".into()))
    }
}

fn close_reason(payload: &[u8]) -> String {
    match payload {
        [high, low, reason @ ..] => {
            format!(
                "code {} {}",
                u16::from_be_bytes([*high, *low]),
                String::from_utf8_lossy(reason)
            )
        }
        _ => "without a code".into(),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::{SocketAddr, TcpListener, TcpStream},
        thread,
    };

    use super::*;
    use crate::{
        engine::{Deadline, Engine, Wait},
        packet,
    };

    /// Reads the upgrade request, answers with `answer`, each byte a segment of its own, and hands the stream on.
    fn serve(answer: Vec<u8>, then: impl FnOnce(TcpStream) + Send + 'static) -> SocketAddrV4 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let SocketAddr::V4(address) = listener.local_addr().unwrap() else {
            unreachable!()
        };
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_nodelay(true).unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                head.extend_from_slice(&byte);
            }
            for byte in answer {
                stream.write_all(&[byte]).unwrap();
            }
            then(stream);
        });
        address
    }

    /// Closing with bytes unread would be a reset, which can overtake what was sent.
    fn wait_for_end(mut stream: TcpStream) {
        stream.read_to_end(&mut Vec::new()).unwrap_or_default();
    }

    fn upgraded(frames: &[&[u8]]) -> Vec<u8> {
        let accept = derive_accept_key(WEBSOCKET_KEY.as_bytes());
        let mut answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nsec-websocket-accept: {accept}\r\n\r\n"
        )
        .into_bytes();
        for payload in frames {
            answer.extend_from_slice(&frame::server_text(payload));
        }
        answer
    }

    /// What a client of that server reports until it fails, and how it fails.
    fn events_until_failure(address: SocketAddrV4) -> (Vec<String>, String) {
        let mut engine = Engine::new(address).unwrap();
        engine.open(packet::connect_frame(None).into()).unwrap();
        let deadline = Deadline::after(Duration::from_secs(10));
        let mut events = Vec::new();
        let error = loop {
            let turn = engine.turn(Wait::Sleep(Duration::from_millis(100)), |_, event| {
                events.push(match event {
                    Event::Connected => "connected".into(),
                    Event::Packet(packet) => String::from_utf8_lossy(packet).into_owned(),
                });
            });
            match turn {
                Ok(_) => deadline.check(|| "a failure".into()).unwrap(),
                Err(error) => break error,
            }
        };
        (events, error.to_string())
    }

    #[test]
    fn a_stream_in_single_bytes_is_understood() {
        let event = format!("42[\"event\",\"{}\"]", "x".repeat(300));
        let answer = upgraded(&[
            b"0{\"sid\":\"a\"}",
            b"40{\"sid\":\"b\"}",
            event.as_bytes(),
            b"2",
            b"42[1]",
        ]);
        let address = serve(answer, |mut stream| {
            // The answers to the open packet and to the ping.
            let expected = [frame::client_text(b"40"), frame::client_text(b"3")].concat();
            let mut answers = vec![0; expected.len()];
            stream.read_exact(&mut answers).unwrap();
            assert_eq!(answers, expected);
        });
        let (events, error) = events_until_failure(address);
        assert_eq!(events, ["connected", &event[1..], "2[1]"]);
        assert!(
            error.contains("end of the stream") || error.contains("reset"),
            "{error}"
        );
    }

    #[test]
    fn a_refused_upgrade_says_its_status() {
        let address = serve(b"HTTP/1.1 503 Service Unavailable\r\n\r\n".to_vec(), drop);
        let (events, error) = events_until_failure(address);
        assert!(events.is_empty());
        assert_eq!(
            error,
            "client 0: the upgrade was refused: HTTP/1.1 503 Service Unavailable"
        );
    }

    #[test]
    fn a_refused_namespace_is_a_failure() {
        let refusal = b"44{\"message\":\"no token\"}";
        let address = serve(upgraded(&[b"0{\"sid\":\"a\"}", refusal]), wait_for_end);
        let (_, error) = events_until_failure(address);
        assert!(error.contains("no token"), "{error}");
    }

    #[test]
    fn a_close_frame_is_a_failure_with_its_reason() {
        let mut answer = upgraded(&[b"0{\"sid\":\"a\"}", b"40{\"sid\":\"b\"}"]);
        answer.extend_from_slice(b"\x88\x06\x03\xf0slow");
        let (_, error) = events_until_failure(serve(answer, wait_for_end));
        assert_eq!(
            error,
            "client 0: the server closed a connection: code 1008 slow"
        );
    }
}
