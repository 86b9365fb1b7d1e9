//! Messages that this instance failed to send: dropped here, or not acknowledged by Redis. Each is an interruption for the
//! instances that should have received it. They are told as soon as Redis takes messages again, and compare what depends
//! on it with its source.
//!
//! Losses on users' topics aren't recorded: what is sent there is sent at most once.

use std::collections::HashSet;

use parking_lot::Mutex;

use super::{
    EVERYBODY,
    codec::{Kind, Message, Writer},
};
use crate::topics;

/// Topics recorded by name; beyond that, messages of all topics count as lost.
const MAX_TOPICS: usize = 1_024;

/// The message that tells of a loss, on the topic concerned.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LossNotice {
    /// Messages of all topics were lost; sent to all instances.
    pub(super) all: bool,
}

impl Message for LossNotice {
    fn kind(&self) -> Kind {
        Kind::LOST
    }

    fn write(&self, fields: &mut Writer<'_>) {
        fields.flag(self.all);
    }
}

/// The topics of lost messages, until their subscribers are told.
#[derive(Default)]
pub(super) struct Losses(Mutex<Unreported>);

#[derive(Default)]
struct Unreported {
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

    /// Messages of any topic were lost.
    pub(super) fn add_all(&self) {
        self.0.lock().all = true;
    }

    pub(super) fn is_empty(&self) -> bool {
        let lost = self.0.lock();
        lost.topics.is_empty() && !lost.all
    }

    /// Takes what has to be reported: topics and the notices for them. Where sending one fails, the caller adds its topic
    /// again.
    pub(super) fn take(&self) -> Vec<(String, LossNotice)> {
        let Unreported { topics, all } = std::mem::take(&mut *self.0.lock());
        if all {
            return vec![(EVERYBODY.to_owned(), LossNotice { all })];
        }
        let topics = topics.into_iter();
        topics.map(|topic| (topic, LossNotice { all })).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_reported_once_on_its_topic() {
        let losses = Losses::default();
        assert!(losses.is_empty());
        for topic in ["room:r-1", "user:ana", EVERYBODY, "room:r-1"] {
            losses.add(topic);
        }
        let mut notices = losses.take();
        notices.sort_by(|(one, _), (other, _)| one.cmp(other));
        let expected = [EVERYBODY, "room:r-1"];
        assert_eq!(
            notices,
            expected.map(|topic| (topic.to_owned(), LossNotice { all: false }))
        );
        assert!(losses.is_empty() && losses.take().is_empty());
    }

    #[test]
    fn too_many_topics_are_all() {
        let losses = Losses::default();
        for n in 0..=MAX_TOPICS {
            losses.add(&format!("room:r-{n}"));
        }
        let notices = losses.take();
        assert_eq!(notices, [(EVERYBODY.to_owned(), LossNotice { all: true })]);
        losses.add_all();
        assert_eq!(losses.take(), notices);
    }
}
