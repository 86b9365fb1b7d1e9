//! One connection of the subscriber: what was asked on it and isn't answered yet.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::link::Link;
use crate::resp::{Kind, encode};

/// How many channels one command names: enough that a command's cost is in its channels, few enough that the server
/// serves others in between.
const NAMES_PER_COMMAND: usize = 256;
/// A silent connection is sent a PING this often.
const IDLE: Duration = Duration::from_secs(1);

pub(super) struct Connection {
    /// Never given to another connection.
    pub(super) id: u64,
    pub(super) link: Link,
    /// Asked and not answered, oldest first.
    pub(super) asked: VecDeque<Asked>,
    pub(super) opened: Instant,
    last_read: Instant,
    /// When the oldest of `asked` was asked, or an older one was answered.
    asked_since: Instant,
    /// Found silent for too long, and not read from since.
    suspect: bool,
    /// When it is to be closed: its server is no master any more.
    pub(super) retiring: Option<Instant>,
}

/// Names with the serial of each request, see [`super::registry`].
pub(super) type Names = VecDeque<(Arc<str>, u64)>;

pub(super) enum Asked {
    /// Answered by a confirmation for each name in order, or by one error.
    Subscribe {
        kind: Kind,
        slot: u16,
        names: Names,
    },
    /// Answered by a notice for each name or by one error, and then the answer to the PING behind it: notices
    /// that a server sends of its own accord look the same.
    Unsubscribe {
        kind: Kind,
        names: Vec<Arc<str>>,
    },
    Ping,
}

impl Asked {
    /// Whether the end of a subscription is what was asked for.
    pub(super) fn explains_end(&self, ended_kind: Kind, ended: &[u8]) -> bool {
        match self {
            Self::Unsubscribe { kind, names } => {
                *kind == ended_kind && names.iter().any(|name| name.as_bytes() == ended)
            }
            _ => false,
        }
    }
}

impl Connection {
    pub(super) fn new(id: u64, link: Link) -> Self {
        let now = Instant::now();
        Self {
            id,
            link,
            asked: VecDeque::new(),
            opened: now,
            last_read: now,
            asked_since: now,
            suspect: false,
            retiring: None,
        }
    }

    pub(super) fn subscribe(
        &mut self,
        kind: Kind,
        slot: u16,
        names: impl Iterator<Item = (Arc<str>, u64)>,
    ) {
        let mut names = names.peekable();
        while names.peek().is_some() {
            let names: VecDeque<_> = names.by_ref().take(NAMES_PER_COMMAND).collect();
            self.write(
                ["SSUBSCRIBE", "PSUBSCRIBE"],
                kind,
                names.iter().map(|(name, _)| name),
            );
            self.ask(Asked::Subscribe { kind, slot, names });
        }
    }

    pub(super) fn unsubscribe(&mut self, kind: Kind, names: impl Iterator<Item = Arc<str>>) {
        let mut names = names.peekable();
        while names.peek().is_some() {
            let names: Vec<_> = names.by_ref().take(NAMES_PER_COMMAND).collect();
            self.write(["SUNSUBSCRIBE", "PUNSUBSCRIBE"], kind, names.iter());
            encode(&mut self.link.outgoing, &[b"PING"]);
            self.ask(Asked::Unsubscribe { kind, names });
        }
    }

    fn write<'a>(
        &mut self,
        commands: [&str; 2],
        kind: Kind,
        names: impl Iterator<Item = &'a Arc<str>>,
    ) {
        let command = match kind {
            Kind::Shard => commands[0],
            Kind::Pattern => commands[1],
        };
        let mut parts = vec![command.as_bytes()];
        parts.extend(names.map(|name| name.as_bytes()));
        encode(&mut self.link.outgoing, &parts);
    }

    fn ask(&mut self, asked: Asked) {
        if self.asked.is_empty() {
            self.asked_since = Instant::now();
        }
        self.asked.push_back(asked);
    }

    pub(super) fn was_read(&mut self) {
        self.last_read = Instant::now();
        self.suspect = false;
    }

    /// To be called a few times a second: sends a PING after a silence. True if the server
    /// has been silent for too long, twice in a row, so that a pause of our own isn't taken for one of the server.
    pub(super) fn is_dead(&mut self, response_timeout: Duration) -> bool {
        if self.asked.is_empty() {
            if self.last_read.elapsed() > IDLE {
                encode(&mut self.link.outgoing, &[b"PING"]);
                self.ask(Asked::Ping);
            }
            return false;
        }
        let silent = self.last_read.max(self.asked_since).elapsed() > response_timeout;
        std::mem::replace(&mut self.suspect, silent) && silent
    }
}
