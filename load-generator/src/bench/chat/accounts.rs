//! Users and rooms for the measurement, made over HTTP.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddrV4, TcpStream},
    rc::Rc,
    time::Duration,
};

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};
use serde_json::{Value, json};

use crate::{
    engine::source_address,
    error::{Doing, Error, Result},
    packet,
};

const ANSWER_TIME: Duration = Duration::from_secs(30);
const MAX_ANSWER: u64 = 1 << 20;

/// A registered user.
pub struct Account {
    token: String,
}

impl Account {
    /// The frame that connects the chat namespace as this user.
    pub fn connect_frame(&self) -> Rc<[u8]> {
        packet::connect_frame(Some(&json!({ "token": self.token }).to_string())).into()
    }

    /// The header, with its line end, that requests of this user have.
    pub fn authorization(&self) -> String {
        format!("Authorization: Bearer {}\r\n", self.token)
    }
}

/// Registers user number `number`, from an address of its own kind.
///
/// # Errors
/// [`Error::Protocol`] when the server refuses, [`Error::Io`] when it doesn't answer within 30 s.
pub fn register(server: SocketAddrV4, number: usize) -> Result<Account> {
    let body = json!({ "username": format!("load{number}"), "password": format!("pass phrase of load {number}") });
    sign_up(server, number, "/api/v1/auth/register", &body)
}

/// A guest: an account without a password, which costs the server hardly anything to make.
///
/// # Errors
/// As [`register`].
pub fn guest(server: SocketAddrV4, number: usize) -> Result<Account> {
    let body = json!({ "displayName": format!("guest {number}") });
    sign_up(server, number, "/api/v1/auth/guest", &body)
}

fn sign_up(server: SocketAddrV4, number: usize, path: &str, body: &Value) -> Result<Account> {
    let answer = json(&ask(server, number, "POST", path, None, Some(body))?)?;
    let token = answer["accessToken"].as_str();
    token
        .map(|token| Account {
            token: token.into(),
        })
        .ok_or_else(|| Error::Protocol("no accessToken".into()))
}

/// Creates a public room and returns its id.
///
/// # Errors
/// As [`register`].
pub fn create_room(
    server: SocketAddrV4,
    number: usize,
    owner: &Account,
    name: &str,
) -> Result<String> {
    let body = json!({ "name": name, "kind": "public" });
    let answer = ask(
        server,
        number,
        "POST",
        "/api/v1/rooms",
        Some(owner),
        Some(&body),
    )?;
    let answer = json(&answer)?;
    answer["room"]["id"]
        .as_str()
        .map(Into::into)
        .ok_or_else(|| Error::Protocol("no room.id".into()))
}

/// Posts message number `number` into a room.
///
/// # Errors
/// As [`register`].
pub fn post_message(
    server: SocketAddrV4,
    sender: &Account,
    room: &str,
    number: usize,
) -> Result<()> {
    let body = json!({ "body": format!("message {number} of people who talk in a room"), "clientId": format!("m{number}") });
    let path = format!("/api/v1/rooms/{room}/messages");
    ask(server, 0, "POST", &path, Some(sender), Some(&body)).map(drop)
}

fn json(body: &[u8]) -> Result<Value> {
    serde_json::from_slice(body).map_err(|error| Error::Protocol(error.to_string()))
}

fn ask(
    server: SocketAddrV4,
    number: usize,
    method: &str,
    path: &str,
    account: Option<&Account>,
    body: Option<&Value>,
) -> Result<Vec<u8>> {
    let doing = || format!("{method} {path}");
    let socket = socket_with(
        AddressFamily::INET,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )
    .doing(doing)?;
    bind(&socket, &SocketAddrV4::new(source_address(number), 0)).doing(doing)?;
    connect(&socket, &server).doing(doing)?;
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(ANSWER_TIME)).doing(doing)?;

    let body = body.map(Value::to_string).unwrap_or_default();
    let authorization = account.map(Account::authorization).unwrap_or_default();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         {authorization}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).doing(doing)?;
    let mut answer = Vec::new();
    stream
        .take(MAX_ANSWER)
        .read_to_end(&mut answer)
        .doing(doing)?;
    let body = parse_answer(&answer);
    let body = body.map_err(|error| Error::Protocol(format!("{method} {path}: {error}")))?;
    Ok(body.to_vec())
}

/// The body of an answer that says success.
fn parse_answer(answer: &[u8]) -> Result<&[u8]> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let head = match response.parse(answer) {
        Ok(httparse::Status::Complete(head)) => head,
        Ok(httparse::Status::Partial) => {
            return Err(Error::Protocol("the answer ends too early".into()));
        }
        Err(error) => return Err(Error::Protocol(error.to_string())),
    };
    let body = &answer[head..];
    match response.code {
        Some(200..=299) => Ok(body),
        code => Err(Error::Protocol(format!(
            "status {}: {}",
            code.unwrap_or_default(),
            String::from_utf8_lossy(body)
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_gives_its_body_or_its_reason() {
        let created = b"HTTP/1.1 201 Created\r\ncontent-length: 14\r\n\r\n{\"room\":\"abc\"}";
        assert_eq!(parse_answer(created).unwrap(), b"{\"room\":\"abc\"}");
        let refused = b"HTTP/1.1 429 Too Many Requests\r\n\r\n{\"code\":\"rate_limited\"}";
        assert_eq!(
            parse_answer(refused).unwrap_err().to_string(),
            "status 429: {\"code\":\"rate_limited\"}"
        );
        assert!(parse_answer(b"HTTP/1.1 201 Crea").is_err());
    }
}
