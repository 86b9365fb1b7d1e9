//! HTTP/1.1 requests, one connection each.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use tokio::net::TcpSocket;

use crate::deadline::within;

/// An answer, read to its end.
#[derive(Debug)]
pub struct Response {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Response {
    /// The body as text.
    ///
    /// # Panics
    /// If it isn't UTF-8.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body of UTF-8")
    }
}

/// Sends one request and reads the whole answer.
///
/// # Panics
/// If there is no answer within the deadline.
pub async fn request(
    address: SocketAddr,
    method: Method,
    target: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Response {
    let anywhere = IpAddr::from([0, 0, 0, 0]);
    request_from(anywhere, address, method, target, headers, body).await
}

/// The same from an address of this machine's.
///
/// # Panics
/// If there is no answer within the deadline.
pub async fn request_from(
    source: IpAddr,
    address: SocketAddr,
    method: Method,
    target: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Response {
    within(target, async {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind((source, 0).into()).expect("a source address");
        let stream = socket.connect(address).await.expect("a connection");
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .expect("an HTTP connection");
        let driving = tokio::spawn(connection);
        let mut head = Request::builder()
            .method(method)
            .uri(target)
            .header("host", address.to_string());
        for (name, value) in headers {
            head = head.header(*name, *value);
        }
        let request = head.body(Full::new(body.into())).expect("a valid request");
        let (head, body) = sender
            .send_request(request)
            .await
            .expect("an answer")
            .into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes();
        drop(sender);
        // The server may close first; the answer is complete either way.
        drop(driving.await);
        Response {
            status: head.status,
            headers: head.headers,
            body,
        }
    })
    .await
}
