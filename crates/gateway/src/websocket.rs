//! The task of a WebSocket connection.
//!
//! A hand-written future instead of an `async fn`: what it holds while nothing happens is two pointers and an empty
//! decoder. It reads into a buffer that all connections of a worker thread share, handles events one after the other,
//! and writes only when a flush was blocked.

use std::{
    cell::Cell,
    io,
    net::Shutdown,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::BoxFuture;
use socket2::SockRef;
use tokio::net::TcpStream;
use tungstenite::protocol::frame::coding::Control;

use crate::{
    close::CloseReason,
    connection::Connection,
    decoder::{DecodeError, Decoder, Flow, Message},
    frame::Frame,
    outbox::Batch,
    read_buffer::{READ_BUFFER, READS_PER_WAKE},
};

pub(crate) struct Task {
    connection: Arc<Connection>,
    decoder: Decoder,
    /// What the application does for the event before the next one.
    handling: Option<BoxFuture<'static, ()>>,
}

impl Task {
    /// Starts the task of a connection whose socket is set. `decoder` holds what came behind the handshake.
    pub(crate) fn spawn(connection: Arc<Connection>, decoder: Decoder) {
        let runtime = connection.context().hub.runtime().clone();
        let mut task = Self {
            connection,
            decoder,
            handling: None,
        };
        task.decode(&mut []);
        runtime.spawn(task);
    }

    /// Handles what there is to handle; ready when the connection has ended.
    fn turn(&mut self, stream: &TcpStream, context: &mut Context<'_>) -> Poll<()> {
        let mut reads = 0;
        loop {
            if self.connection.closed().is_some() {
                return Poll::Ready(());
            }
            if let Some(handling) = &mut self.handling {
                if handling.as_mut().poll(context).is_pending() {
                    break;
                }
                self.handling = None;
            }
            if self.connection.owes_much() {
                // A pong may wait behind what isn't read now.
                self.connection.heartbeat.set_busy(true, 0);
                break;
            }
            self.connection
                .heartbeat
                .resume(|| self.connection.context().clock.now_millis());
            if self.decoder.is_paused() {
                self.decode(&mut []);
                continue;
            }
            if self.connection.is_congested() {
                break;
            }
            if reads == READS_PER_WAKE {
                context.waker().wake_by_ref();
                break;
            }
            match stream.poll_read_ready(context) {
                Poll::Pending => break,
                Poll::Ready(Err(_)) => self.connection.close(CloseReason::TransportError),
                Poll::Ready(Ok(())) => {
                    reads += 1;
                    self.read(stream);
                }
            }
        }
        Poll::Pending
    }

    fn read(&mut self, stream: &TcpStream) {
        READ_BUFFER.with_borrow_mut(|buffer| match stream.try_read(buffer) {
            Ok(0) => self.connection.close(CloseReason::TransportError),
            Ok(length) => self.decode(&mut buffer[..length]),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.connection.close(CloseReason::TransportError),
        });
    }

    fn decode(&mut self, input: &mut [u8]) {
        let Self {
            connection,
            decoder,
            handling,
        } = self;
        let decoded = decoder.feed(input, connection.max_message(), |message| {
            *handling = receive(connection, message);
            if handling.is_some() {
                connection.heartbeat.set_busy(true, 0);
            }
            if handling.is_some() || connection.closed().is_some() || connection.owes_much() {
                Flow::Pause
            } else {
                Flow::Continue
            }
        });
        if let Err(error) = decoded {
            connection.close(match error {
                DecodeError::TooLarge => CloseReason::TooLarge,
                DecodeError::InvalidUtf8 => CloseReason::NotText,
                DecodeError::Protocol => CloseReason::Protocol,
            });
        }
        connection.holds_message(decoder.held());
    }

    /// Waits, if a flush was blocked, until the socket takes more, and flushes.
    fn unblock(&self, stream: &TcpStream, context: &mut Context<'_>) -> io::Result<()> {
        while self.connection.outbox().is_blocked() {
            match stream.poll_write_ready(context) {
                Poll::Pending => break,
                Poll::Ready(ready) => ready?,
            }
            self.connection.flush();
        }
        Ok(())
    }
}

fn receive(connection: &Arc<Connection>, message: Message) -> Option<BoxFuture<'static, ()>> {
    match message {
        Message::Text(text) => connection.receive_text(text),
        Message::Binary(bytes) => connection.receive_binary(bytes),
        Message::Ping(payload) => {
            connection.send(&Frame::control(Control::Pong, &payload));
            None
        }
        Message::Pong => None,
        Message::Close(_) => {
            connection.close(CloseReason::Client);
            None
        }
    }
}

