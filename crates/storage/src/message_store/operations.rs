//! How long the store's operations take, and how many fail: what an operator looks at first.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::StoreError;

/// Kinds of operations, as an operator tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// A message is appended to a room's log: from the call until it is durable, the wait in the queue included.
    Append,
    /// The same of an edit, a deletion or a reaction.
    Change,
    /// Messages or events of a room are read.
    History,
    /// Unread messages are counted.
    Unread,
    /// Messages, users, members or rooms are searched.
    Search,
    /// Anything else is read.
    Read,
    /// Anything else is written.
    Write,
}

impl Operation {
    /// All kinds.
    pub const ALL: [Self; 7] = [
        Self::Append,
        Self::Change,
        Self::History,
        Self::Unread,
        Self::Search,
        Self::Read,
        Self::Write,
    ];

    /// Its name as the value of a label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Change => "change",
            Self::History => "history",
            Self::Unread => "unread",
            Self::Search => "search",
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// Called with each operation that has ended and how long it took.
type Observer = Box<dyn Fn(Operation, Duration) + Send + Sync>;

/// Counts and times operations.
#[derive(Default)]
pub(super) struct Operations {
    observer: OnceLock<Observer>,
    failures: [AtomicU64; Operation::ALL.len()],
}

impl Operations {
    /// Sets the observer; only the first one stays.
    pub(super) fn observe(&self, observer: Observer) {
        if self.observer.set(observer).is_err() {
            tracing::error!("the operations of a store are observed already");
        }
    }

    /// Runs an operation and notes how it ended.
    pub(super) async fn time<T>(
        &self,
        operation: Operation,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let began = Instant::now();
        let result = work.await;
        self.ended(operation, began, &result);
        result
    }

    /// Notes how an operation ended that began at `began`.
    pub(super) fn ended<T>(
        &self,
        operation: Operation,
        began: Instant,
        result: &Result<T, StoreError>,
    ) {
        if let Some(observer) = self.observer.get() {
            observer(operation, began.elapsed());
        }
        if let Err(StoreError::Unavailable(_) | StoreError::Corrupt(_) | StoreError::Internal(_)) =
            result
        {
            self.failures[operation as usize].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Operations of this kind that failed for a reason that isn't the requester's.
    pub(super) fn failures(&self, operation: Operation) -> u64 {
        self.failures[operation as usize].load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    #[tokio::test]
    async fn every_operation_is_observed_and_only_failures_of_the_store_are_counted() {
        let operations = Operations::default();
        let observed = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&observed);
        operations.observe(Box::new(move |operation, _| noted.lock().push(operation)));
        let results = [
            (Operation::Read, Ok(())),
            (Operation::Read, Err(StoreError::NotFound)),
            (Operation::Search, Err(StoreError::unavailable("test"))),
            (Operation::Write, Err(StoreError::internal("test"))),
        ];
        for (operation, result) in results {
            let wanted = result.is_ok();
            let result = operations.time(operation, async { result }).await;
            assert_eq!(result.is_ok(), wanted);
        }
        let failures = Operation::ALL.map(|operation| operations.failures(operation));
        assert_eq!(failures, [0, 0, 0, 0, 1, 0, 1]);
        assert_eq!(observed.lock().len(), 4);
    }
}
