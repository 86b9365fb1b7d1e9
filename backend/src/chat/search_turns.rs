//! Searches cost more than other reads, and one account may have many connections: the searches of one user run one
//! after the other, so that others' never wait for more than one of theirs.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use protocol::{ErrorCode, UserId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::AppError;

/// Searches of one user that may wait or run.
const PLACES: usize = 32;

/// How long a search waits for its turn.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whose searches run or wait.
#[derive(Default)]
pub struct SearchTurns {
    queues: Mutex<HashMap<UserId, Queue>>,
}

/// The searches of one user.
struct Queue {
    /// One permit, for the one that runs.
    turn: Arc<Semaphore>,
    places: usize,
}

/// A user's turn, until it is dropped.
pub struct SearchTurn<'a> {
    _turn: OwnedSemaphorePermit,
    _place: Place<'a>,
}

/// A place in a user's queue, given up when it is dropped.
struct Place<'a> {
    turns: &'a SearchTurns,
    user: &'a UserId,
}

impl SearchTurns {
    /// Waits until no other search of a user runs.
    ///
    /// # Errors
    /// `rate_limited` if 32 of the user run or wait already, `unavailable` after five seconds.
    pub async fn take<'a>(&'a self, user: &'a UserId) -> Result<SearchTurn<'a>, AppError> {
        let (place, turn) = self.enter(user)?;
        let turn = tokio::time::timeout(PATIENCE, turn.acquire_owned()).await;
        let turn = turn
            .map_err(|_| {
                AppError::new(ErrorCode::Unavailable, "your other searches take too long")
            })?
            .map_err(AppError::internal)?;
        Ok(SearchTurn {
            _turn: turn,
            _place: place,
        })
    }

    fn enter<'a>(&'a self, user: &'a UserId) -> Result<(Place<'a>, Arc<Semaphore>), AppError> {
        let mut queues = self.queues.lock();
        let queue = queues.entry(user.clone()).or_insert_with(|| Queue {
            turn: Arc::new(Semaphore::new(1)),
            places: 0,
        });
        if queue.places >= PLACES {
            let message = "too many searches at once";
            return Err(AppError::rate_limited(message, Duration::from_secs(1)));
        }
        queue.places += 1;
        Ok((Place { turns: self, user }, Arc::clone(&queue.turn)))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Entry::Occupied(mut queue) = self.turns.queues.lock().entry(self.user.clone()) {
            queue.get_mut().places -= 1;
            if queue.get().places == 0 {
                queue.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_user_has_one_turn_and_so_many_places() {
        let turns = SearchTurns::default();
        let (ann, bob) = (UserId::trusted("ann"), UserId::trusted("bob"));
        let first = turns.take(&ann).await.unwrap();
        let mut waiting: Vec<_> = (1..PLACES).map(|_| Box::pin(turns.take(&ann))).collect();
        for search in &mut waiting {
            assert!(search.now_or_never().is_none());
        }
        let refused = turns.take(&ann).await.err().unwrap();
        assert_eq!(refused.code(), ErrorCode::RateLimited);
        drop(turns.take(&bob).await.unwrap());
        drop(first);
        let next = waiting.remove(0).now_or_never();
        assert!(next.is_some_and(|turn| turn.is_ok()));
        drop(waiting);
        assert!(turns.queues.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_is_not_waited_for_without_end() {
        let turns = SearchTurns::default();
        let ann = UserId::trusted("ann");
        let _first = turns.take(&ann).await.unwrap();
        let late = turns.take(&ann).await.err().unwrap();
        assert_eq!(late.code(), ErrorCode::Unavailable);
    }
}
