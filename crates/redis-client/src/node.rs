//! The connection for commands to one server: kept up in the background, shared by all callers.
//!
//! Callers write their commands into one buffer and wait; the connection's task writes all that has gathered in one go and
//! hands the answers back in order. So many callers at once are one write and one read, and a command costs no task, no
//! timer and no copy of its own. A command is never run twice: one that was sent and not answered fails with `Unanswered`, and isn't sent again.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use redis::Value;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Interval, MissedTickBehavior, interval, sleep};
use tracing::{debug, info, warn};

use crate::backoff::backoff;
use crate::error::RedisError;
use crate::link::{Access, Greeting, Link};
use crate::resp::{Frame, encode};
use crate::stats::{Stats, count};
use crate::task::Task;
use crate::url::Host;

/// How much may wait to be written, and how many commands for an answer, before more are refused: what a server that
/// hangs can cost us until it is given up.
const MAX_OUTGOING: usize = 16 * 1024 * 1024;
const MAX_WAITING: usize = 64 * 1024;
/// An idle connection is tried this often, so that one that leads nowhere is found before a command needs it.
const IDLE: Duration = Duration::from_secs(2);
/// A connection that broke sooner counts as a failed try: the next one waits.
const SHORT_LIVED: Duration = Duration::from_secs(1);

/// Where an answer goes; `None` if it is to be discarded.
type Waiter = Option<oneshot::Sender<Result<Value, RedisError>>>;

/// One server. Dropping it closes the connection.
pub(crate) struct Node {
    pub(crate) host: Host,
    shared: Arc<Shared>,
    _task: Task,
}

struct Shared {
    queue: Mutex<Queue>,
}

struct Queue {
    state: State,
    /// Commands to be written, and whose they are.
    outgoing: Vec<u8>,
    waiters: VecDeque<Waiter>,
    /// The connection's task, if it sleeps.
    waker: Option<Waker>,
    greeting: Greeting,
}

enum State {
    /// The first try, or the first one after a connection that had worked: commands wait for it.
    Connecting,
    Connected,
    /// Commands are refused at once, with this reason.
    Away(String),
}

/// An answer to come.
pub(crate) struct Reply(oneshot::Receiver<Result<Value, RedisError>>);

impl Reply {
    /// The answer; an error answer is a `Value::ServerError`.
    pub(crate) async fn value(self) -> Result<Value, RedisError> {
        match self.0.await {
            Ok(result) => result,
            Err(_) => Err(RedisError::Unanswered(
                "the connection was closed".to_owned(),
            )),
        }
    }
}

impl Node {
    /// A node that begins to connect. With `must_be_master` a replica counts as away. `on_loss` is notified whenever it
    /// couldn't connect, or isn't connected any more.
    pub(crate) fn new(
        host: Host,
        access: Access,
        must_be_master: bool,
        stats: Arc<Stats>,
        on_loss: Arc<Notify>,
    ) -> Self {
        let shared = Arc::new(Shared {
            queue: Mutex::new(Queue {
                state: State::Connecting,
                outgoing: Vec::new(),
                waiters: VecDeque::new(),
                waker: None,
                greeting: Greeting::default(),
            }),
        });
        let task = Task::spawn(keep_connected(
            host.clone(),
            access,
            must_be_master,
            Arc::clone(&shared),
            stats,
            on_loss,
        ));
        Self {
            host,
            shared,
            _task: task,
        }
    }

    pub(crate) fn is_connected(&self) -> bool {
        matches!(self.shared.queue.lock().state, State::Connected)
    }

    /// What the server said when it was connected last.
    pub(crate) fn greeting(&self) -> Greeting {
        self.shared.queue.lock().greeting.clone()
    }

