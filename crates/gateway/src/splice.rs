//! Joins two TCP connections: what a client sends goes to another instance, and back.
//!
//! Nothing is looked at and nothing is kept. A read goes through the worker thread's buffer and is written at once;
//! only what the other side doesn't take now is held, at most one read a direction, and until it is gone no more is
//! read. So a slow reader slows the writer down, as on one connection.

use std::{
    future::poll_fn,
    io,
    net::Shutdown,
    task::{Context, Poll},
    time::Duration,
};

use socket2::SockRef;
use tokio::{net::TcpStream, time::Instant};

use crate::read_buffer::{READ_BUFFER, READS_PER_WAKE};

pub(crate) struct Splice {
    client: TcpStream,
    owner: TcpStream,
    from_client: Direction,
    from_owner: Direction,
    /// When the last bytes went through.
    moved: Instant,
}

/// One direction.
struct Direction {
    /// What is read and not written, and how much of it is written since.
    rest: Vec<u8>,
    written: usize,
    end: End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Open,
    /// The sender has closed; the rest is to be written.
    Read,
    /// The receiving side has been shut down.
    Shut,
}

impl Splice {
    /// `to_client` and `to_owner` are written first.
    pub(crate) fn new(
        client: TcpStream,
        owner: TcpStream,
        to_client: Vec<u8>,
        to_owner: Vec<u8>,
    ) -> Self {
        Self {
            client,
            owner,
            from_client: Direction::new(to_owner),
            from_owner: Direction::new(to_client),
            moved: Instant::now(),
        }
    }

    /// Moves bytes until both sides have closed. Nothing may be still for longer than `silence`, and than `linger`
    /// once one side has closed.
    ///
    /// # Errors
    /// If one side broke, or nothing moved for too long. The other one has to be closed.
    pub(crate) async fn join(&mut self, silence: Duration, linger: Duration) -> io::Result<()> {
        self.move_until(|one, other| one || other, silence).await?;
        self.moved = Instant::now();
        self.move_until(|one, other| one && other, linger).await
    }

