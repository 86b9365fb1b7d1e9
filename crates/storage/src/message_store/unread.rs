//! How many messages of a room a user hasn't read: messages of others after their `readSeq` that aren't
//! deleted. Counting is bounded, so that a room left alone for a year costs no more than one left
//! for a day.

use std::collections::HashMap;
use std::hash::Hash;

use protocol::{RoomId, UserId};

use super::{MessageStore, on_backend};
use crate::StoreError;

/// Counting stops here: this many, or more.
pub const UNREAD_MAX: u64 = 1_000;

/// How many of the newest messages of a room are counted, one's own and deleted ones among them.
pub(super) const NEWEST: u32 = 10_000;

/// The newest messages of a room that aren't deleted, by senders of whatever identity a back end has for them.
pub(super) struct NewestMessages<S> {
    /// The newest first.
    seqs: Vec<u64>,
    by_sender: HashMap<S, Vec<u64>>,
}

impl<S: Hash + Eq> NewestMessages<S> {
    /// From messages, the newest first.
    pub(super) fn new(messages: impl IntoIterator<Item = (u64, S)>) -> Self {
        let (mut seqs, mut by_sender) = (Vec::new(), HashMap::<_, Vec<_>>::new());
        for (seq, sender) in messages {
            seqs.push(seq);
            by_sender.entry(sender).or_default().push(seq);
        }
        Self { seqs, by_sender }
    }

    /// How many of them a user who has read up to `read_seq` hasn't read, at most [`UNREAD_MAX`].
    pub(super) fn unread(&self, user: &S, read_seq: u64) -> u64 {
        let after = |seqs: &[u64]| seqs.partition_point(|seq| *seq > read_seq);
        let own = self.by_sender.get(user).map_or(0, |seqs| after(seqs));
        UNREAD_MAX.min((after(&self.seqs) - own) as u64)
    }
}

impl MessageStore {
    /// The unread messages of one member, at most [`UNREAD_MAX`]. `NotFound` if there is no such
    /// room or the user isn't in it.
    pub async fn unread(&self, room: &RoomId, user: &UserId) -> Result<u64, StoreError> {
        let counts = self.unread_for(room, std::slice::from_ref(user)).await?;
        counts
            .first()
            .map(|(_, unread)| *unread)
            .ok_or(StoreError::NotFound)
    }

    /// The unread messages of each of these users, at most [`UNREAD_MAX`]; users who aren't members are
    /// left out. One pass over the log, whatever the number of users. `NotFound` if there is no
    /// such room.
    pub async fn unread_for(
        &self,
        room: &RoomId,
        users: &[UserId],
    ) -> Result<Vec<(UserId, u64)>, StoreError> {
        on_backend!(self, Unread: unread.unread_for(room, users))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_sent_behind_the_read_marker_is_unread() {
        let newest = NewestMessages::new([(9, "ann"), (7, "bob"), (5, "ann"), (3, "bob")]);
        for (user, read_seq, unread) in [
            ("ann", 0, 2),
            ("ann", 3, 1),
            ("bob", 5, 1),
            ("eve", 4, 3),
            ("eve", 9, 0),
        ] {
            assert_eq!(newest.unread(&user, read_seq), unread, "{user} {read_seq}");
        }
        let many = NewestMessages::new((1..2_000).rev().map(|seq| (seq, "ann")));
        assert_eq!(many.unread(&"bob", 0), UNREAD_MAX);
    }
}
