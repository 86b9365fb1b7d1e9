//! One connection to one server, logged in and speaking RESP3: bytes to write, and frames out of the bytes read.
//! Who has asked for what is kept by its owner: [`crate::node`] for commands, [`crate::subscriber`] for subscriptions.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use redis::{Cmd, FromRedisValue, Value, cmd};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::Options;
use crate::resp::{self, Frame, MAX_FRAME, Malformed, Scanner};
use crate::stream::Stream;
use crate::url::{Host, Login, RedisUrl};

/// One read takes at most this much, and an idle connection keeps this much.
const READ_SIZE: usize = 64 * 1024;

pub(crate) struct Link {
    pub(crate) host: Host,
    stream: Stream,
    /// Of this, `start..end` is read and not yet decoded.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    scanner: Scanner,
    /// What is to be written; `written` bytes of it are.
    pub(crate) outgoing: Vec<u8>,
    written: usize,
    pub(crate) greeting: Greeting,
}

/// What a server says of itself at log-in (`HELLO`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Greeting {
    pub(crate) version: String,
    /// `standalone`, `cluster` or `sentinel`.
    pub(crate) mode: String,
    /// `master` or `replica`.
    pub(crate) role: String,
}

/// How connections are made, beside where to.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    pub(crate) tls: bool,
    pub(crate) login: Option<Login>,
    pub(crate) database: u32,
    pub(crate) options: Options,
}

impl Access {
    pub(crate) fn new(url: &RedisUrl, options: Options) -> Self {
        Self {
            tls: url.tls,
            login: url.login.clone(),
            database: url.database,
            options,
        }
    }
}

impl Link {
    /// Connects and logs in, within the connect timeout. The error is a text for logs, without secrets.
    pub(crate) async fn open(host: &Host, access: &Access) -> Result<Self, String> {
        match tokio::time::timeout(
            access.options.connect_timeout,
            Self::open_patiently(host, access),
        )
        .await
        {
            Ok(Ok(link)) => Ok(link),
            Ok(Err(reason)) => Err(format!("{host}: {reason}")),
            Err(_) => Err(format!(
                "{host}: no connection within {:?}",
                access.options.connect_timeout
            )),
        }
    }

    async fn open_patiently(host: &Host, access: &Access) -> Result<Self, String> {
        let mut link = Self {
            host: host.clone(),
            stream: Stream::connect(host, access.tls, access.options.ca_file.as_deref()).await?,
            buffer: vec![0; READ_SIZE],
            start: 0,
            end: 0,
            scanner: Scanner::default(),
            outgoing: Vec::new(),
            written: 0,
            greeting: Greeting::default(),
        };
        let mut hello = cmd("HELLO");
        hello.arg(3);
        if let Some(Login { user, password }) = &access.login {
            hello
                .arg("AUTH")
                .arg(user.as_deref().unwrap_or("default"))
                .arg(password);
        }
        hello.arg("SETNAME").arg(format!(
            "tertulia-{}",
            access.options.name.replace(' ', "-")
        ));
        let Value::Map(greeting) = link.request(&hello).await? else {
            return Err("it doesn't speak RESP3".to_owned());
        };
        for (name, value) in greeting {
            let name = String::from_redis_value(name).unwrap_or_default();
            let field = match name.as_str() {
                "version" => &mut link.greeting.version,
                "mode" => &mut link.greeting.mode,
                "role" => &mut link.greeting.role,
                _ => continue,
            };
            *field = String::from_redis_value(value).unwrap_or_default();
        }
        if access.database != 0 {
            link.request(cmd("SELECT").arg(access.database)).await?;
        }
        Ok(link)
    }

    /// Sends one command and waits for its answer, while nothing else uses the connection. An error answer is an `Err`.
    pub(crate) async fn request(&mut self, command: &Cmd) -> Result<Value, String> {
        command.write_packed_command(&mut self.outgoing);
        poll_fn(|cx| self.poll_write(cx)).await?;
        loop {
            while let Some(frame) = self.next_frame().map_err(|error| error.to_string())? {
                match frame {
                    Frame::Reply(Value::ServerError(error)) => {
                        return Err(format!(
                            "{} {}",
                            error.code(),
                            error.details().unwrap_or_default()
                        ));
                    }
                    Frame::Reply(value) => return Ok(value),
                    _ => {}
                }
            }
            poll_fn(|cx| self.poll_read(cx)).await?;
        }
    }

    /// Whether all that was to be written is.
    pub(crate) fn is_flushed(&self) -> bool {
        self.outgoing.is_empty()
    }

    /// Writes what is outgoing; ready once all of it is written.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), String>> {
        if self.outgoing.is_empty() {
            return Poll::Ready(Ok(()));
        }
        while self.written < self.outgoing.len() {
            let bytes = &self.outgoing[self.written..];
            match ready!(Pin::new(&mut self.stream).poll_write(cx, bytes)) {
                Ok(0) => return Poll::Ready(Err("the connection was closed".to_owned())),
                Ok(written) => self.written += written,
                Err(error) => return Poll::Ready(Err(error.to_string())),
            }
        }
        ready!(Pin::new(&mut self.stream).poll_flush(cx)).map_err(|error| error.to_string())?;
        self.outgoing.clear();
        self.written = 0;
        // After a burst the memory is given back.
        self.outgoing.shrink_to(READ_SIZE);
        Poll::Ready(Ok(()))
    }

    /// Reads once into the buffer; ready when something came. The end of the stream is an error.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), String>> {
        self.make_room();
        let mut space = ReadBuf::new(&mut self.buffer[self.end..]);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut space))
            .map_err(|error| error.to_string())?;
        match space.filled().len() {
            0 => Poll::Ready(Err("the connection was closed".to_owned())),
            count => {
                self.end += count;
                Poll::Ready(Ok(()))
            }
        }
    }

    fn make_room(&mut self) {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.buffer.len() > READ_SIZE {
                self.buffer.truncate(READ_SIZE);
                self.buffer.shrink_to_fit();
            }
        } else if self.buffer.len() - self.end < READ_SIZE / 4 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            if self.end > self.buffer.len() / 2 {
                // The scanner refuses longer frames, so this is the bound.
                self.buffer
                    .resize((self.buffer.len() * 2).min(MAX_FRAME + READ_SIZE), 0);
            }
        }
    }

    /// The next complete frame of what was read.
    pub(crate) fn next_frame(&mut self) -> Result<Option<Frame<'_>>, Malformed> {
        if self.start == self.end {
            return Ok(None);
        }
        match self.scanner.scan(&self.buffer[self.start..self.end])? {
            Some(length) => {
                let frame = &self.buffer[self.start..self.start + length];
                self.start += length;
                resp::decode(frame).map(Some)
            }
            None => Ok(None),
        }
    }
}
