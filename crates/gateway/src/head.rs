//! The head of an HTTP/1.1 message, without an HTTP server around it.

use std::io;

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use tokio::net::TcpStream;

use crate::{gateway::Gateway, handshake};

/// A larger head is left to hyper.
const MAX_HEAD: usize = 8 * 1024;
const MAX_HEADERS: usize = 64;

/// What the head of a request turned out to be.
pub(crate) enum Head {
    Incomplete,
    /// A WebSocket handshake for the gateway of this index, of this many bytes.
    WebSocket(usize, usize, Box<Request<()>>),
    /// Anything else, malformed ones included.
    Other,
}

/// Reads until the head of the first request is there, or is none of a gateway's.
pub(crate) async fn read(
    gateways: &[Gateway],
    stream: &TcpStream,
    received: &mut Vec<u8>,
) -> io::Result<Head> {
    loop {
        stream.readable().await?;
        let mut buffer = [0; 2048];
        match stream.try_read(&mut buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => received.extend_from_slice(&buffer[..length]),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => continue,
            Err(e) => return Err(e),
        }
        match parse(gateways, received) {
            Head::Incomplete if received.len() < MAX_HEAD => {}
            Head::Incomplete => return Ok(Head::Other),
            head => return Ok(head),
        }
    }
}

fn parse(gateways: &[Gateway], received: &[u8]) -> Head {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    let length = match parsed.parse(received) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Head::Incomplete,
        Err(_) => return Head::Other,
    };
    let target = parsed.path.unwrap_or_default();
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    let Some(gateway) = gateways.iter().position(|g| g.config().serves(path)) else {
        return Head::Other;
    };
    match owned(&parsed) {
        Some(request) if handshake::is_asked_for(request.headers()) => {
            Head::WebSocket(gateway, length, Box::new(request))
        }
        _ => Head::Other,
    }
}

/// The path that a request asks for, if its first line is there.
pub(crate) fn path(received: &[u8]) -> Option<&str> {
    let line = received.split(|byte| *byte == b'\r').next()?;
    let target = std::str::from_utf8(line).ok()?.split(' ').nth(1)?;
    target.split('?').next()
}

/// The parsed head as an owned request; `None` if a part isn't valid HTTP after all.
fn owned(parsed: &httparse::Request<'_, '_>) -> Option<Request<()>> {
    let mut headers = HeaderMap::with_capacity(parsed.headers.len());
    for header in parsed.headers.iter() {
        headers.append(
            HeaderName::from_bytes(header.name.as_bytes()).ok()?,
            HeaderValue::from_bytes(header.value).ok()?,
        );
    }
    let mut request = Request::builder()
        .method(parsed.method?)
        .uri(parsed.path?)
        .version(if parsed.version? == 1 {
            http::Version::HTTP_11
        } else {
            http::Version::HTTP_10
        })
        .body(())
        .ok()?;
    *request.headers_mut() = headers;
    Some(request)
}

/// Status line and headers as bytes; with a body it is the connection's last answer.
pub(crate) fn write(response: &Response<()>, body: Option<usize>) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {}\r\n", response.status()).into_bytes();
    for (name, value) in response.headers() {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    if let Some(length) = body {
        bytes.extend_from_slice(
            format!("content-length: {length}\r\nconnection: close\r\n").as_bytes(),
        );
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}
