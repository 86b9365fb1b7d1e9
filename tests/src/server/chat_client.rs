//! Somebody's connection to the namespace "/", as JSON.

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
};

use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::{
    client::websocket::{Incoming, WebSocket},
    deadline::within,
};

/// A server event: its name and its payload.
pub type Told = (String, Value);

/// The names of those events that are in a room's log.
pub fn names_of_log(events: &[Told]) -> Vec<&str> {
    let names = events.iter().map(|(name, _)| name.as_str());
    names.filter(|name| name.starts_with("message:")).collect()
}

/// A connection that keeps the events and answers which come while it waits for something else.
pub struct ChatClient {
    socket: WebSocket,
    next_ack: u64,
    events: VecDeque<Told>,
    acks: HashMap<u64, Value>,
}

impl ChatClient {
    /// Connects with `auth`.
    ///
    /// # Panics
    /// If that is refused.
    pub async fn connect(address: SocketAddr, auth: Value) -> Self {
        Self::try_connect(address, auth)
            .await
            .expect("a connection")
    }

    /// Connects with `auth`, or says what CONNECT_ERROR holds.
    pub async fn try_connect(address: SocketAddr, auth: Value) -> Result<Self, Value> {
        let stream = TcpStream::connect(address).await.unwrap();
        Self::try_connect_on(stream, &format!("40{auth}")).await
    }