impl Future for Task {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let connection = self.connection.clone();
        connection.waker().register(context.waker());
        let Some(stream) = connection.stream() else {
            return Poll::Ready(());
        };
        loop {
            if self.turn(stream, context).is_ready() {
                // An unfinished handler ends here: the client it worked for is gone.
                self.handling = None;
                let Some(rest) = connection.outbox().end() else {
                    // Who writes right now wakes this task.
                    return Poll::Pending;
                };
                end(&connection, rest);
                return Poll::Ready(());
            }
            let congested = connection.is_congested();
            if self.unblock(stream, context).is_err() {
                connection.close(CloseReason::TransportError);
            } else if !congested || connection.is_congested() {
                return Poll::Pending;
            }
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        // The application panicked. The connection ends in a task of its own: its sessions are notified, and may panic
        // again. A runtime that is being dropped, because whoever holds it panicked, drops that task at once.
        if std::thread::panicking() && !REPLACING.replace(true) {
            self.connection.close(CloseReason::TryLater);
            Self::spawn(self.connection.clone(), Decoder::default());
            REPLACING.set(false);
        }
    }
}

thread_local! {
    /// Whether this thread is just starting the last task of a connection.
    static REPLACING: Cell<bool> = const { Cell::new(false) };
}

/// How long a connection that this side closes may take to read the rest. It is read itself meanwhile, so many times:
/// closing a socket with unread input resets it, and the peer would lose the close frame.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_READS: usize = 256;

/// Tells the peer and the application that the connection has ended, and lets go.
fn end(connection: &Arc<Connection>, mut rest: Batch) {
    let reason = connection.closed().unwrap_or(CloseReason::TransportError);
    if reason == CloseReason::TransportError {
        shut_down(connection);
        connection.tear_down();
        return;
    }
    rest.push(Frame::close(reason));
    // Mostly all of it is written here, before anybody learns that the connection is gone.
    let written = write(connection, &mut rest);
    connection.tear_down();
    let connection = connection.clone();
    let runtime = connection.context().hub.runtime().clone();
    runtime.spawn(async move {
        if let Ok(blocked) = written {
            let lingering = linger(&connection, rest, blocked);
            // Whether it was in time or not, the socket closes now.
            drop(tokio::time::timeout(LINGER, lingering).await);
        }
        shut_down(&connection);
    });
}

fn write(connection: &Connection, rest: &mut Batch) -> io::Result<bool> {
    let stream = connection.stream().ok_or(io::ErrorKind::NotConnected)?;
    rest.write(|slices| stream.try_write_vectored(slices))
}

/// Writes the rest, then reads until the peer has closed too.
async fn linger(connection: &Connection, mut rest: Batch, mut blocked: bool) -> io::Result<()> {
    let stream = connection.stream().ok_or(io::ErrorKind::NotConnected)?;
    while blocked {
        stream.writable().await?;
        blocked = write(connection, &mut rest)?;
    }
    SockRef::from(stream).shutdown(Shutdown::Write)?;
    for _ in 0..LINGER_READS {
        stream.readable().await?;
        match READ_BUFFER.with_borrow_mut(|buffer| stream.try_read(buffer)) {
            Ok(0) => break,
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Whoever keeps a handle of the connection keeps its file descriptor; the peer needn't wait for that.
fn shut_down(connection: &Connection) {
    if let Some(stream) = connection.stream() {
        // It fails if the peer was faster.
        drop(SockRef::from(stream).shutdown(Shutdown::Both));
    }
}
