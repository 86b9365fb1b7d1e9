//! One client: its transport, its queue, its namespaces and its subscriptions.
//!
//! Its size decides how many connections fit into memory. So whatever only some connections need, or need only for a
//! moment, is boxed or allocated on demand: request parts, handler futures, partial frames, acks of requests, the queue.

mod admission;
mod input;
mod namespaces;
mod packets;
mod partial;
mod polling;
mod requests;
mod subscriptions;

use std::{
    net::IpAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU16, AtomicU32, AtomicUsize, Ordering},
    },
};

use engineioxide_core::Sid;
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use socketioxide_core::parser::ParserState;
use tokio::net::TcpStream;

pub use self::subscriptions::Reservation;
pub(crate) use self::{
    admission::Admission, input::Input, namespaces::Namespaces, requests::Requests,
};
use crate::{
    close::CloseReason,
    context::Context,
    frame::Frame,
    heartbeat::Heartbeat,
    hub::Membership,
    outbox::{Outbox, Push, REPLY, TopicId, Transport},
    rate_limiter::RateLimiter,
};

pub(crate) struct Connection {
    sid: Sid,
    address: IpAddr,
    context: Arc<Context>,
    /// The socket, once the transport is WebSocket. Written from any thread; read by the connection's task.
    stream: OnceLock<TcpStream>,
    outbox: Mutex<Outbox>,
    /// The connection's task.
    waker: AtomicWaker,
    closed: OnceLock<CloseReason>,
    torn_down: AtomicBool,
    namespaces: Mutex<Namespaces>,
    /// `None` once the connection has ended, so that nothing subscribes any more.
    topics: Mutex<Option<Vec<Membership>>>,
    /// Subscriptions that are kept free, changed under the lock of `topics`.
    reserved: AtomicU16,
    /// A packet whose attachments have not all arrived.
    partial: Mutex<Option<Box<ParserState>>>,
    requests: Mutex<Option<Box<Requests>>>,
    pub(crate) heartbeat: Heartbeat,
    /// Events and connects, admitted or not.
    events: RateLimiter,
    /// Events whose ack is outstanding, and about how many bytes their answers will take.
    in_flight: AtomicU32,
    owed: AtomicUsize,
    input: Input,
    flusher: u16,
    /// Polling only: a POST is being handled.
    pub(crate) posting: AtomicBool,
    /// Polling only: a WebSocket asked to take over.
    pub(crate) upgrading: AtomicBool,
    /// Polling only: that WebSocket works, and the client waits for its poll to end.
    pub(crate) probed: AtomicBool,
}

impl Connection {
    pub(crate) fn new(
        context: Arc<Context>,
        sid: Sid,
        address: IpAddr,
        stream: Option<TcpStream>,
    ) -> Arc<Self> {
        let transport = if stream.is_some() {
            Transport::WebSocket
        } else {
            Transport::Polling
        };
        let flusher = context.hub.assign_flusher() as u16;
        let heartbeat = Heartbeat::new(context.clock.now_millis());
        Arc::new(Self {
            sid,
            address,
            stream: stream.map_or_else(OnceLock::new, OnceLock::from),
            outbox: Mutex::new(Outbox::new(transport)),
            waker: AtomicWaker::new(),
            closed: OnceLock::new(),
            torn_down: AtomicBool::new(false),
            namespaces: Mutex::default(),
            topics: Mutex::new(Some(Vec::new())),
            reserved: AtomicU16::new(0),
            partial: Mutex::new(None),
            requests: Mutex::new(None),
            heartbeat,
            events: RateLimiter::default(),
            in_flight: AtomicU32::new(0),
            owed: AtomicUsize::new(0),
            input: Input::default(),
            flusher,
            posting: AtomicBool::new(false),
            upgrading: AtomicBool::new(false),
            probed: AtomicBool::new(false),
            context,
        })
    }

    pub(crate) fn sid(&self) -> Sid {
        self.sid
    }

    pub(crate) fn address(&self) -> IpAddr {
        self.address
    }

