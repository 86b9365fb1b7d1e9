//! Engine.IO over HTTP long polling, request by request.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Method, StatusCode};

use crate::client::http::{Response, request};

/// Separates the packets of a payload.
pub const SEPARATOR: char = '\u{1e}';

/// A polling connection.
#[derive(Clone, Debug)]
pub struct Polling {
    address: SocketAddr,
    target: String,
    pub sid: String,
}

impl Polling {
    /// Opens a connection.
    ///
    /// # Panics
    /// If the server doesn't answer with an opening packet.
    pub async fn open(address: SocketAddr) -> Self {
        let target = "/socket.io/?EIO=4&transport=polling";
        let response = request(address, Method::GET, target, &[], "").await;
        assert_eq!(response.status, StatusCode::OK);
        let open = response.text().strip_prefix('0').expect("an open packet");
        let open: serde_json::Value = serde_json::from_str(open).unwrap();
        let sid = open["sid"].as_str().expect("an sid").to_owned();
        Self {
            address,
            target: format!("{target}&sid={sid}"),
            sid,
        }
    }

    /// The same connection by way of another server.
    pub fn through(&self, address: SocketAddr) -> Self {
        Self {
            address,
            ..self.clone()
        }
    }

    /// One GET, whatever its answer.
    pub async fn get(&self) -> Response {
        request(self.address, Method::GET, &self.target, &[], "").await
    }

    /// One POST, whatever its answer.
    pub async fn post(&self, payload: impl Into<Bytes>) -> Response {
        let headers = [("content-type", "text/plain;charset=UTF-8")];
        request(self.address, Method::POST, &self.target, &headers, payload).await
    }

    /// One GET's packets.
    ///
    /// # Panics
    /// If it isn't answered with packets.
    pub async fn receive(&self) -> Vec<String> {
        let response = self.get().await;
        assert_eq!(response.status, StatusCode::OK, "{}", response.text());
        packets(&response)
    }

    /// One POST that has to be accepted.
    ///
    /// # Panics
    /// If it isn't.
    pub async fn send(&self, payload: &str) {
        let response = self.post(payload.to_owned()).await;
        assert_eq!(response.status, StatusCode::OK, "{}", response.text());
    }
}

/// The packets of a payload.
pub fn packets(response: &Response) -> Vec<String> {
    response
        .text()
        .split(SEPARATOR)
        .map(str::to_owned)
        .collect()
}
