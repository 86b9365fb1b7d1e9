//! HTTP requests that have begun and aren't answered, bounded by who makes them: whoever has too many waits with the next one,
//! and everybody else doesn't wait for theirs.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use parking_lot::Mutex;

use super::Key;
use crate::error::AppError;

const SHARDS: usize = 16;

/// The requests of this instance.
#[derive(Default)]
pub struct UnfinishedRequests {
    by_key: [Mutex<HashMap<Key, usize>>; SHARDS],
    refused: AtomicU64,
}

/// One request, until it is dropped.
pub struct UnfinishedRequest {
    requests: Arc<UnfinishedRequests>,
    key: Key,
}

impl UnfinishedRequests {
    /// A request of somebody who may have so many at a time.
    ///
    /// # Errors
    /// `rate_limited` if there are as many.
    pub fn begin(self: &Arc<Self>, key: Key, max: usize) -> Result<UnfinishedRequest, AppError> {
        let mut requests = self.shard(&key).lock();
        let count = requests.entry(key).or_default();
        if *count >= max {
            self.refused.fetch_add(1, Relaxed);
            let message = "too many requests at once";
            return Err(AppError::rate_limited(message, Duration::from_secs(1)));
        }
        *count += 1;
        Ok(UnfinishedRequest {
            requests: self.clone(),
            key,
        })
    }

    /// How many there are now.
    pub fn count(&self) -> usize {
        let counts = self.by_key.iter();
        counts
            .map(|shard| shard.lock().values().sum::<usize>())
            .sum()
    }

    /// Refusals since the start of the process.
    pub fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    fn shard(&self, key: &Key) -> &Mutex<HashMap<Key, usize>> {
        &self.by_key[key.shard(SHARDS)]
    }
}

impl Drop for UnfinishedRequest {
    fn drop(&mut self) {
        let mut requests = self.requests.shard(&self.key).lock();
        if let Entry::Occupied(mut count) = requests.entry(self.key) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::ErrorCode;

    use super::*;

    #[test]
    fn each_has_so_many_at_a_time() {
        let requests = Arc::new(UnfinishedRequests::default());
        let (ann, bob) = (Key::of(&["ann"]), Key::of(&["bob"]));
        let begun: Vec<_> = (0..3).map(|_| requests.begin(ann, 3).unwrap()).collect();
        let refused = requests.begin(ann, 3).err().unwrap();
        assert_eq!(refused.code(), ErrorCode::RateLimited);
        let other = requests.begin(bob, 3).unwrap();
        assert_eq!((requests.count(), requests.refused()), (4, 1));
        drop(begun);
        assert!(requests.begin(ann, 3).is_ok());
        drop(other);
        assert_eq!(requests.count(), 0);
        assert!(requests.by_key.iter().all(|shard| shard.lock().is_empty()));
    }
}