    /// Sends one command, which `write` appends, with `ASKING` before it if a slot is just being moved to this node.
    pub(crate) fn send(
        &self,
        asking: bool,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<Reply, RedisError> {
        let mut batch = self.batch()?;
        let reply = batch.push(asking, write);
        batch.send();
        reply
    }

    /// Begins a batch: no other caller's command comes between, and the task is woken once for all. Don't await while holding it.
    pub(crate) fn batch(&self) -> Result<Batch<'_>, RedisError> {
        let queue = self.shared.queue.lock();
        if let State::Away(reason) = &queue.state {
            return Err(RedisError::Unavailable(reason.clone()));
        }
        Ok(Batch { queue })
    }
}

pub(crate) struct Batch<'a> {
    queue: parking_lot::MutexGuard<'a, Queue>,
}

impl Batch<'_> {
    pub(crate) fn push(
        &mut self,
        asking: bool,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<Reply, RedisError> {
        let queue = &mut *self.queue;
        if queue.outgoing.len() > MAX_OUTGOING || queue.waiters.len() > MAX_WAITING {
            return Err(RedisError::Unavailable(
                "too many commands wait for it".to_owned(),
            ));
        }
        let (sender, receiver) = oneshot::channel();
        if asking {
            encode(&mut queue.outgoing, &[b"ASKING"]);
            queue.waiters.push_back(None);
        }
        write(&mut queue.outgoing);
        queue.waiters.push_back(Some(sender));
        Ok(Reply(receiver))
    }

    /// Wakes the connection's task.
    pub(crate) fn send(mut self) {
        let waker = self.queue.waker.take();
        drop(self.queue);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

async fn keep_connected(
    host: Host,
    access: Access,
    must_be_master: bool,
    shared: Arc<Shared>,
    stats: Arc<Stats>,
    on_loss: Arc<Notify>,
) {
    let redis = access.options.name;
    let mut failures = 0;
    loop {
        let opened = match Link::open(&host, &access).await {
            Ok(link) if must_be_master && link.greeting.role != "master" => {
                Err(format!("{host} is a replica"))
            }
            opened => opened,
        };
        let reason = match opened {
            Ok(link) => {
                count(&stats.connects);
                info!(redis, %host, "connected to Redis");
                let since = Instant::now();
                let reason = Driver::new(&shared, link, access.options.response_timeout)
                    .run()
                    .await;
                count(&stats.disconnects);
                warn!(redis, %host, %reason, "the connection to Redis was lost");
                on_loss.notify_one();
                if since.elapsed() > SHORT_LIVED {
                    failures = 0;
                    continue;
                }
                reason
            }
            Err(reason) => reason,
        };
        failures += 1;
        if failures == 1 {
            warn!(redis, %host, %reason, "Redis can't be reached");
        } else {
            debug!(redis, %host, %reason, failures, "Redis can't be reached");
        }
        shared.close(
            State::Away(reason.clone()),
            &RedisError::Unavailable(reason),
        );
        on_loss.notify_one();
        sleep(backoff(failures)).await;
    }
}

impl Shared {
    /// Changes to a state without connection; commands that wait and were never sent fail with `error`.
    fn close(&self, state: State, error: &RedisError) {
        let waiters = {
            let mut queue = self.queue.lock();
            queue.state = state;
            queue.outgoing = Vec::new();
            std::mem::take(&mut queue.waiters)
        };
        fail(waiters, error);
    }
}

fn fail(waiters: impl IntoIterator<Item = Waiter>, error: &RedisError) {
    for waiter in waiters.into_iter().flatten() {
        // Who doesn't wait any more needn't know.
        drop(waiter.send(Err(error.clone())));
    }
}

/// One connection's life.
struct Driver<'a> {
    shared: &'a Shared,
    link: Link,
    response_timeout: Duration,
    /// Sent and not answered, oldest first.
    in_flight: VecDeque<Waiter>,
    /// Since when there is something in flight.
    waiting_since: Instant,
    last_read: Instant,
    /// Found silent for too long, and not read from since.
    suspect: bool,
    tick: Interval,
}

impl<'a> Driver<'a> {
    fn new(shared: &'a Shared, link: Link, response_timeout: Duration) -> Self {
        let mut tick = interval((response_timeout / 8).max(Duration::from_millis(10)));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        {
            let mut queue = shared.queue.lock();
            queue.state = State::Connected;
            queue.greeting = link.greeting.clone();
        }
        Self {
            shared,
            link,
            response_timeout,
            in_flight: VecDeque::new(),
            waiting_since: Instant::now(),
            last_read: Instant::now(),
            suspect: false,
            tick,
        }
    }

    /// Serves commands until the connection is lost; returns why it was.
    async fn run(mut self) -> String {
        let reason = poll_fn(|cx| self.poll(cx)).await;
        self.shared
            .close(State::Connecting, &RedisError::Unavailable(reason.clone()));
        fail(self.in_flight, &RedisError::Unanswered(reason.clone()));
        reason
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<String> {
        loop {
            self.take_commands();
            if let Poll::Ready(Err(reason)) = self.link.poll_write(cx) {
                return Poll::Ready(reason);
            }
            match self.link.poll_read(cx) {
                Poll::Ready(Ok(())) => {
                    if let Err(reason) = self.answer() {
                        return Poll::Ready(reason);
                    }
                }
                Poll::Ready(Err(reason)) => return Poll::Ready(reason),
                Poll::Pending => {
                    // After reading, so that answers that are here count however late we look at the clock.
                    while self.tick.poll_tick(cx).is_ready() {
                        if let Err(reason) = self.check_time() {
                            return Poll::Ready(reason);
                        }
                    }
                    if !self.has_commands(cx) {
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    /// Takes what callers have written, once the last of it is on its way and the answers keep pace.
    fn take_commands(&mut self) {
        if !self.may_take() {
            return;
        }
        let mut queue = self.shared.queue.lock();
        if queue.outgoing.is_empty() {
            return;
        }
        std::mem::swap(&mut queue.outgoing, &mut self.link.outgoing);
        if self.in_flight.is_empty() {
            self.waiting_since = Instant::now();
        }
        self.in_flight.extend(queue.waiters.drain(..));
    }

    fn may_take(&self) -> bool {
        self.link.is_flushed() && self.in_flight.len() <= MAX_WAITING
    }

    /// Whether there is something to take; if not, the next command wakes this task. While nothing may be taken, the
    /// connection will wake it.
    fn has_commands(&self, cx: &Context<'_>) -> bool {
        if !self.may_take() {
            return false;
        }
        let mut queue = self.shared.queue.lock();
        if queue.outgoing.is_empty() {
            queue.waker = Some(cx.waker().clone());
        }
        !queue.outgoing.is_empty()
    }

    /// Hands out the answers that were read.
    fn answer(&mut self) -> Result<(), String> {
        self.last_read = Instant::now();
        self.suspect = false;
        while let Some(frame) = self.link.next_frame().map_err(|error| error.to_string())? {
            let Frame::Reply(value) = frame else {
                continue;
            };
            let Some(waiter) = self.in_flight.pop_front() else {
                return Err("an unexpected answer".to_owned());
            };
            if let Some(waiter) = waiter {
                drop(waiter.send(Ok(value)));
            }
        }
        Ok(())
    }

    /// Gives the server up when it has been silent for too long, found so twice: a pause of our own isn't the server's.
    fn check_time(&mut self) -> Result<(), String> {
        if self.in_flight.is_empty() {
            if self.last_read.elapsed() > IDLE {
                let mut queue = self.shared.queue.lock();
                encode(&mut queue.outgoing, &[b"PING"]);
                queue.waiters.push_back(None);
            }
            return Ok(());
        }
        let silent = self.last_read.max(self.waiting_since).elapsed() > self.response_timeout;
        if std::mem::replace(&mut self.suspect, silent) && silent {
            return Err(format!("no answer within {:?}", self.response_timeout));
        }
        Ok(())
    }
}
