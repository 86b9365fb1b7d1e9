//! Writing to a room's log: the entrance. The way goes on in `lanes.rs`; messages to `round.rs`, changes to `changes.rs`.

use super::super::{Appended, NewEntry};
use super::MongoStore;
use crate::StoreError;

impl MongoStore {
    pub fn append(
        &self,
        entry: NewEntry,
        done: impl FnOnce(Result<Appended, StoreError>) + Send + 'static,
    ) {
        self.shared.logs.lanes.submit(entry, Box::new(done));
    }
}
