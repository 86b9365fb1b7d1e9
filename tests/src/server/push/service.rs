//! A push service for one test: HTTP, as much as a client needs.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

use crate::deadline::within;

/// What a push service got.
pub struct Pushed {
    /// The request's first line and headers.
    pub head: String,
    pub body: Vec<u8>,
    pub at: Instant,
}

/// An answer.
pub struct Given {
    pub status: u16,
    pub body: String,
    /// In seconds.
    pub retry_after: Option<u32>,
    pub location: Option<String>,
    /// How long it takes.
    pub after: Duration,
}

impl Default for Given {
    fn default() -> Self {
        Self {
            status: 201,
            body: String::new(),
            retry_after: None,
            location: None,
            after: Duration::ZERO,
        }
    }
}

type Answers = Arc<Mutex<VecDeque<Given>>>;

pub struct Service {
    pub address: SocketAddr,
    answers: Answers,
    pushed: mpsc::UnboundedReceiver<Pushed>,
}

impl Service {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answers = Answers::default();
        let (got, pushed) = mpsc::unbounded_channel();
        let given = answers.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (got, given) = (got.clone(), given.clone());
                tokio::spawn(async move { serve(stream, &given, &got).await });
            }
        });
        Self {
            address,
            answers,
            pushed,
        }
    }

    /// The next answer; without one it takes everything.
    pub fn gives(&self, given: Given) {
        self.answers.lock().unwrap().push_back(given);
    }

    /// The same of an answer with a body.
    pub fn answers(&self, status: u16, body: &str) {
        let body = body.to_owned();
        self.gives(Given {
            status,
            body,
            ..Given::default()
        });
    }

    /// The next thing that it gets.
    pub async fn next(&mut self) -> Pushed {
        within("a push", self.pushed.recv()).await.unwrap()
    }

    /// True if it has got nothing that nobody has taken.
    pub fn is_quiet(&mut self) -> bool {
        self.pushed.try_recv().is_err()
    }
}

async fn serve(
    mut stream: TcpStream,
    answers: &Mutex<VecDeque<Given>>,
    got: &mpsc::UnboundedSender<Pushed>,
) -> Option<()> {
    let mut read = Vec::new();
    let (head, mut body) = loop {
        if stream.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
        let end = read.windows(4).position(|it| it == b"\r\n\r\n");
        if let Some(end) = end {
            let head = String::from_utf8_lossy(&read[..end]).into_owned();
            break (head, read[end + 4..].to_vec());
        }
    };
    let lower = head.to_lowercase();
    let (_, length) = lower.split_once("content-length: ")?;
    let length: usize = length.lines().next()?.trim().parse().ok()?;
    while body.len() < length {
        stream.read_buf(&mut body).await.ok()?;
    }
    let given = answers.lock().unwrap().pop_front().unwrap_or_default();
    let at = Instant::now();
    got.send(Pushed { head, body, at }).ok()?;
    tokio::time::sleep(given.after).await;
    let mut answer = format!("HTTP/1.1 {} x\r\nConnection: close\r\n", given.status);
    if let Some(seconds) = given.retry_after {
        answer += &format!("Retry-After: {seconds}\r\n");
    }
    if let Some(location) = &given.location {
        answer += &format!("Location: {location}\r\n");
    }
    let body = &given.body;
    answer += &format!("Content-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(answer.as_bytes()).await.ok()
}
