//! What is cached, and for how long. docs/caching.md has the same table.

use std::time::Duration;

use protocol::User;
use serde::{Serialize, de::DeserializeOwned};

/// A kind of cached value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A user as they see themselves, by id.
    User,
}

/// How long values of a kind are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// In the memory of an instance.
    pub memory: Duration,
    /// In Redis.
    pub shared: Duration,
    /// That there is none, in memory alone: strangers may ask for anything.
    pub absence: Duration,
}

const MINUTE: u64 = 60;

impl Kind {
    /// All.
    pub const ALL: [Self; 1] = [Self::User];

    /// As keys begin, and as metrics call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
        }
    }

    /// How long its values are kept.
    pub const fn life(self) -> Life {
        match self {
            Self::User => Life {
                memory: Duration::from_secs(5 * MINUTE),
                shared: Duration::from_secs(30 * MINUTE),
                absence: Duration::from_secs(10),
            },
        }
    }

    /// The kind that a key begins with.
    pub(super) fn of_key(key: &str) -> Option<Self> {
        let (name, _) = key.split_once(':')?;
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The key of one value. Clients are told keys, so they hold nothing but the kind and an id.
    pub(super) fn key(self, id: &str) -> String {
        format!("{}:{id}", self.name())
    }
}

/// A value that can be cached.
pub trait Cached: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Its kind, which no other type has.
    const KIND: Kind;

    /// Whether it may lie in Redis, where nothing is kept that only its owner may see.
    fn is_shareable(&self) -> bool {
        true
    }
}

impl Cached for User {
    const KIND: Kind = Kind::User;

    fn is_shareable(&self) -> bool {
        self.email.is_none()
    }
}
