//! What this instance couldn't tell the others: messages that were dropped here, or that Redis didn't take or didn't
//! answer for. Each is an interruption for those who should have got it, so they are told as soon as Redis takes messages
//! again, and look for themselves.
//!
//! Nothing is kept of what is told to single users: that is told at most once.

use std::collections::HashSet;

use parking_lot::Mutex;

use super::{EVERYBODY, message::Message};
use crate::chat::topics;

/// Topics remembered by name; beyond, messages of any topic count as lost.
const MAX_TOPICS: usize = 1_024;

/// The topics whose messages were lost, not told yet.
#[derive(Default)]
pub(super) struct Losses(Mutex<Lost>);

#[derive(Default)]
struct Lost {
    topics: HashSet<String>,
    all: bool,
}

impl Losses {
    /// A message of `topic` was lost.
    pub(super) fn add(&self, topic: &str) {
        if topics::user_of(topic).is_some() {
            return;
        }
        let mut lost = self.0.lock();
        if lost.topics.len() < MAX_TOPICS || lost.topics.contains(topic) {
            lost.topics.insert(topic.to_owned());
        } else {
            lost.all = true;
        }
    }

    /// Messages of any topic were.
    pub(super) fn add_all(&self) {
        self.0.lock().all = true;
    }

    pub(super) fn is_empty(&self) -> bool {
        let lost = self.0.lock();
        lost.topics.is_empty() && !lost.all
    }

    /// Takes what has to be told: messages and their topics. If one isn't taken by Redis, it is for the caller to add
    /// its topic again.
    pub(super) fn take(&self) -> Vec<(String, Message<'static>)> {
        let Lost { topics, all } = std::mem::take(&mut *self.0.lock());
        if all {
            return vec![(EVERYBODY.to_owned(), Message::Lost { all })];
        }
        let told = topics.into_iter();
        told.map(|topic| (topic, Message::Lost { all })).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_lost_is_told_once_by_its_topic() {
        let losses = Losses::default();
        assert!(losses.is_empty());
        for topic in ["room:r-1", "user:ana", EVERYBODY, "room:r-1"] {
            losses.add(topic);
        }
        let mut told = losses.take();
        told.sort_by(|(one, _), (other, _)| one.cmp(other));
        let expected = [EVERYBODY, "room:r-1"];
        assert_eq!(
            told,
            expected.map(|topic| (topic.to_owned(), Message::Lost { all: false }))
        );
        assert!(losses.is_empty() && losses.take().is_empty());
    }

    #[test]
    fn too_many_topics_are_all() {
        let losses = Losses::default();
        for n in 0..=MAX_TOPICS {
            losses.add(&format!("room:r-{n}"));
        }
        let told = losses.take();
        assert_eq!(told, [(EVERYBODY.to_owned(), Message::Lost { all: true })]);
        losses.add_all();
        assert_eq!(losses.take(), told);
    }
}
