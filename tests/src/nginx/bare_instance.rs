//! An instance whose every byte the test writes: what nginx sends it, and what it makes of answers that real ones give
//! only by accident.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::deadline::within;

pub struct BareInstance {
    pub address: SocketAddr,
    listener: TcpListener,
    /// The same, for a look that needs no waiting.
    backlog: std::net::TcpListener,
}

/// A request that waits for its answer; dropping it closes the connection without one.
pub struct Asked {
    /// As it came, without the body.
    pub head: String,
    pub body: Vec<u8>,
    stream: TcpStream,
}

impl BareInstance {
    pub async fn start() -> Self {
        Self::listen(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap())
    }

    /// As [`start`](Self::start), on a listener that there is already.
    pub fn listen(listener: TcpListener) -> Self {
        let listener = listener.into_std().unwrap();
        Self {
            address: listener.local_addr().unwrap(),
            backlog: listener.try_clone().unwrap(),
            listener: TcpListener::from_std(listener).unwrap(),
        }
    }

    /// Whether a request waits that nobody has looked at.
    pub fn is_asked_more(&self) -> bool {
        self.backlog.accept().is_ok()
    }

    /// The next request, which has to be the first of its connection.
    pub async fn asked(&self) -> Asked {
        within("a request", async {
            let (mut stream, _) = self.listener.accept().await.unwrap();
            let mut received = Vec::new();
            let end = loop {
                if let Some(end) = received.windows(4).position(|w| w == b"\r\n\r\n") {
                    break end + 4;
                }
                let read = stream.read_buf(&mut received).await.unwrap();
                assert_ne!(read, 0, "no request: {received:?}");
            };
            let body = received.split_off(end);
            let head = String::from_utf8(received).unwrap();
            let mut asked = Asked { head, body, stream };
            let length = asked.header("content-length");
            let length = length.map_or(0, |length| length.parse().unwrap());
            while asked.body.len() < length {
                let read = asked.stream.read_buf(&mut asked.body).await.unwrap();
                assert_ne!(read, 0, "half a body");
            }
            asked
        })
        .await
    }
}

impl Asked {
    /// The value of a header.
    ///
    /// # Panics
    /// If there are several.
    pub fn header(&self, name: &str) -> Option<&str> {
        let named = |line: &'_ str| {
            let (found, _) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then_some(())
        };
        let mut values = self.head.lines().filter(|line| named(line).is_some());
        let value = values.next()?.split_once(':')?.1.trim();
        assert_eq!(values.next(), None, "{name} twice: {}", self.head);
        Some(value)
    }

    /// Writes a part of the answer.
    pub async fn write(&mut self, bytes: &str) {
        self.stream.write_all(bytes.as_bytes()).await.unwrap();
    }

    /// Answers with this status and body, and closes.
    pub async fn answer(mut self, status: u16, body: &str) {
        let length = body.len();
        self.write(&format!(
            "HTTP/1.1 {status} As It Is\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
        ))
        .await;
    }
}
