//! Who takes what other instances send.

use std::sync::Arc;

use super::{
    EVERYBODY,
    codec::{self, Kind, Malformed, Reader},
};

/// A component that takes messages of some kinds. It is called on the task that delivers, which nothing may hold up: what
/// takes longer than queueing is left to another task.
pub trait Receiver: Send + Sync {
    /// The kinds that it takes, which nobody else does.
    fn kinds(&self) -> &'static [Kind];

    /// Another instance has sent a message on `topic`.
    ///
    /// # Errors
    /// If the fields aren't those of its kind.
    fn receive(&self, topic: &str, kind: Kind, fields: Reader<'_>) -> Result<(), Malformed>;

    /// Messages for this instance may have been lost. What depends on them is to be compared with its source.
    fn interrupted(&self, lost: &Lost<'_>);
}

/// The messages that may have been lost.
#[derive(Debug)]
pub enum Lost<'a> {
    /// Those of any topic.
    All,
    /// Those of these topics.
    Of(Vec<&'a str>),
}

impl Lost<'_> {
    /// True if messages to all instances may be among them.
    pub fn includes_everybody(&self) -> bool {
        match self {
            Self::All => true,
            Self::Of(topics) => topics.contains(&EVERYBODY),
        }
    }
}

/// The receivers of one instance.
pub struct Receivers {
    all: Vec<Arc<dyn Receiver>>,
}

impl Receivers {
    /// These, of which no two take the same kind.
    pub fn new(all: Vec<Arc<dyn Receiver>>) -> Self {
        Self { all }
    }

    /// Hands over the messages of an envelope, in their order. Calls `interrupted` for each that reports a loss.
    pub(super) fn receive(
        &self,
        topic: &str,
        mut messages: &[u8],
        interrupted: impl Fn(),
    ) -> Result<(), Malformed> {
        while !messages.is_empty() {
            let (kind, mut fields) = codec::take(&mut messages)?;
            if kind == Kind::LOST {
                let all = fields.flag()?;
                interrupted();
                self.interrupted(&if all {
                    Lost::All
                } else {
                    Lost::Of(vec![topic])
                });
                continue;
            }
            let mut receivers = self.all.iter();
            match receivers.find(|receiver| receiver.kinds().contains(&kind)) {
                Some(receiver) => receiver.receive(topic, kind, fields)?,
                None => tracing::debug!(?kind, "a newer instance sends an unknown kind of message"),
            }
        }
        Ok(())
    }

    pub(super) fn interrupted(&self, lost: &Lost<'_>) {
        match lost {
            Lost::All => {
                tracing::warn!(
                    "messages between instances may have been lost; everything is compared"
                );
            }
            Lost::Of(topics) => {
                tracing::info!(
                    topics = topics.len(),
                    "messages between instances may have been lost"
                );
            }
        }
        for receiver in &self.all {
            receiver.interrupted(lost);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use parking_lot::Mutex;

    use super::*;
    use crate::fleet::bus::{Message, codec::Writer, losses::LossNotice};

    /// Keeps the topics of what it takes.
    #[derive(Default)]
    struct Recorder(Mutex<Vec<String>>);

    impl Receiver for Recorder {
        fn kinds(&self) -> &'static [Kind] {
            &[Kind::PRESENCE]
        }

        fn receive(&self, topic: &str, _: Kind, _: Reader<'_>) -> Result<(), Malformed> {
            self.0.lock().push(topic.to_owned());
            Ok(())
        }

        fn interrupted(&self, lost: &Lost<'_>) {
            self.0.lock().push(format!("{lost:?}"));
        }
    }

    struct OfKind(Kind);

    impl Message for OfKind {
        fn kind(&self) -> Kind {
            self.0
        }

        fn write(&self, _: &mut Writer<'_>) {}
    }

    #[test]
    fn each_kind_goes_to_its_receiver_and_unknown_ones_are_skipped() {
        let recorder = Arc::new(Recorder::default());
        let receivers = Receivers::new(vec![recorder.clone()]);
        let mut bytes = Vec::new();
        codec::append(&mut bytes, &OfKind(Kind::UNREAD));
        codec::append(&mut bytes, &OfKind(Kind::PRESENCE));
        let losses = Cell::new(0);
        let receive =
            |topic, bytes: &[u8]| receivers.receive(topic, bytes, || losses.set(losses.get() + 1));
        assert_eq!(receive("room:a", &bytes), Ok(()));
        codec::append(&mut bytes, &LossNotice { all: false });
        codec::append(&mut bytes, &LossNotice { all: true });
        assert_eq!(receive("room:b", &bytes), Ok(()));
        assert_eq!(losses.get(), 2);
        let expected = ["room:a", "room:b", "Of([\"room:b\"])", "All"];
        assert_eq!(*recorder.0.lock(), expected);
        bytes.pop();
        assert_eq!(receive("room:a", &bytes), Err(Malformed));
    }
}
