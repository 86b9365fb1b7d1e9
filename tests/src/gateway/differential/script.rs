//! What a client sends in one case, and what it sees of it.
//!
//! Step by step: a WebSocket ping behind each step (or the answer to its POST) shows that the server has read it. At the
//! end the client connects to `/fence`; what came before its answer is the outcome, and a server that gives none has
//! closed the connection. How each says that it closes isn't compared, nor when it pings.

use std::net::SocketAddr;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::Value;

use crate::client::{
    polling::{Polling, packets},
    websocket::{Incoming, PING, WebSocket, binary, frame, text},
};

#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// An Engine.IO packet, its type included.
    Text(String),
    /// A binary message.
    Binary(Vec<u8>),
    /// The answer to the last event `question`: everything behind the packet's type and id.
    Answer(String),
    /// Bytes as they are; only over WebSocket.
    Raw(Vec<u8>),
    /// The body of a POST; only over polling.
    Payload(String),
}

/// What a client saw.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Engine.IO packets, without what differs from run to run. Over polling none if the connection was closed: what
    /// waited for a poll then is lost or not, as chance has it.
    pub packets: Vec<String>,
    pub closed: bool,
}

const FENCE: &str = "40/fence,";

/// Runs the steps over WebSocket.
pub async fn over_websocket(address: SocketAddr, steps: &[Step]) -> Outcome {
    let mut client = Seen::default();
    let mut socket = WebSocket::open(address).await;
    for step in steps {
        let bytes = match step {
            Step::Text(packet) => text(packet),
            Step::Binary(message) => binary(message),
            Step::Answer(answer) => {
                // The question is still on its way.
                while client.question.is_empty() {
                    match socket.next().await {
                        Incoming::Close(..) | Incoming::End => return client.outcome(true),
                        incoming => client.see_message(incoming),
                    };
                }
                text(&client.answer(answer))
            }
            Step::Raw(bytes) => bytes.clone(),
            Step::Payload(_) => panic!("a payload over WebSocket"),
        };
        // The bytes and the ping in one write: a server that closes because of the bytes may be gone before a second.
        let ping = frame(PING, true, b"read?");
        if socket.try_write(&[bytes, ping].concat()).await.is_err() {
            break;
        }
        if !client.see_until_pong(&mut socket).await {
            return client.outcome(true);
        }
    }
    let closed =
        socket.try_write(&text(FENCE)).await.is_err() || !client.see_until_fence(&mut socket).await;
    client.outcome(closed)
}

/// Runs the steps over polling.
pub async fn over_polling(address: SocketAddr, steps: &[Step]) -> Outcome {
    let mut client = Seen::default();
    let polling = Polling::open(address).await;
    let closed = Outcome {
        packets: Vec::new(),
        closed: true,
    };
    for step in steps {
        let body = match step {
            Step::Text(packet) => packet.clone(),
            Step::Binary(message) => format!("b{}", BASE64_STANDARD.encode(message)),
            Step::Answer(answer) => {
                // The question is still to be fetched.
                while client.question.is_empty() {
                    let Some(packets) = fetch(&polling).await else {
                        return closed;
                    };
                    client.see_all(packets);
                }
                client.answer(answer)
            }
            Step::Payload(body) => body.clone(),
            Step::Raw(_) => panic!("bytes over polling"),
        };
        // A refusal is seen at the fence.
        polling.post(body).await;
    }
    if polling.post(FENCE).await.status != 200 {
        return closed;
    }
    while let Some(packets) = fetch(&polling).await {
        if client.see_all(packets) {
            return client.outcome(false);
        }
    }
    closed
}

/// The packets that wait, or that come next; `None` from a connection that has ended.
async fn fetch(polling: &Polling) -> Option<Vec<String>> {
    let response = polling.get().await;
    (response.status == 200 && !response.body.is_empty()).then(|| packets(&response))
}

#[derive(Default)]
struct Seen {
    packets: Vec<String>,
    /// Id of the last question, until it is answered.
    question: String,
}

impl Seen {
    async fn see_until_pong(&mut self, socket: &mut WebSocket) -> bool {
        loop {
            match socket.next().await {
                Incoming::Pong(_) => return true,
                Incoming::Close(..) | Incoming::End => return false,
                incoming => {
                    self.see_message(incoming);
                }
            }
        }
    }

    async fn see_until_fence(&mut self, socket: &mut WebSocket) -> bool {
        loop {
            match socket.next().await {
                Incoming::Pong(_) => {}
                Incoming::Close(..) | Incoming::End => return false,
                incoming => {
                    if self.see_message(incoming) {
                        return true;
                    }
                }
            }
        }
    }

    fn see_message(&mut self, incoming: Incoming) -> bool {
        match incoming {
            Incoming::Text(packet) => self.see(&packet),
            Incoming::Binary(message) => self.see(&format!("b{}", BASE64_STANDARD.encode(message))),
            other => panic!("{other:?}"),
        }
    }

    fn see_all(&mut self, packets: Vec<String>) -> bool {
        packets.iter().any(|packet| self.see(packet))
    }

    /// Keeps a packet; true if it is the fence.
    fn see(&mut self, packet: &str) -> bool {
        if packet.starts_with(FENCE) {
            return true;
        }
        if packet == "2" || packet == "1" {
            return false;
        }
        let Some(start) = packet.find(['[', '{']) else {
            self.packets.push(packet.to_owned());
            return false;
        };
        let (head, json) = packet.split_at(start);
        let mut head = head.to_owned();
        // Parsed and printed again, so that spelling doesn't matter.
        let Ok(mut json) = serde_json::from_str::<Value>(json) else {
            self.packets.push(packet.to_owned());
            return false;
        };
        if head.starts_with("40") && json["sid"].is_string() {
            json["sid"] = "…".into();
        }
        if json[0] == "question" {
            let id = head.trim_end_matches(|c: char| c.is_ascii_digit()).len();
            // The digits of "42" are no id.
            self.question = head.split_off(id.max(2));
        }
        self.packets.push(format!("{head}{json}"));
        false
    }

    /// An ack of the last question.
    fn answer(&mut self, answer: &str) -> String {
        format!("43{}{answer}", std::mem::take(&mut self.question))
    }

    fn outcome(self, closed: bool) -> Outcome {
        Outcome {
            packets: self.packets,
            closed,
        }
    }
}
