//! Somebody's connection to the namespace "/", as JSON.

use std::{collections::VecDeque, net::SocketAddr};

use serde_json::{Value, json};

use crate::client::websocket::{Incoming, WebSocket};

/// A connection that keeps the events which come while it waits for something else.
pub struct ChatClient {
    socket: WebSocket,
    next_ack: u64,
    events: VecDeque<(String, Value)>,
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
        let mut socket = WebSocket::open(address).await;
        socket.send(&format!("40{auth}")).await;
        let answer = socket.text().await;
        if let Some(error) = answer.strip_prefix("44") {
            return Err(serde_json::from_str(error).unwrap());
        }
        assert!(answer.starts_with(r#"40{"sid":"#), "{answer}");
        Ok(Self {
            socket,
            next_ack: 0,
            events: VecDeque::new(),
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

    /// Sends a packet as it is.
    pub async fn send_raw(&mut self, packet: &str) {
        self.socket.send(packet).await;
    }

    /// Waits for an ack; acks may come in any order, but are awaited in the order they come here.
    pub async fn ack(&mut self, id: u64) -> Value {
        loop {
            let packet = self.socket.text().await;
            if let Some(answer) = packet.strip_prefix("43") {
                let (found, answer) = split(answer);
                assert_eq!(found, Some(id), "{packet}");
                let [answer]: [Value; 1] = serde_json::from_str(answer).unwrap();
                return answer;
            }
            self.keep(&packet);
        }
    }

    /// The next event of this name; those before it are kept.
    pub async fn event(&mut self, name: &str) -> Value {
        loop {
            if let Some(index) = self.events.iter().position(|(event, _)| event == name) {
                return self.events.remove(index).unwrap().1;
            }
            let packet = self.socket.text().await;
            self.keep(&packet);
        }
    }

    /// The next event of a room's log, whatever it is, with its name.
    pub async fn next_of_log(&mut self) -> (String, Value) {
        loop {
            let is_of_log = |name: &str| name.starts_with("message:") || name == "room:void";
            if let Some(index) = self.events.iter().position(|(event, _)| is_of_log(event)) {
                return self.events.remove(index).unwrap();
            }
            let packet = self.socket.text().await;
            self.keep(&packet);
        }
    }

    /// What has come so far and wasn't asked for, but for presence: everything that came before the answer to this.
    pub async fn so_far(&mut self) -> Vec<(String, Value)> {
        self.emit("no:such:event", json!({})).await;
        let mut events: Vec<_> = self.events.drain(..).collect();
        events.retain(|(name, _)| !name.starts_with("presence:"));
        events
    }

    fn keep(&mut self, packet: &str) {
        let event = packet
            .strip_prefix("42")
            .unwrap_or_else(|| panic!("{packet} instead of an event"));
        let (name, payload): (String, Value) = serde_json::from_str(event).unwrap();
        self.events.push_back((name, payload));
    }

    /// Waits for DISCONNECT, keeping the events before it.
    pub async fn disconnected(&mut self) {
        loop {
            let packet = self.socket.text().await;
            if packet == "41" {
                return;
            }
            self.keep(&packet);
        }
    }

    /// Waits for the end of the transport, and says with which code it was closed, if with any.
    pub async fn ended(&mut self) -> Option<u16> {
        let mut code = None;
        loop {
            match self.socket.next().await {
                Incoming::End => return code,
                Incoming::Close(found, _) => code = Some(found),
                Incoming::Text(packet) if packet.starts_with("42") => self.keep(&packet),
                _ => {}
            }
        }
    }
}

/// The digits in front, and the rest.
fn split(text: &str) -> (Option<u64>, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    (text[..end].parse().ok(), &text[end..])
}
