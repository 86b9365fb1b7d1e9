//! The application of the gateway's tests: echoes, rooms, and an event for everything a server can do to a client.

use std::{collections::HashMap, net::IpAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use gateway::{
    Ack, CloseReason, ConnectRequest, Event, Frame, Handled, Handler, Refusal, Session, Socket,
};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// How long a client may take to answer a request.
const ANSWER: Duration = Duration::from_secs(20);

/// An end of a namespace, as the session was told.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    pub namespace: String,
    pub topics: Vec<String>,
    pub reason: CloseReason,
}

/// Serves "/" and "/custom", refuses "/refused" with data, and knows nothing else.
#[derive(Default)]
pub struct EchoRooms {
    /// Attempts to connect, by namespace.
    connects: Mutex<HashMap<String, u32>>,
    /// Attempts that were told to come back, by the client's key.
    busy: Mutex<HashMap<String, u32>>,
    held: Mutex<Vec<Ack>>,
    pub ended: Mutex<Vec<Ended>>,
}

/// What a client may put into `auth`, beside anything else.
#[derive(Deserialize)]
struct Auth {
    /// Be told to come back later `times` times; attempts are counted under `key`.
    busy: Option<Busy>,
}

#[derive(Deserialize)]
struct Busy {
    key: String,
    times: u32,
}

impl Handler for EchoRooms {
    fn connect(
        self: Arc<Self>,
        request: ConnectRequest,
    ) -> BoxFuture<'static, Result<Arc<dyn Session>, Refusal>> {
        Box::pin(async move {
            *self
                .connects
                .lock()
                .entry(request.namespace.clone())
                .or_default() += 1;
            match request.namespace.as_str() {
                "/" | "/custom" => {}
                "/refused" => {
                    return Err(Refusal::Final {
                        message: "you may not enter".into(),
                        data: Some(json!({ "code": "forbidden", "message": "you may not enter" })),
                    });
                }
                _ => {
                    return Err(Refusal::Final {
                        message: "Invalid namespace".into(),
                        data: None,
                    });
                }
            }
            if let Ok(Auth { busy: Some(busy) }) = request.auth() {
                let mut attempts = self.busy.lock();
                let attempts = attempts.entry(busy.key).or_default();
                if *attempts < busy.times {
                    *attempts += 1;
                    return Err(Refusal::TryLater);
                }
            }
            Ok(Arc::new(Visitor {
                address: request.address,
                auth: request.auth_json().unwrap_or("{}").to_owned(),
                namespace: request.namespace,
                rooms: self,
                later: answering_later(),
            }) as Arc<dyn Session>)
        })
    }
}

/// Answers events by batches, as a store does that writes them together.
fn answering_later() -> mpsc::UnboundedSender<(Ack, String)> {
    let (sender, mut receiver) = mpsc::unbounded_channel::<(Ack, String)>();
    tokio::spawn(async move {
        let mut batch = Vec::new();
        while receiver.recv_many(&mut batch, 1_000).await > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            for (ack, arguments) in batch.drain(..) {
                ack.send_json(arguments, Vec::new());
            }
        }
    });
    sender
}

struct Visitor {
    rooms: Arc<EchoRooms>,
    /// Answers that are given by somebody else.
    later: mpsc::UnboundedSender<(Ack, String)>,
    address: IpAddr,
    namespace: String,
    auth: String,
}

impl Visitor {
    fn frame(&self, name: &str, payload: &Value) -> Frame {
        Frame::event(&self.namespace, name, payload).unwrap()
    }

    fn with_bytes(&self, name: &str, bytes: Bytes) -> Frame {
        Frame::event_from_json(&self.namespace, name, PLACEHOLDER, vec![bytes])
    }
}

/// The only attachment of a packet.
const PLACEHOLDER: &str = r#"{"_placeholder":true,"num":0}"#;

impl Session for Visitor {
    fn connected(self: Arc<Self>, socket: Socket) -> Handled {
        let frame = Frame::event_from_json(&self.namespace, "welcome", &self.auth, Vec::new());
        socket.send(&frame);
        None
    }

