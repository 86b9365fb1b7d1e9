//! What people ask of a running server, wherever it runs.

use std::{
    net::{IpAddr, SocketAddr},
    sync::atomic::{AtomicUsize, Ordering},
};

use ::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::chat_client::ChatClient;
use crate::client::http;

/// A running server, or a fleet, as its clients see it.
pub struct Api {
    addresses: Vec<SocketAddr>,
    turn: AtomicUsize,
}

/// Somebody who has registered.
#[derive(Debug, Clone)]
pub struct Person {
    pub id: String,
    pub access_token: String,
    pub refresh_token: String,
}

/// An answer of the API.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    /// `null` if there is no body.
    pub body: Value,
}

impl Answer {
    /// The body of an answer with this status.
    ///
    /// # Panics
    /// If the status is another one.
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.body
    }

    /// The `code` of a problem, whose status fits it.
    ///
    /// # Panics
    /// If it isn't a problem.
    pub fn code(&self) -> &str {
        assert_eq!(self.body["status"], self.status.as_u16(), "{}", self.body);
        self.body["code"].as_str().expect("a problem's code")
    }
}

impl Api {
    /// Of the instances that listen on these addresses.
    pub fn of(addresses: Vec<SocketAddr>) -> Self {
        Self {
            addresses,
            turn: AtomicUsize::new(0),
        }
    }

    /// Where the next client connects: each time another instance, as through a balancer.
    pub fn address(&self) -> SocketAddr {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        self.addresses[turn % self.addresses.len()]
    }

    /// A request to `/api/v1` or, if it begins with another path, to that.
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        person: Option<&Person>,
        body: Option<Value>,
    ) -> Answer {
        let bearer = person.map(|person| format!("Bearer {}", person.access_token));
        let mut headers = vec![("content-type", "application/json")];
        if let Some(bearer) = &bearer {
            headers.push(("authorization", bearer));
        }
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        http::request(self.address(), method, path, &headers, body)
            .await
            .into()
    }

    /// A request without a token, from an address of this machine's.
    pub async fn post_from(&self, source: IpAddr, path: &str, body: Value) -> Answer {
        let headers = [("content-type", "application/json")];
        let (address, body) = (self.address(), body.to_string());
        http::request_from(source, address, Method::POST, path, &headers, body)
            .await
            .into()
    }

    pub async fn get(&self, path: &str, person: Option<&Person>) -> Answer {
        self.request(Method::GET, path, person, None).await
    }

    pub async fn post(&self, path: &str, person: Option<&Person>, body: Value) -> Answer {
        self.request(Method::POST, path, person, Some(body)).await
    }

    pub async fn put(&self, path: &str, person: &Person, body: Value) -> Answer {
        self.request(Method::PUT, path, Some(person), Some(body))
            .await
    }

    pub async fn patch(&self, path: &str, person: &Person, body: Value) -> Answer {
        self.request(Method::PATCH, path, Some(person), Some(body))
            .await
    }

    pub async fn delete(&self, path: &str, person: &Person) -> Answer {
        self.request(Method::DELETE, path, Some(person), None).await
    }

    /// Registers somebody.
    pub async fn register(&self, username: &str) -> Person {
        let body = json!({ "username": username, "password": "correct horse" });
        let tokens = self.post("/api/v1/auth/register", None, body).await;
        person(&tokens.expect(201))
    }

    /// Signs in whom [`register`](Self::register) registered.
    pub async fn sign_in(&self, username: &str) -> Person {
        let body = json!({ "username": username, "password": "correct horse" });
        person(
            &self
                .post("/api/v1/auth/login", None, body)
                .await
                .expect(200),
        )
    }

    /// Lets a guest in.
    pub async fn guest(&self, name: &str) -> Person {
        let body = json!({ "displayName": name });
        person(
            &self
                .post("/api/v1/auth/guest", None, body)
                .await
                .expect(201),
        )
    }

    /// Connects somebody to the namespace "/".
    pub async fn connect(&self, person: &Person) -> ChatClient {
        ChatClient::connect(self.address(), json!({ "token": person.access_token })).await
    }

    /// Connects somebody who had these rooms: `{ roomId: { seq, epoch? } }`.
    pub async fn resume(&self, person: &Person, rooms: Value) -> ChatClient {
        let auth = json!({ "token": person.access_token, "resume": rooms });
        ChatClient::connect(self.address(), auth).await
    }
}

impl From<http::Response> for Answer {
    fn from(response: http::Response) -> Self {
        Self {
            status: response.status,
            body: if response.body.is_empty() {
                Value::Null
            } else {
                serde_json::from_slice(&response.body).expect("JSON")
            },
        }
    }
}

/// Somebody, from the answer to a sign-in.
pub fn person(tokens: &Value) -> Person {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    Person {
        id: text(&tokens["user"]["id"]),
        access_token: text(&tokens["accessToken"]),
        refresh_token: text(&tokens["refreshToken"]),
    }
}
