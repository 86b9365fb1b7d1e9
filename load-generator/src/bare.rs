//! The limit that servers are compared with: the least that a server of this protocol can do.
//!
//! One thread, one epoll. It answers the handshake, keeps a bare list of sockets for each room, and gives each of them
//! one plain `send` of the ready frame. It has no heartbeat, no queues, no limits: what a socket doesn't take at once
//! ends that connection, and the counts of the run with it. Not a server to be used for anything else.

use std::{
    collections::HashMap,
    env,
    net::{Ipv4Addr, SocketAddrV4},
    os::fd::{AsRawFd, OwnedFd},
};

use rustix::{
    buffer::spare_capacity,
    event::epoll,
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, accept_with, bind, listen,
        recv, send, socket_with, sockopt,
    },
};
use tungstenite::{
    handshake::derive_accept_key,
    protocol::frame::coding::{Control, Data, OpCode},
};

use crate::{
    error::{Doing, Error, Result},
    frame, packet,
};

const LISTENER: u64 = u64::MAX;
const BACKLOG: i32 = 4096;
const READ_BUFFER: usize = 64 << 10;
const MAX_INCOMPLETE: usize = 1 << 20;

/// The number of a connection's file descriptor, which is its place in the table.
type Slot = usize;

struct Server {
    epoll: OwnedFd,
    listener: OwnedFd,
    connections: Vec<Option<Connection>>,
    rooms: HashMap<Box<[u8]>, Vec<Slot>>,
    connects: u64,
}

struct Connection {
    socket: OwnedFd,
    upgraded: bool,
    /// A head or frame whose end has not come yet; boxed because hardly any connection ever has one.
    #[expect(
        clippy::box_collection,
        reason = "8 bytes instead of 24 in every connection"
    )]
    incomplete: Option<Box<Vec<u8>>>,
}

/// Serves on `127.0.0.1`, at the port in the environment's `PORT`, until the process is killed.
///
/// # Errors
/// [`Error::Usage`] without a port, [`Error::Io`] when it cannot listen or wait; what a connection does wrong only ends
/// that connection.
pub fn run() -> Result<()> {
    let port = env::var("PORT").ok().and_then(|port| port.parse().ok());
    let port: u16 = port.ok_or_else(|| Error::Usage("PORT must be a port".into()))?;
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let listener = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)
        .doing(|| "opening a socket".into())?;
    // Accepted sockets inherit it.
    sockopt::set_tcp_nodelay(&listener, true).doing(|| "setting TCP_NODELAY".into())?;
    sockopt::set_socket_reuseaddr(&listener, true).doing(|| "setting SO_REUSEADDR".into())?;
    let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
    bind(&listener, &address).doing(|| format!("binding {address}"))?;
    listen(&listener, BACKLOG).doing(|| format!("listening on {address}"))?;
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).doing(|| "creating an epoll".into())?;
    epoll::add(
        &epoll,
        &listener,
        epoll::EventData::new_u64(LISTENER),
        epoll::EventFlags::IN,
    )
    .doing(|| "adding the listener to epoll".into())?;
    let server = Server {
        epoll,
        listener,
        connections: Vec::new(),
        rooms: HashMap::new(),
        connects: 0,
    };
    server.run()
}

