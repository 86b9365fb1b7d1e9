//! Clients that write what they are told to and read with a deadline.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
};

use tungstenite::{Message, WebSocket, protocol::frame::CloseFrame};

use crate::server::{PATIENCE, Server};

/// A WebSocket client that speaks Engine.IO packets.
pub struct Client(pub WebSocket<TcpStream>);

impl Client {
    /// Opens a connection and reads the opening packet.
    pub fn open(server: &Server) -> Self {
        Self::over(connect(server.address))
    }

    pub fn over(stream: TcpStream) -> Self {
        let mut client = Self::handshake(stream, "");
        assert!(client.text().starts_with('0'));
        client
    }

    /// A WebSocket whose request has `query` behind what the protocol asks for.
    pub fn handshake(stream: TcpStream, query: &str) -> Self {
        let address = stream.peer_addr().unwrap();
        let url = format!("ws://{address}/socket.io/?EIO=4&transport=websocket{query}");
        let (socket, _) = tungstenite::client(url, stream).unwrap();
        Self(socket)
    }

    /// Opens a connection and connects to "/".
    pub fn connect(server: &Server) -> Self {
        let mut client = Self::open(server);
        client.enter();
        client
    }

    pub fn enter(&mut self) {
        self.send("40");
        assert!(self.text().starts_with("40"));
    }

    pub fn send(&mut self, packet: &str) {
        self.0.send(Message::text(packet)).unwrap();
    }

    /// The next text message; pings of Engine.IO are answered.
    pub fn text(&mut self) -> String {
        loop {
            match self.0.read().unwrap() {
                Message::Text(text) if text == "2" => self.send("3"),
                Message::Text(text) => return text.to_string(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Sends an event and returns its ack's arguments.
    pub fn call(&mut self, name: &str, argument: &str) -> String {
        self.send(&format!(r#"421["{name}",{argument}]"#));
        let answer = self.text();
        answer.strip_prefix("431").expect(&answer).to_owned()
    }

    /// Reads up to the close frame and returns it; pings of Engine.IO are answered.
    pub fn closed(&mut self) -> CloseFrame {
        loop {
            match self.0.read().unwrap() {
                Message::Close(frame) => return frame.unwrap(),
                Message::Text(text) if text == "2" => self.send("3"),
                _ => {}
            }
        }
    }
}

pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// A request of the polling transport on a TCP connection of its own; returns the whole response.
pub fn request(address: SocketAddr, method: &str, query: &str, body: &str) -> String {
    let mut stream = connect(address);
    let length = body.len();
    write!(
        stream,
        "{method} /socket.io/?EIO=4&transport=polling{query} HTTP/1.1\r\nhost: test\r\n\
         connection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    rest(&mut stream)
}

/// The body of a successful request.
pub fn body(address: SocketAddr, method: &str, query: &str, body: &str) -> String {
    let response = request(address, method, query, body);
    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
    response.split_once("\r\n\r\n").unwrap().1.to_owned()
}

/// Opens a polling connection, connects it to "/", and returns its `&sid=…`.
pub fn open_polling(server: &Server) -> String {
    let open = body(server.address, "GET", "", "");
    let (_, sid) = open.split_once(r#""sid":""#).unwrap();
    let sid = format!("&sid={}", &sid[..16]);
    assert_eq!(body(server.address, "POST", &sid, "40"), "ok");
    assert!(body(server.address, "GET", &sid, "").starts_with("40"));
    sid
}

/// Everything up to the end of the stream, which is a reset where the server didn't read all that was sent.
pub fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    if let Err(e) = stream.read_to_end(&mut bytes) {
        assert_eq!(e.kind(), ErrorKind::ConnectionReset);
    }
    String::from_utf8(bytes).unwrap()
}