    fn event(self: Arc<Self>, socket: Socket, mut event: Event) -> Handled {
        match event.name() {
            "echo" => {
                let (arguments, attachments) = (event.arguments().to_owned(), event.attachments());
                let ack = event.into_ack();
                if ack.is_wanted() {
                    ack.send_json(arguments, attachments);
                } else {
                    socket.send(&Frame::event_from_json(
                        &self.namespace,
                        "echo",
                        &arguments,
                        attachments,
                    ));
                }
            }
            "join" => {
                let topic: String = event.parse().unwrap();
                let joined = socket.join(&topic, 0).map_err(|e| e.to_string());
                event.into_ack().send(&joined).unwrap();
            }
            "leave" => {
                let topic: String = event.parse().unwrap();
                let left = socket.leave(&topic);
                event.into_ack().send(&left).unwrap();
            }
            "ask" => {
                let question: Value = event.parse().unwrap();
                let ack = event.into_ack();
                // On its own: an answer can't be read while this event is being handled.
                tokio::spawn(async move {
                    let answer = match socket.request("question", &question, ANSWER).await {
                        Ok(mut reply) => reply.decode::<Value>().map_err(|e| e.to_string()),
                        Err(e) => Err(e.to_string()),
                    };
                    ack.send(&answer).unwrap();
                });
            }
            "ask-bytes" => {
                let question: Bytes = event.decode().unwrap();
                let ack = event.into_ack();
                tokio::spawn(async move {
                    let mut reply = socket.request("question", &question, ANSWER).await.unwrap();
                    let answer: Bytes = reply.decode().unwrap();
                    ack.send_json(PLACEHOLDER.into(), vec![answer]);
                });
            }
            "count" => {
                for number in 0..event.parse::<u32>().unwrap() {
                    socket.send(&self.frame("number", &json!(number)));
                }
            }
            "text" => {
                let text = "x".repeat(event.parse().unwrap());
                event.into_ack().send(&text).unwrap();
            }
            "bytes" => {
                let bytes = vec![7; event.parse::<usize>().unwrap()];
                socket.send(&self.with_bytes("bytes", bytes.into()));
            }
            // Answered in order, a while after the next event has come.
            "later" => {
                let (arguments, ack) = (event.arguments().to_owned(), event.into_ack());
                self.later.send((ack, arguments)).unwrap();
            }
            "wait" => {
                let time = Duration::from_millis(event.parse().unwrap());
                let ack = event.into_ack();
                return Some(Box::pin(async move {
                    tokio::time::sleep(time).await;
                    ack.send("waited").unwrap();
                }));
            }
            "address" => {
                let addresses = [self.address, socket.address()];
                event.into_ack().send(&addresses).unwrap();
            }
            "hold" => self.rooms.held.lock().push(event.into_ack()),
            "release" => {
                for ack in std::mem::take(&mut *self.rooms.held.lock()) {
                    ack.send("released").unwrap();
                }
            }
            "connects" => {
                let namespace: String = event.parse().unwrap();
                let count = self.rooms.connects.lock().get(&namespace).copied();
                event.into_ack().send(&count).unwrap();
            }
            "disconnect-me" => socket.disconnect(),
            "close-me" => socket.close(CloseReason::TryLater),
            _ => {}
        }
        None
    }

    fn unreadable(&self, ack: Ack) {
        ack.send("unreadable").unwrap();
    }

    fn overloaded(&self, event: Event) {
        event.into_ack().send("overloaded").unwrap();
    }

    fn lagging(&self, topic: &str) -> Option<Frame> {
        Some(self.frame("lagged", &json!(topic)))
    }

    fn disconnected(&self, _: &Socket, topics: &[Arc<str>], reason: CloseReason) {
        let mut topics: Vec<_> = topics.iter().map(|topic| topic.to_string()).collect();
        topics.sort();
        self.rooms.ended.lock().push(Ended {
            namespace: self.namespace.clone(),
            topics,
            reason,
        });
    }
}
