//! A queue of searches for each user. Searches cost more than other reads, and one account may have many connections:
//! those of one user run one after the other, so that others' never wait for more than one of theirs.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use protocol::{ErrorCode, UserId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    error::AppError,
    limits::{Limits, Tier, tiers},
};

/// Searches of one user that may wait or run.
const CAPACITY: usize = 32;

/// How long a search may wait.
const WAIT: Duration = Duration::from_secs(5);

/// The searches of all users that run or wait.
pub struct SearchQueues {
    limits: Arc<Limits>,
    queues: Mutex<HashMap<UserId, Queue>>,
}

/// The searches of one user.
struct Queue {
    /// One permit, for the one that runs.
    permit: Arc<Semaphore>,
    length: usize,
}

/// The right to search, until it is dropped.
pub struct SearchPermit<'a> {
    _permit: OwnedSemaphorePermit,
    _position: Position<'a>,
}

/// A position in a user's queue, until it is dropped.
struct Position<'a> {
    queues: &'a SearchQueues,
    user: &'a UserId,
}

impl SearchQueues {
    /// Without any search.
    pub fn new(limits: Arc<Limits>) -> Self {
        Self {
            limits,
            queues: Mutex::default(),
        }
    }

    /// Waits until no other search of a user runs.
    ///
    /// # Errors
    /// `rate_limited` beyond the tier `searches` and if 32 of the user run or wait already, `unavailable` after five seconds.
    pub async fn acquire<'a>(&'a self, user: &'a UserId) -> Result<SearchPermit<'a>, AppError> {
        let (key, now) = (tiers::of_user(user), Instant::now());
        self.limits.take(Tier::Searches, key, 1, now).await?;
        let (position, permit) = self.enter(user)?;
        let permit = tokio::time::timeout(WAIT, permit.acquire_owned()).await;
        let permit = permit
            .map_err(|_| {
                AppError::new(ErrorCode::Unavailable, "your other searches take too long")
            })?
            .map_err(AppError::internal)?;
        Ok(SearchPermit {
            _permit: permit,
            _position: position,
        })
    }

    fn enter<'a>(&'a self, user: &'a UserId) -> Result<(Position<'a>, Arc<Semaphore>), AppError> {
        let mut queues = self.queues.lock();
        let queue = queues.entry(user.clone()).or_insert_with(|| Queue {
            permit: Arc::new(Semaphore::new(1)),
            length: 0,
        });
        if queue.length >= CAPACITY {
            let message = "too many searches at once";
            return Err(AppError::rate_limited(message, Duration::from_secs(1)));
        }
        queue.length += 1;
        let position = Position { queues: self, user };
        Ok((position, Arc::clone(&queue.permit)))
    }
}

impl Drop for Position<'_> {
    fn drop(&mut self) {
        if let Entry::Occupied(mut queue) = self.queues.queues.lock().entry(self.user.clone()) {
            queue.get_mut().length -= 1;
            if queue.get().length == 0 {
                queue.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::limits::RateLimits;

    fn queues() -> SearchQueues {
        SearchQueues::new(Arc::new(Limits::in_memory(&RateLimits::default())))
    }

    #[tokio::test]
    async fn a_user_has_one_permit_and_a_bounded_queue() {
        let queues = queues();
        let (ann, bob) = (UserId::trusted("ann"), UserId::trusted("bob"));
        let first = queues.acquire(&ann).await.unwrap();
        let mut waiting: Vec<_> = (1..CAPACITY)
            .map(|_| Box::pin(queues.acquire(&ann)))
            .collect();
        for search in &mut waiting {
            assert!(search.now_or_never().is_none());
        }
        let refused = queues.acquire(&ann).await.err().unwrap();
        assert_eq!(refused.code(), ErrorCode::RateLimited);
        drop(queues.acquire(&bob).await.unwrap());
        drop(first);
        let next = waiting.remove(0).now_or_never();
        assert!(next.is_some_and(|permit| permit.is_ok()));
        drop(waiting);
        assert!(queues.queues.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_permit_is_not_waited_for_without_end() {
        let queues = queues();
        let ann = UserId::trusted("ann");
        let _first = queues.acquire(&ann).await.unwrap();
        let late = queues.acquire(&ann).await.err().unwrap();
        assert_eq!(late.code(), ErrorCode::Unavailable);
    }
}