    /// As [`try_connect`](Self::try_connect), on a connection of the caller's and with a CONNECT packet as it is.
    pub async fn try_connect_on(stream: TcpStream, connect: &str) -> Result<Self, Value> {
        let mut socket = WebSocket::open_on(stream).await;
        socket.send(connect).await;
        let answer = socket.text().await;
        if let Some(error) = answer.strip_prefix("44") {
            return Err(serde_json::from_str(error).unwrap());
        }
        assert!(answer.starts_with(r#"40{"sid":"#), "{answer}");
        Ok(Self {
            socket,
            next_ack: 0,
            events: VecDeque::new(),
            acks: HashMap::new(),
        })
    }

    /// Sends an event and waits for its ack.
    pub async fn emit(&mut self, event: &str, payload: Value) -> Value {
        let id = self.start(event, payload).await;
        self.ack(id).await
    }

    /// Sends an event whose ack has to be `ok`.
    ///
    /// # Panics
    /// If it isn't.
    pub async fn done(&mut self, event: &str, payload: Value) -> Value {
        let answer = self.emit(event, payload).await;
        assert_eq!(answer["ok"], true, "{event}: {answer}");
        answer
    }

    /// Sends an event that has to be refused; returns code and message.
    ///
    /// # Panics
    /// If it isn't refused.
    pub async fn refused(&mut self, event: &str, payload: Value) -> (String, String) {
        let answer = self.emit(event, payload).await;
        assert_eq!(answer["ok"], false, "{event}: {answer}");
        let text = |field: &str| answer["error"][field].as_str().unwrap().to_owned();
        (text("code"), text("message"))
    }

    /// Sends an event and returns the id of its ack.
    pub async fn start(&mut self, event: &str, payload: Value) -> u64 {
        let id = self.next_ack;
        self.next_ack += 1;
        self.socket
            .send(&format!("42{id}{}", json!([event, payload])))
            .await;
        id
    }

    /// Sends an event with bytes beside it, for which a placeholder stands, and returns the id of its ack.
    pub async fn start_binary(&mut self, event: &str, payload: Value, bytes: &[u8]) -> u64 {
        let id = self.next_ack;
        self.next_ack += 1;
        self.socket
            .send(&format!("451-{id}{}", json!([event, payload])))
            .await;
        self.socket.send_binary(bytes).await;
        id
    }

    /// Sends a packet as it is.
    pub async fn send_raw(&mut self, packet: &str) {
        self.socket.send(packet).await;
    }

    /// Waits for an ack.
    pub async fn ack(&mut self, id: u64) -> Value {
        within("an ack", async {
            loop {
                if let Some(answer) = self.acks.remove(&id) {
                    return answer;
                }
                self.keep_next().await;
            }
        })
        .await
    }

    /// An ack, if it has come already.
    pub fn take_ack(&mut self, id: u64) -> Option<Value> {
        self.acks.remove(&id)
    }

    /// Makes a room with this name and nobody else in it; returns its id.
    pub async fn create(&mut self, kind: &str, name: &str) -> String {
        let request = json!({ "kind": kind, "name": name });
        let created = self.done("room:create", request).await;
        created["room"]["id"].as_str().unwrap().to_owned()
    }

    /// Joins a room; returns the answer.
    pub async fn join(&mut self, room: &str) -> Value {
        self.done("room:join", json!({ "roomId": room })).await
    }

    /// Writes a message, which is its own `clientId`; returns it.
    pub async fn say(&mut self, room: &str, body: &str) -> Value {
        let request = json!({ "roomId": room, "clientId": body, "body": body });
        let sent = self.done("message:send", request).await;
        assert_eq!(sent["duplicate"], false, "{sent}");
        sent["message"].clone()
    }

    /// The next event of this name; those before it are kept.
    pub async fn event(&mut self, name: &str) -> Value {
        self.event_that(|(event, _)| event == name).await.1
    }

    /// The next event of a room's log, whatever it is, with its name.
    pub async fn next_of_log(&mut self) -> Told {
        self.event_that(|(event, _)| {
            ["message:", "image:ready", "image:failed", "room:void"]
                .iter()
                .any(|of_log| event.starts_with(of_log))
        })
        .await
    }

    /// The next event of which this is true; those before it are kept.
    pub async fn event_that(&mut self, is_it: impl Fn(&Told) -> bool) -> Told {
        within("an event", async {
            loop {
                if let Some(index) = self.events.iter().position(&is_it) {
                    return self.events.remove(index).unwrap();
                }
                self.keep_next().await;
            }
        })
        .await
    }

    /// An event of which this is true, if it has come already.
    pub fn take_that(&mut self, is_it: impl Fn(&Told) -> bool) -> Option<Told> {
        let index = self.events.iter().position(is_it)?;
        self.events.remove(index)
    }

    /// What has come so far and wasn't asked for, but for presence: everything that came before the answer to this.
    pub async fn so_far(&mut self) -> Vec<Told> {
        self.emit("no:such:event", json!({})).await;
        self.take_events(self.events.len())
    }

    /// What comes before the message with this body, and wasn't asked for, but for presence. Whatever the server did
    /// before it took that message has come by then, or never comes.
    pub async fn before(&mut self, body: &str) -> Vec<Told> {
        let is_it = |told: &Told| told.0 == "message:new" && told.1["body"] == body;
        within(body, async {
            loop {
                if let Some(index) = self.events.iter().position(is_it) {
                    self.events.remove(index);
                    return self.take_events(index);
                }
                self.keep_next().await;
            }
        })
        .await
    }

    fn take_events(&mut self, count: usize) -> Vec<Told> {
        let mut events: Vec<_> = self.events.drain(..count).collect();
        events.retain(|(name, _)| !name.starts_with("presence:"));
        events
    }

    async fn keep_next(&mut self) {
        let packet = self.socket.text().await;
        self.keep(&packet);
    }

    fn keep(&mut self, packet: &str) {
        if let Some(event) = packet.strip_prefix("42") {
            self.events.push_back(serde_json::from_str(event).unwrap());
        } else if let Some(answer) = packet.strip_prefix("43") {
            let (id, answer) = split(answer);
            let [answer]: [Value; 1] = serde_json::from_str(answer).unwrap();
            let twice = self.acks.insert(id.expect("an ack's id"), answer);
            assert_eq!(twice, None, "{packet}");
        } else {
            panic!("{packet} instead of an event or an ack");
        }
    }

    /// Waits for DISCONNECT, keeping the events before it.
    pub async fn disconnected(&mut self) {
        within("DISCONNECT", async {
            loop {
                let packet = self.socket.text().await;
                if packet == "41" {
                    return;
                }
                self.keep(&packet);
            }
        })
        .await;
    }

    /// Waits for the end of the transport, and says with which code it was closed, if with any.
    pub async fn ended(&mut self) -> Option<u16> {
        let mut code = None;
        loop {
            match self.socket.next().await {
                Incoming::End => return code,
                Incoming::Close(found, _) => code = Some(found),
                Incoming::Text(packet) if packet.starts_with('4') => self.keep(&packet),
                _ => {}
            }
        }
    }

    /// The WebSocket below.
    pub fn socket(&mut self) -> &mut WebSocket {
        &mut self.socket
    }
}

/// The digits in front, and the rest.
fn split(text: &str) -> (Option<u64>, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    (text[..end].parse().ok(), &text[end..])
}

/// Whether an ack refuses with this code, which then has to say that, and when, to try again.
///
/// # Panics
/// If it doesn't say so.
pub fn is_refused_for_now(answer: &Value, code: &str) -> bool {
    let error = &answer["error"];
    if error["code"] != code {
        return false;
    }
    assert_eq!(
        (&answer["ok"], &error["retryable"]),
        (&json!(false), &json!(true))
    );
    assert!(
        error["retryAfterMs"].as_u64().is_some_and(|ms| ms > 0),
        "{answer}"
    );
    true
}
