//! A server with a data directory of its own, and people who use it.

use std::{net::SocketAddr, path::Path, sync::Arc};

use ::http::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tertulia::{config::Config, server};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

use super::chat_client::ChatClient;
use crate::{client::http, deadline::within};

/// A running server. Dropping it leaves its clients to the end of the test; [`stop`](Self::stop) ends it properly.
pub struct TestApp {
    pub address: SocketAddr,
    data: Arc<TempDir>,
    variables: Vec<(String, String)>,
    stop: oneshot::Sender<()>,
    running: JoinHandle<Result<(), server::StartError>>,
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

impl TestApp {
    /// A server as it is by default.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// A server with these environment variables.
    pub async fn start_with(variables: &[(&str, &str)]) -> Self {
        let variables = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Self::start_on(Arc::new(TempDir::new().unwrap()), variables).await
    }

    async fn start_on(data: Arc<TempDir>, variables: Vec<(String, String)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let lookup = |name: &str| {
            let given = variables.iter().find(|(variable, _)| variable == name);
            match (name, given) {
                (_, Some((_, value))) => Some(value.clone()),
                ("DATA_DIR", None) => Some(data.path().display().to_string()),
                ("DRAIN_SECONDS", None) => Some("1".into()),
                _ => None,
            }
        };
        let config = Config::read(lookup).unwrap();
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(server::start(config, listener, async {
            // A test that drops the server without stopping it lets it run.
            if stopped.await.is_err() {
                std::future::pending::<()>().await;
            }
        }));
        let app = Self {
            address,
            data,
            variables,
            stop,
            running,
        };
        app.get("/health/ready", None).await.expect(200);
        app
    }

    /// Stops the server and waits until everything is written and its directory is free.
    pub async fn stop(self) {
        self.stop.send(()).expect("a running server");
        within("the server's end", self.running)
            .await
            .unwrap()
            .unwrap();
    }

    /// Stops the server and starts another one on the same directory.
    pub async fn restart(self) -> Self {
        let (data, variables) = (self.data.clone(), self.variables.clone());
        self.stop().await;
        Self::start_on(data, variables).await
    }

    /// Where the server keeps everything.
    pub fn data_dir(&self) -> &Path {
        self.data.path()
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
        let response = http::request(self.address, method, path, &headers, body).await;
        Answer {
            status: response.status,
            body: if response.body.is_empty() {
                Value::Null
            } else {
                serde_json::from_slice(&response.body).expect("JSON")
            },
        }
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
        ChatClient::connect(self.address, json!({ "token": person.access_token })).await
    }

    /// Connects somebody who had these rooms: `{ roomId: { seq, epoch? } }`.
    pub async fn resume(&self, person: &Person, rooms: Value) -> ChatClient {
        let auth = json!({ "token": person.access_token, "resume": rooms });
        ChatClient::connect(self.address, auth).await
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
