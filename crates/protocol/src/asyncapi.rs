//! The AsyncAPI 3.0 document, generated from the tables of events. It describes the server: it
//! receives client events and sends server events on a channel for each namespace.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::connect::{ConnectAuth, ConnectRefused};
use crate::error::{ErrorBody, ErrorCode};
use crate::event::{
    CLIENT_EVENTS, ClientEventRow, EVERY_EVENT_REFUSES, NOTIFICATION_EVENTS, NOTIFICATION_REQUESTS,
    SERVER_EVENTS,
};
use crate::schema::{Schemas, schema_of};

/// The document that `/api/asyncapi.json` answers with.
pub fn asyncapi() -> Value {
    // What AsyncAPI takes without being told the dialect of each schema.
    let mut schemas = Schemas::new(SchemaSettings::draft07());
    let mut channel = Channel::new("chat");
    let mut notifications = Channel::new("notifications");

    channel.add(
        "receive",
        "connect",
        "The `auth` of the connection to the namespace.",
        schema_of::<ConnectAuth>(&mut schemas.requests).to_value(),
    );
    channel.add(
        "send",
        "connect_error",
        "The connection is refused for good.",
        schema_of::<ConnectRefused>(&mut schemas.answers).to_value(),
    );
    let refused = schema_of::<ErrorBody>(&mut schemas.answers);
    let mut requests = |channel: &mut Channel, events: &[ClientEventRow]| {
        for event in events {
            let payload = (event.payload)(&mut schemas.requests).to_value();
            let body = (event.ack)(&mut schemas.answers).to_value();
            let codes = ErrorCode::ALL
                .into_iter()
                .filter(|code| EVERY_EVENT_REFUSES.contains(code) || event.errors.contains(code));
            let ack = ack(&body, refused.as_value(), codes);
            channel.add_request(event, payload, ack);
        }
    };
    requests(&mut channel, CLIENT_EVENTS);
    requests(&mut notifications, NOTIFICATION_REQUESTS);
    for event in SERVER_EVENTS {
        let payload = (event.payload)(&mut schemas.answers).to_value();
        channel.add("send", event.name, event.summary, payload);
    }
    for event in NOTIFICATION_EVENTS {
        let payload = (event.payload)(&mut schemas.answers).to_value();
        notifications.add("send", event.name, event.summary, payload);
    }
    let mut operations = channel.operations;
    operations.append(&mut notifications.operations);

    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Tertulia",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What a connected client sends and receives. The transport is Socket.IO \
                v5 over Engine.IO v4: each message below is an event by its name with the payload \
                as its only argument, and a reply is the event's acknowledgement. Everything else \
                is asked over HTTP and described at `/api/openapi.json`.",
            "license": { "name": "MIT" },
        },
        "defaultContentType": "application/json",
        "channels": {
            "chat": {
                "address": "/",
                "title": "Chat",
                "description": "The Socket.IO namespace `/`, at the path `/socket.io/`.",
                "messages": channel.messages,
            },
            "notifications": {
                "address": "/notifications",
                "title": "Notifications",
                "description": "The Socket.IO namespace `/notifications`, connected with the same `auth`.",
                "messages": notifications.messages,
            },
        },
        "operations": operations,
        "components": { "schemas": schemas.into_definitions() },
    })
}

/// How the document calls a client's event: one that has the name of an event of the server's has `.request` behind it.
pub fn notification_message(event: &str) -> String {
    match NOTIFICATION_EVENTS.iter().any(|row| row.name == event) {
        true => format!("{event}.request"),
        false => event.to_owned(),
    }
}

struct Channel {
    reference: String,
    messages: Map<String, Value>,
    operations: Map<String, Value>,
}

impl Channel {
    fn new(name: &str) -> Self {
        Self {
            reference: format!("#/channels/{name}"),
            messages: Map::new(),
            operations: Map::new(),
        }
    }

    fn add(&mut self, action: &str, name: &str, summary: &str, payload: Value) {
        let message = json!({ "name": name, "summary": summary, "payload": payload });
        self.messages.insert(name.to_owned(), message);
        let operation = json!({
            "action": action,
            "channel": { "$ref": self.reference },
            "summary": summary,
            "messages": [{ "$ref": format!("{}/messages/{name}", self.reference) }],
        });
        self.operations.insert(name.to_owned(), operation);
    }

    /// An event of clients. One that has the name of an event of the server's is called so with `.request` behind it.
    fn add_request(&mut self, event: &ClientEventRow, payload: Value, ack: Value) {
        let name = notification_message(event.name);
        self.add("receive", &name, event.summary, payload);
        self.messages[&name]["name"] = event.name.into();
        self.acknowledge(&name, ack);
    }

    fn acknowledge(&mut self, event: &str, payload: Value) {
        let name = format!("{event}.ack");
        let reply = json!({
            "channel": { "$ref": self.reference },
            "messages": [{ "$ref": format!("{}/messages/{name}", self.reference) }],
        });
        self.operations[event]["reply"] = reply;
        let message = json!({
            "name": name,
            "summary": format!("The acknowledgement of `{event}`."),
            "payload": payload,
        });
        self.messages.insert(name, message);
    }
}

/// What an ack holds: the body with `ok` beside its fields, or the error.
fn ack(body: &Value, refused: &Value, codes: impl Iterator<Item = ErrorCode>) -> Value {
    let codes: Vec<_> = codes.map(ErrorCode::as_str).collect();
    json!({
        "oneOf": [
            {
                "allOf": [
                    {
                        "type": "object",
                        "properties": { "ok": { "const": true } },
                        "required": ["ok"],
                    },
                    body,
                ],
            },
            {
                "type": "object",
                "properties": {
                    "ok": { "const": false },
                    "error": {
                        "allOf": [refused, { "properties": { "code": { "enum": codes } } }],
                    },
                },
                "required": ["ok", "error"],
            },
        ],
    })
}
