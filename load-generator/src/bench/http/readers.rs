//! Connections that read over HTTP/1.1, all from one thread.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddrV4, TcpStream},
    time::{Duration, Instant},
};

use crate::{
    bench::chat::accounts::Account,
    error::{Doing, Error, Result},
};

const ANSWER_TIME: Duration = Duration::from_secs(10);
const BUFFER: usize = 256 * 1024;

/// Kept connections that send the same request again and again.
pub struct Readers {
    connections: Vec<TcpStream>,
    request: Vec<u8>,
    buffer: Vec<u8>,
}

impl Readers {
    /// # Errors
    /// [`Error::Io`] when the server doesn't accept them.
    pub fn connect(
        server: SocketAddrV4,
        path: &str,
        account: &Account,
        count: usize,
    ) -> Result<Self> {
        let connect = |_| {
            let stream = TcpStream::connect(server)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(ANSWER_TIME))?;
            Ok(stream)
        };
        let connections: std::io::Result<_> = (0..count).map(connect).collect();
        let authorization = account.authorization();
        let request = format!("GET {path} HTTP/1.1\r\nHost: {server}\r\n{authorization}\r\n");
        Ok(Self {
            connections: connections.doing(|| format!("connecting to {server}"))?,
            request: request.into(),
            buffer: vec![0; BUFFER],
        })
    }

    /// Asks on every connection, takes all answers, and so on; returns how many there were.
    ///
    /// # Errors
    /// [`Error::Protocol`] at the first answer that isn't 200.
    pub fn run(&mut self, time: Duration) -> Result<u64> {
        let begun = Instant::now();
        let mut answers = 0;
        while begun.elapsed() < time {
            for connection in &mut self.connections {
                connection
                    .write_all(&self.request)
                    .doing(|| "asking".into())?;
            }
            for connection in &mut self.connections {
                take_answer(connection, &mut self.buffer)?;
                answers += 1;
            }
        }
        Ok(answers)
    }

    /// Asks once; returns the whole answer, head and body.
    ///
    /// # Errors
    /// [`Error::Protocol`] if it isn't 200.
    pub fn ask(&mut self) -> Result<&[u8]> {
        let connection = self.connections.first_mut();
        let connection = connection.ok_or_else(|| Error::Closed("before a request".into()))?;
        connection
            .write_all(&self.request)
            .doing(|| "asking".into())?;
        let length = take_answer(connection, &mut self.buffer)?;
        Ok(&self.buffer[..length])
    }
}

/// Returns its length.
fn take_answer(connection: &mut TcpStream, buffer: &mut [u8]) -> Result<usize> {
    let mut length = 0;
    let mut expected = None;
    loop {
        let read = connection
            .read(&mut buffer[length..])
            .doing(|| "reading an answer".into())?;
        if read == 0 {
            return Err(Error::Closed("in the middle of an answer".into()));
        }
        length += read;
        if expected.is_none() {
            expected = whole_length(&buffer[..length])?;
        }
        match expected {
            Some(expected) if length == expected => return Ok(length),
            Some(expected) if length > expected || expected > buffer.len() => {
                return Err(Error::Protocol(format!("an answer of {length} bytes")));
            }
            _ => {}
        }
    }
}

/// The length of an answer with its head, once the head is there.
fn whole_length(answer: &[u8]) -> Result<Option<usize>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let parsed = response.parse(answer);
    let httparse::Status::Complete(head) =
        parsed.map_err(|error| Error::Protocol(error.to_string()))?
    else {
        return Ok(None);
    };
    if response.code != Some(200) {
        return Err(Error::Protocol(format!("status {:?}", response.code)));
    }
    let length = response
        .headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("content-length"))
        .and_then(|header| str::from_utf8(header.value).ok()?.parse::<usize>().ok())
        .ok_or_else(|| Error::Protocol("an answer without its length".into()))?;
    Ok(Some(head + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_with_its_body() {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        assert_eq!(whole_length(answer).unwrap(), Some(answer.len()));
        assert_eq!(whole_length(&answer[..20]).unwrap(), None);
        assert!(whole_length(b"HTTP/1.1 429 No\r\ncontent-length: 2\r\n\r\n").is_err());
        assert!(whole_length(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
