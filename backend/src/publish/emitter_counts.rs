//! What became of the messages of Redis emitters.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// What became of messages since start.
#[derive(Debug, Default)]
pub struct EmitterCounts {
    pub(super) delivered: AtomicU64,
    pub(super) unheard: AtomicU64,
    foreign: AtomicU64,
    malformed: AtomicU64,
    forbidden: AtomicU64,
    too_large: AtomicU64,
    too_many: AtomicU64,
    requests: AtomicU64,
    pub(super) interruptions: AtomicU64,
}

macro_rules! counts {
    ($($(#[$doc:meta])+ $name:ident),* $(,)?) => {
        impl EmitterCounts {
            $($(#[$doc])+
            pub fn $name(&self) -> u64 {
                self.$name.load(Relaxed)
            })*
        }
    };
}

counts! {
    /// Delivered to somebody.
    delivered,
    /// Delivered to nobody, as nobody here is in its rooms.
    unheard,
    /// Of servers with the official adapter, which are for their own clients.
    foreign,
    /// Not what an emitter writes.
    malformed,
    /// Under a name of the server's own events, or for a topic that isn't public.
    forbidden,
    /// Too large, or for too many rooms.
    too_large,
    /// Beyond the rate.
    too_many,
    /// Requests to join or leave rooms, to disconnect, or to servers: all refused.
    requests,
    /// Times that messages may have been lost on the way.
    interruptions,
}

/// Why a message isn't delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    NoEmitter,
    Malformed,
    Forbidden,
    TooLarge,
    TooMany,
    Request,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoEmitter => "it is another server's own",
            Self::Malformed => "it isn't what an emitter writes",
            Self::Forbidden => "its event's name or its room is the server's own",
            Self::TooLarge => "it is too large, or for too many rooms",
            Self::TooMany => "there are too many",
            Self::Request => "emitters may send events, not requests",
        })
    }
}

impl EmitterCounts {
    /// Counts a message that isn't delivered; the first of each kind is logged.
    pub(super) fn refused(&self, fault: Fault) -> u64 {
        let count = match fault {
            Fault::NoEmitter => return self.foreign.fetch_add(1, Relaxed),
            Fault::Malformed => &self.malformed,
            Fault::Forbidden => &self.forbidden,
            Fault::TooLarge => &self.too_large,
            Fault::TooMany => &self.too_many,
            Fault::Request => &self.requests,
        };
        let before = count.fetch_add(1, Relaxed);
        if before == 0 {
            tracing::warn!(reason = %fault, "a message of an emitter isn't delivered; others like it are only counted");
        }
        before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_is_counted_by_its_reason() {
        let counts = EmitterCounts::default();
        for fault in [
            Fault::NoEmitter,
            Fault::Malformed,
            Fault::Request,
            Fault::Request,
        ] {
            counts.refused(fault);
        }
        assert_eq!(
            (counts.foreign(), counts.malformed(), counts.requests()),
            (1, 1, 2)
        );
        assert_eq!(
            (counts.forbidden(), counts.too_large(), counts.too_many()),
            (0, 0, 0)
        );
    }
}