    async fn move_until(
        &mut self,
        is_over: fn(bool, bool) -> bool,
        patience: Duration,
    ) -> io::Result<()> {
        loop {
            let until = self.moved + patience;
            let moving = poll_fn(|context| self.poll(context, is_over));
            if let Ok(over) = tokio::time::timeout_at(until, moving).await {
                return over;
            }
            // Bytes that move don't move the timer.
            if self.moved + patience <= until {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
    }

    fn poll(
        &mut self,
        context: &mut Context<'_>,
        is_over: fn(bool, bool) -> bool,
    ) -> Poll<io::Result<()>> {
        let Self {
            client,
            owner,
            from_client,
            from_owner,
            moved,
        } = self;
        let there = from_client.poll(client, owner, moved, context)?;
        let back = from_owner.poll(owner, client, moved, context)?;
        if is_over(there.is_ready(), back.is_ready()) {
            return Poll::Ready(Ok(()));
        }
        Poll::Pending
    }
}

impl Direction {
    fn new(rest: Vec<u8>) -> Self {
        Self {
            rest,
            written: 0,
            end: End::Open,
        }
    }

    /// Ready when `from` has closed, all of it has been written, and `to` has been shut down.
    fn poll(
        &mut self,
        from: &TcpStream,
        to: &TcpStream,
        moved: &mut Instant,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let mut reads = 0;
        loop {
            if !self.rest.is_empty() {
                std::task::ready!(to.poll_write_ready(context))?;
                self.write(to, moved)?;
                continue;
            }
            match self.end {
                End::Open => {}
                End::Read => {
                    // It fails if the receiver was faster.
                    drop(SockRef::from(to).shutdown(Shutdown::Write));
                    self.end = End::Shut;
                }
                End::Shut => return Poll::Ready(Ok(())),
            }
            if self.end == End::Open {
                if reads == READS_PER_WAKE {
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                std::task::ready!(from.poll_read_ready(context))?;
                reads += 1;
                self.read(from, to, moved)?;
            }
        }
    }

    fn read(&mut self, from: &TcpStream, to: &TcpStream, moved: &mut Instant) -> io::Result<()> {
        READ_BUFFER.with_borrow_mut(|buffer| match from.try_read(buffer) {
            Ok(0) => {
                self.end = End::Read;
                Ok(())
            }
            Ok(length) => {
                *moved = Instant::now();
                let written = accepted(to.try_write(&buffer[..length]))?;
                self.rest = buffer[written..length].to_vec();
                Ok(())
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(e) => Err(e),
        })
    }

    fn write(&mut self, to: &TcpStream, moved: &mut Instant) -> io::Result<()> {
        let written = accepted(to.try_write(&self.rest[self.written..]))?;
        if written > 0 {
            *moved = Instant::now();
        }
        self.written += written;
        if self.written == self.rest.len() {
            (self.rest, self.written) = (Vec::new(), 0);
        }
        Ok(())
    }
}

/// How much of a write was accepted, which may be nothing.
fn accepted(written: io::Result<usize>) -> io::Result<usize> {
    match written {
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(0),
        written => written,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
        task::JoinHandle,
    };

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (outer, inner) = tokio::join!(TcpStream::connect(address), listener.accept());
        (outer.unwrap(), inner.unwrap().0)
    }

    /// A client's end and an owner's end, with a splice between them.
    async fn spliced(linger: Duration) -> (TcpStream, TcpStream, JoinHandle<io::Result<()>>) {
        let ((client, near), (owner, far)) = (pair().await, pair().await);
        let mut splice = Splice::new(near, far, b"to client".to_vec(), b"to owner".to_vec());
        let running = tokio::spawn(async move { splice.join(PATIENCE, linger).await });
        (client, owner, running)
    }

    async fn within<T>(future: impl Future<Output = T>) -> T {
        tokio::time::timeout(PATIENCE, future).await.unwrap()
    }

    fn bytes(seed: usize, length: usize) -> Vec<u8> {
        (0..length).map(|n| ((n * 31 + seed) % 251) as u8).collect()
    }

    #[tokio::test]
    async fn all_bytes_go_through_in_order_both_ways_at_once() {
        let (client, owner, running) = spliced(PATIENCE).await;
        let exchange = |stream: TcpStream, seed: usize, greeting: &'static [u8]| async move {
            let (mut reader, mut writer) = stream.into_split();
            let writing = tokio::spawn(async move {
                writer.write_all(&bytes(seed, 20_000_000)).await.unwrap();
                writer.shutdown().await.unwrap();
            });
            let mut read = Vec::new();
            reader.read_to_end(&mut read).await.unwrap();
            writing.await.unwrap();
            assert!(read == [greeting, &bytes(1 - seed, 20_000_000)].concat());
        };
        within(async {
            tokio::join!(
                exchange(client, 0, b"to client"),
                exchange(owner, 1, b"to owner")
            )
        })
        .await;
        within(running).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_side_may_close_while_the_other_has_more_to_say() {
        let (mut client, mut owner, running) = spliced(PATIENCE).await;
        client.shutdown().await.unwrap();
        let mut read = Vec::new();
        within(owner.read_to_end(&mut read)).await.unwrap();
        assert_eq!(read, b"to owner");
        owner.write_all(b"; farewell").await.unwrap();
        drop(owner);
        let mut read = Vec::new();
        within(client.read_to_end(&mut read)).await.unwrap();
        assert_eq!(read, b"to client; farewell");
        within(running).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_side_that_does_not_read_stops_the_other_and_loses_nothing() {
        let ((mut client, near), (owner, far)) = (pair().await, pair().await);
        let mut splice = Splice::new(near, far, Vec::new(), Vec::new());
        // More than all buffers between hold.
        let sent = bytes(3, 256 << 20);
        let mut written = 0;
        let mut blocked = 0;
        while written < sent.len() && blocked < 100 {
            match owner.try_write(&sent[written..]) {
                Ok(length) => (written, blocked) = (written + length, 0),
                Err(e) => {
                    assert_eq!(e.kind(), io::ErrorKind::WouldBlock);
                    blocked += 1;
                    let moving = splice.join(PATIENCE, PATIENCE);
                    tokio::time::timeout(Duration::from_millis(1), moving)
                        .await
                        .unwrap_err();
                }
            }
        }
        assert!(written < sent.len());
        let held = splice.from_owner.rest.len();
        assert!(0 < held && held <= 64 * 1024, "{held}");
        SockRef::from(&owner).shutdown(Shutdown::Write).unwrap();
        let running = tokio::spawn(async move { splice.join(PATIENCE, PATIENCE).await });
        let mut read = Vec::new();
        within(client.read_to_end(&mut read)).await.unwrap();
        assert!(read == sent[..written]);
        client.shutdown().await.unwrap();
        within(running).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_side_that_breaks_ends_it() {
        let (client, mut owner, running) = spliced(PATIENCE).await;
        let mut greeting = [0; 8];
        within(owner.read_exact(&mut greeting)).await.unwrap();
        SockRef::from(&client)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        drop(client);
        within(running).await.unwrap().unwrap_err();
        within(owner.read_to_end(&mut Vec::new())).await.unwrap();
    }

    #[tokio::test]
    async fn nothing_is_waited_for_in_vain() {
        let (mut client, owner, running) = spliced(Duration::from_millis(10)).await;
        client.shutdown().await.unwrap();
        // The owner doesn't close.
        let error = within(running).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(owner);
    }
}