    pub(crate) fn context(&self) -> &Arc<Context> {
        &self.context
    }

    pub(crate) fn flusher(&self) -> usize {
        usize::from(self.flusher)
    }

    pub(crate) fn stream(&self) -> Option<&TcpStream> {
        self.stream.get()
    }

    pub(crate) fn waker(&self) -> &AtomicWaker {
        &self.waker
    }

    pub(crate) fn closed(&self) -> Option<CloseReason> {
        self.closed.get().copied()
    }

    pub(crate) fn outbox(&self) -> parking_lot::MutexGuard<'_, Outbox> {
        self.outbox.lock()
    }

    // Sending.

    /// Queues a frame of a topic; the caller flushes what turns [`Push::Dirty`].
    pub(crate) fn queue(self: &Arc<Self>, frame: &Frame, topic: TopicId) -> Push {
        let pushed = {
            let mut outbox = self.outbox.lock();
            let pushed = outbox.push(frame, topic, self.context.config.max_queue);
            self.settle(&mut outbox).unwrap_or(pushed)
        };
        self.follow(&pushed);
        pushed
    }

    /// Counts what waits for this client with what waits for others. Where there isn't room for it the backlog of its
    /// topics goes, and if that isn't enough, the client.
    pub(crate) fn settle(&self, outbox: &mut Outbox) -> Option<Push> {
        let waiting = outbox.waiting();
        if waiting == outbox.counted {
            return None;
        }
        let queues = &self.context.queues;
        let count = |outbox: &mut Outbox| {
            let waiting = outbox.waiting();
            let changed = queues.change(self.address, outbox.counted, waiting);
            if changed {
                outbox.counted = waiting;
            }
            changed
        };
        if count(outbox) {
            return None;
        }
        let began_to_lag = outbox.shed();
        if !count(outbox) {
            return Some(Push::Full);
        }
        began_to_lag.then_some(Push::Lagging)
    }

    /// Acts on the outcome of a push.
    fn follow(self: &Arc<Self>, pushed: &Push) {
        match pushed {
            Push::Queued | Push::Dirty => {}
            Push::Dropped => self.context.stats().frame_dropped(),
            Push::Lagging => {
                let connection = self.clone();
                self.context
                    .hub
                    .runtime()
                    .spawn(async move { connection.report_lag() });
            }
            Push::Full => self.close(CloseReason::SlowConsumer),
        }
    }

    /// Queues a frame for this connection alone.
    pub(crate) fn send(self: &Arc<Self>, frame: &Frame) {
        if self.queue(frame, REPLY) == Push::Dirty {
            self.context.hub.flush_later(self);
        }
    }

    /// Writes what is queued until it's written or the socket takes no more; never waits.
    pub(crate) fn flush(self: &Arc<Self>) {
        loop {
            let Some(mut batch) = self.outbox.lock().begin_flush() else {
                return;
            };
            let written = match self.stream.get() {
                Some(stream) => batch.write(|slices| stream.try_write_vectored(slices)),
                None => Err(std::io::ErrorKind::NotConnected.into()),
            };
            let blocked = written.unwrap_or_else(|_| {
                self.close(CloseReason::TransportError);
                true
            });
            let (more, settled) = {
                let mut outbox = self.outbox.lock();
                let more = outbox.end_flush(batch, blocked);
                (more, self.settle(&mut outbox))
            };
            if let Some(settled) = settled {
                self.follow(&settled);
            }
            if blocked || self.closed().is_some() {
                // Its task waits for the socket and flushes the rest, or waits for this flush to end the connection.
                self.waker.wake();
            }
            if !more {
                return;
            }
        }
    }

    // Receiving.

    /// True if the client reads its answers so slowly that its requests have to wait.
    pub(crate) fn is_congested(self: &Arc<Self>) -> bool {
        let limit = self.context.config.max_queue;
        if self.outbox.lock().is_filling(limit) {
            // The client may well read. Its next requests could fill the rest before a flusher comes.
            self.flush();
        }
        self.outbox.lock().is_congested(limit)
    }

    /// Counts one packet that the application handles, at `now` in microseconds since the gateway's start.
    pub(crate) fn admit(&self, now: u64) -> Admission {
        let config = &self.context.config;
        match admission::admit(&self.events, config, now) {
            Admission::Admitted
                if self.in_flight.load(Ordering::Relaxed) >= config.max_in_flight =>
            {
                Admission::Refused
            }
            admission => admission,
        }
    }

    /// An event begins whose answer will take about so many bytes.
    pub(crate) fn event_begins(&self, answer: usize) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.owed.fetch_add(answer, Ordering::Relaxed);
    }

    pub(crate) fn event_ends(&self, answer: usize) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        let before = self.owed.fetch_sub(answer, Ordering::AcqRel);
        let max = self.context.config.max_owed();
        if before > max && before - answer <= max {
            self.waker.wake();
        }
    }

    /// True if so many answers are outstanding that nothing more is to be read; the connection's task is woken when that
    /// has changed.
    pub(crate) fn owes_much(&self) -> bool {
        self.owed.load(Ordering::Acquire) > self.context.config.max_owed()
            && !self.waits_for_an_answer()
    }

    /// Whether so much waits for the polls of its client that answers to another POST may not have room.
    pub(crate) fn waits_for_polls(&self) -> bool {
        let outbox = self.outbox.lock();
        outbox.transport() == Transport::Polling
            && outbox.is_larger_than(self.context.config.max_queue)
    }

    // The end.

    /// Becomes a WebSocket connection; false if it has ended meanwhile.
    pub(crate) fn upgrade(self: &Arc<Self>, stream: TcpStream) -> bool {
        let mut outbox = self.outbox.lock();
        if self.closed.get().is_some() || self.stream.set(stream).is_err() {
            return false;
        }
        if outbox.switch_to_websocket() {
            drop(outbox);
            self.context.hub.flush_later(self);
        }
        true
    }

    /// Ends the connection; the first reason counts. Safe under any lock but the outbox': the work is done elsewhere.
    pub(crate) fn close(self: &Arc<Self>, reason: CloseReason) {
        if self.closed.set(reason).is_err() {
            return;
        }
        let transport = {
            let mut outbox = self.outbox.lock();
            outbox.wake_poll();
            outbox.transport()
        };
        if transport == Transport::WebSocket {
            self.waker.wake();
        } else {
            let connection = self.clone();
            self.context
                .hub
                .runtime()
                .spawn(async move { connection.tear_down() });
        }
    }

    /// Ends all namespaces and tells their sessions, then leaves the registry. Once.
    pub(crate) fn tear_down(self: &Arc<Self>) {
        if self.torn_down.swap(true, Ordering::AcqRel) {
            return;
        }
        let reason = self.closed().unwrap_or(CloseReason::TransportError);
        let polling = self.stream.get().is_none();
        if polling {
            // A WebSocket's task has taken the rest and closed the outbox.
            self.outbox.lock().close();
        }
        {
            let mut outbox = self.outbox.lock();
            self.context.queues.change(self.address, outbox.counted, 0);
            outbox.counted = 0;
        }
        *self.requests.lock() = None;
        self.take_partial();
        self.release_input();
        self.end_namespaces(reason);
        // Last, for those who wait until all connections have ended.
        if !(polling && reason.is_reported_to_polls()) {
            self.leave_registry();
        }
    }

    /// Can't be found any more.
    pub(crate) fn leave_registry(&self) {
        if let Some(reason) = self.closed() {
            (self.context.unregister)(self.sid, reason);
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.release_input();
        let counted = self.outbox.get_mut().counted;
        self.context.queues.change(self.address, counted, 0);
    }
}

/// Ends a connection whose application panics meanwhile: nobody knows in which state that left it.
pub(crate) struct CloseOnPanic<'a>(pub(crate) &'a Arc<Connection>);

impl Drop for CloseOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.close(CloseReason::TryLater);
        }
    }
}
