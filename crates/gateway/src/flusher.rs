//! Writes what was queued, once per wake.
//!
//! A publisher only queues; the connections it touched are collected here and written a moment later, when everything
//! else that was ready has run. So events that come together leave together, in one `writev` a connection. There is
//! one flusher per worker thread and each connection belongs to one of them, which spreads a large topic over the cores.

use std::{sync::Arc, task::Poll};

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;

use crate::connection::Connection;

/// Connections written before other tasks get their turn; about a millisecond of system calls.
const SLICE: usize = 64;

/// Turns of the scheduler that a flush may wait for more: well below a millisecond.
const GATHERING_TURNS: usize = 8;

#[derive(Default)]
pub(crate) struct Flusher {
    dirty: Mutex<Vec<Arc<Connection>>>,
    waker: AtomicWaker,
}

impl Flusher {
    pub(crate) fn add(&self, connection: Arc<Connection>) {
        self.dirty.lock().push(connection);
        self.waker.wake();
    }

    /// Takes all of `connections`.
    pub(crate) fn add_all(&self, connections: &mut Vec<Arc<Connection>>) {
        if !connections.is_empty() {
            self.dirty.lock().append(connections);
            self.waker.wake();
        }
    }

    /// Flushes for ever; ends only with its runtime.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut batch = Vec::new();
        loop {
            std::future::poll_fn(|context| {
                self.waker.register(context.waker());
                if self.dirty.lock().is_empty() {
                    Poll::Pending
                } else {
                    Poll::Ready(())
                }
            })
            .await;
            // Behind everything that is ready now: what that publishes joins this flush. A turn of the scheduler
            // reaches only some of many ready tasks, so it goes on while they still add to it.
            let mut seen = 0;
            for _ in 0..GATHERING_TURNS {
                let found = self.dirty.lock().len();
                if found == seen {
                    break;
                }
                seen = found;
                tokio::task::yield_now().await;
            }
            std::mem::swap(&mut batch, &mut *self.dirty.lock());
            for slice in batch.chunks(SLICE) {
                for connection in slice {
                    connection.flush();
                }
                if batch.len() > SLICE {
                    tokio::task::yield_now().await;
                }
            }
            batch.clear();
            // A burst to a large topic must not hold its memory for ever.
            batch.shrink_to(1024);
        }
    }
}