impl Server {
    fn run(mut self) -> Result<()> {
        let mut ready = Vec::with_capacity(1024);
        let mut buffer = vec![0; READ_BUFFER];
        loop {
            ready.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut ready), None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error).doing(|| "waiting for connections".into()),
            }
            for event in &ready {
                let data = event.data;
                if data.u64() == LISTENER {
                    self.accept()?;
                } else {
                    let slot = data.u64() as Slot;
                    if let Err(error) = self.receive(slot, &mut buffer) {
                        self.close(slot, &error);
                    }
                }
            }
        }
    }

    fn accept(&mut self) -> Result<()> {
        loop {
            let socket =
                match accept_with(&self.listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
                    Ok(socket) => socket,
                    Err(Errno::AGAIN) => return Ok(()),
                    Err(Errno::INTR | Errno::CONNABORTED) => continue,
                    Err(error) => return Err(error).doing(|| "accepting a connection".into()),
                };
            let slot = socket.as_raw_fd() as Slot;
            epoll::add(
                &self.epoll,
                &socket,
                epoll::EventData::new_u64(slot as u64),
                epoll::EventFlags::IN,
            )
            .doing(|| "adding a connection to epoll".into())?;
            if self.connections.len() <= slot {
                self.connections.resize_with(slot + 1, || None);
            }
            self.connections[slot] = Some(Connection {
                socket,
                upgraded: false,
                incomplete: None,
            });
        }
    }

    fn close(&mut self, slot: Slot, error: &Error) {
        if !matches!(error, Error::Closed(_)) {
            eprintln!("connection {slot}: {error}");
        }
        self.connections[slot] = None;
        for members in self.rooms.values_mut() {
            members.retain(|&member| member != slot);
        }
    }

    fn receive(&mut self, slot: Slot, buffer: &mut [u8]) -> Result<()> {
        let Some(connection) = &mut self.connections[slot] else {
            return Ok(());
        };
        let length = match recv(&connection.socket, &mut *buffer, RecvFlags::empty()) {
            Ok((0, _)) | Err(Errno::CONNRESET) => {
                return Err(Error::Closed("by the client".into()));
            }
            Ok((length, _)) => length,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(()),
            Err(error) => return Err(error).doing(|| "receiving".into()),
        };
        let bytes = &mut buffer[..length];
        let Some(mut joined) = connection.incomplete.take() else {
            let taken = self.take_whole(slot, bytes)?;
            return self.keep(slot, &bytes[taken..]);
        };
        joined.extend_from_slice(bytes);
        let taken = self.take_whole(slot, &mut joined)?;
        self.keep(slot, &joined[taken..])
    }

    fn keep(&mut self, slot: Slot, rest: &[u8]) -> Result<()> {
        if rest.len() > MAX_INCOMPLETE {
            return Err(Error::Protocol("too many bytes without an end".into()));
        }
        if let (false, Some(connection)) = (rest.is_empty(), &mut self.connections[slot]) {
            connection.incomplete = Some(Box::new(rest.to_vec()));
        }
        Ok(())
    }

    /// Handles everything in `bytes` that is complete and returns how many bytes that was.
    fn take_whole(&mut self, slot: Slot, bytes: &mut [u8]) -> Result<usize> {
        let mut taken = 0;
        if let Some(connection) = &mut self.connections[slot]
            && !connection.upgraded
        {
            let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
                return Ok(0);
            };
            self.connects += 1;
            send_all(&connection.socket, &upgrade(&bytes[..end], self.connects)?)?;
            connection.upgraded = true;
            taken = end + 4;
        }
        while let Some(frame) = frame::parse(&bytes[taken..])? {
            let (opcode, mask, length) = (frame.opcode, frame.mask, frame.length);
            let start = taken + length - frame.payload.len();
            let payload = &mut bytes[start..taken + length];
            let key = mask.ok_or_else(|| Error::Protocol("a frame is not masked".into()))?;
            frame::unmask(payload, key);
            match opcode {
                OpCode::Data(Data::Text) => self.take_text(slot, payload)?,
                OpCode::Control(Control::Ping) => self.send(slot, &frame::server_pong(payload))?,
                OpCode::Control(Control::Pong) => {}
                OpCode::Control(Control::Close) => {
                    return Err(Error::Closed("by the client".into()));
                }
                other => return Err(Error::Protocol(format!("unexpected frame {other:?}"))),
            }
            taken += length;
        }
        Ok(taken)
    }

    fn take_text(&mut self, slot: Slot, text: &[u8]) -> Result<()> {
        let unexpected = || Error::Protocol(format!("unexpected packet: {}", text.escape_ascii()));
        match text {
            [b'3', ..] => Ok(()),
            [b'4', b'0', ..] => {
                let answer = format!("40{{\"sid\":\"{:020}\"}}", slot);
                self.send(slot, &frame::server_text(answer.as_bytes()))
            }
            [b'4', b'2', event @ ..] => {
                let digits = event
                    .iter()
                    .take_while(|byte| byte.is_ascii_digit())
                    .count();
                let ack = packet::digits_to_number(&event[..digits]);
                self.take_event(slot, &event[digits..], ack)
                    .ok_or_else(unexpected)?
            }
            _ => Err(unexpected()),
        }
    }

    /// `None` if it is neither a join nor a publish.
    fn take_event(&mut self, slot: Slot, event: &[u8], ack: Option<u64>) -> Option<Result<()>> {
        if let Some(arguments) = event.strip_prefix(b"[\"join\",\"") {
            let room = arguments.strip_suffix(b"\"]")?;
            if let Some(members) = self.rooms.get_mut(room) {
                members.push(slot);
            } else {
                self.rooms.insert(room.into(), vec![slot]);
            }
            let answer = format!("43{}[]", ack?);
            return Some(self.send(slot, &frame::server_text(answer.as_bytes())));
        }
        let arguments = event.strip_prefix(b"[\"publish\",\"")?;
        let room_end = arguments.iter().position(|&byte| byte == b'"')?;
        let (room, payload) = arguments.split_at(room_end);
        let payload = payload.strip_prefix(b"\",")?;
        let text = [b"42[\"event\",", payload].concat();
        self.publish(room, &frame::server_text(&text));
        Some(Ok(()))
    }

    fn publish(&mut self, room: &[u8], frame: &[u8]) {
        let mut failed = Vec::new();
        for &member in self.rooms.get(room).into_iter().flatten() {
            if let Some(connection) = &self.connections[member]
                && let Err(error) = send_all(&connection.socket, frame)
            {
                failed.push((member, error));
            }
        }
        for (member, error) in failed {
            self.close(member, &error);
        }
    }

    fn send(&self, slot: Slot, frame: &[u8]) -> Result<()> {
        self.connections[slot]
            .as_ref()
            .map_or(Ok(()), |connection| send_all(&connection.socket, frame))
    }
}

/// One `send`; a socket that doesn't take all of it is an error.
fn send_all(socket: &OwnedFd, bytes: &[u8]) -> Result<()> {
    let sent = send(socket, bytes, SendFlags::NOSIGNAL).doing(|| "sending".into())?;
    if sent == bytes.len() {
        Ok(())
    } else {
        Err(Error::Protocol("the socket is full".into()))
    }
}

/// The answer to the upgrade request `head`, and Engine.IO's open packet behind it.
fn upgrade(head: &[u8], connect: u64) -> Result<Vec<u8>> {
    let head =
        std::str::from_utf8(head).map_err(|_| Error::Protocol("the request is not text".into()))?;
    let key = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"))
        .map(|(_, value)| value.trim())
        .ok_or_else(|| Error::Protocol("the request has no Sec-WebSocket-Key".into()))?;
    let open = format!(
        "0{{\"sid\":\"{connect:020}\",\"upgrades\":[],\"pingInterval\":25000,\"pingTimeout\":20000,\
         \"maxPayload\":1000000}}"
    );
    let mut answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        derive_accept_key(key.as_bytes())
    )
    .into_bytes();
    answer.extend_from_slice(&frame::server_text(open.as_bytes()));
    Ok(answer)
}
