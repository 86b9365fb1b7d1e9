//! Requests to the client that it hasn't answered.

use std::{collections::HashMap, sync::Arc};

use tokio::sync::oneshot;

use super::Connection;
use crate::reply::Reply;

/// Unanswered requests to one client.
const MAX_REQUESTS: usize = 256;

#[derive(Default)]
pub(crate) struct Requests {
    next_id: i64,
    waiting: HashMap<i64, oneshot::Sender<Reply>>,
}

/// One request; forgotten when nobody waits for its answer any more.
pub(crate) struct Request {
    connection: Arc<Connection>,
    pub(crate) id: i64,
    /// Ends without a value if the connection does.
    pub(crate) reply: oneshot::Receiver<Reply>,
}

impl Drop for Request {
    fn drop(&mut self) {
        drop(self.connection.take_request(self.id));
    }
}

impl Connection {
    /// Registers a request to the client; `None` if too many are unanswered.
    pub(crate) fn begin_request(self: &Arc<Self>) -> Option<Request> {
        let mut requests = self.requests.lock();
        let requests = requests.get_or_insert_default();
        if requests.waiting.len() >= MAX_REQUESTS {
            return None;
        }
        let id = requests.next_id;
        requests.next_id += 1;
        let (sender, reply) = oneshot::channel();
        requests.waiting.insert(id, sender);
        // Its answer has to be read, whatever else is owed.
        self.waker.wake();
        Some(Request {
            connection: self.clone(),
            id,
            reply,
        })
    }

    pub(super) fn waits_for_an_answer(&self) -> bool {
        let requests = self.requests.lock();
        requests.as_ref().is_some_and(|r| !r.waiting.is_empty())
    }

    /// Who waits for the answer to request `id`, if anybody does.
    pub(crate) fn take_request(&self, id: i64) -> Option<oneshot::Sender<Reply>> {
        let mut slot = self.requests.lock();
        let requests = slot.as_mut()?;
        let sender = requests.waiting.remove(&id);
        if requests.waiting.is_empty() {
            requests.waiting.shrink_to_fit();
        }
        sender
    }
}
