//! The registry of connected users: the sockets of every user and of every session on this instance.
//!
//! What must stay true: a socket is registered before its client's first event is handled and until its namespace has
//! ended, even if its queue overflows. A subscription to a topic may end on overload. So what takes a right away, and what
//! is sent to a user, finds the user's sockets here and never through a topic.

use std::{collections::HashMap, sync::Arc, time::Duration};

use dashmap::{DashMap, Entry};
use gateway::{Frame, Socket};
use protocol::{SessionId, UserId};

use crate::{
    fleet::bus::{Bus, Interest},
    topics,
};

/// In a fleet, a user without a socket is forgotten after once or twice this. For those who reconnect meanwhile, the
/// interest in what other instances send them continues.
const SWEEP: Duration = Duration::from_secs(15);

/// The sockets of this instance by user and by session.
pub struct UserSockets {
    users: DashMap<UserId, User>,
    sessions: DashMap<SessionId, Sockets>,
    /// Those of the namespace `/notifications`.
    elsewhere: DashMap<UserId, Elsewhere>,
    bus: Arc<Bus>,
}

#[derive(Default)]
struct User {
    sockets: Sockets,
    /// True if there was none at the last sweep.
    was_idle: bool,
    /// In what other instances send the user.
    _interest: Option<Arc<Interest>>,
}

/// The sockets of a user in the namespace `/notifications`.
#[derive(Default)]
struct Elsewhere {
    sockets: Sockets,
    /// In what other instances send the user.
    _interest: Option<Arc<Interest>>,
}

/// Usually one, which needs no further allocation; one user may have thousands.
#[expect(
    clippy::box_collection,
    reason = "the table's own head would double what each user and session takes"
)]
#[derive(Default)]
enum Sockets {
    #[default]
    None,
    One(Socket),
    Many(Box<HashMap<(usize, u16), Socket>>),
}

impl Sockets {
    fn add(&mut self, socket: &Socket) {
        *self = match std::mem::take(self) {
            Self::None => Self::One(socket.clone()),
            Self::One(first) if first.token() == socket.token() => Self::One(first),
            Self::One(first) => {
                let both = [first, socket.clone()];
                Self::Many(Box::new(both.map(|it| (it.token(), it)).into()))
            }
            Self::Many(mut sockets) => {
                sockets.insert(socket.token(), socket.clone());
                Self::Many(sockets)
            }
        };
    }

    fn remove(&mut self, socket: &Socket) {
        match self {
            Self::One(only) if only.token() == socket.token() => *self = Self::None,
            Self::Many(sockets) => {
                sockets.remove(&socket.token());
                if sockets.is_empty() {
                    *self = Self::None;
                }
            }
            Self::None | Self::One(_) => {}
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::One(_) => 1,
            Self::Many(sockets) => sockets.len(),
        }
    }

    fn is_empty(&self) -> bool {
        matches!(self, Self::None)
    }

    fn all(&self) -> Vec<Socket> {
        match self {
            Self::None => Vec::new(),
            Self::One(socket) => vec![socket.clone()],
            Self::Many(sockets) => sockets.values().cloned().collect(),
        }
    }
}

impl UserSockets {
    /// An empty registry.
    pub fn new(bus: Arc<Bus>) -> Self {
        Self {
            users: DashMap::new(),
            sessions: DashMap::new(),
            elsewhere: DashMap::new(),
            bus,
        }
    }

    /// Registers a socket that has just connected. False if it has disconnected meanwhile. Doesn't wait until what other
    /// instances send the user arrives here: none of that is promised.
    pub fn register(&self, user: &UserId, session: &SessionId, socket: &Socket) -> bool {
        if let Some(interest) = self.add(user, session, socket) {
            tokio::spawn(async move { interest.confirmed().await });
        }
        let is_connected = socket.is_connected();
        if !is_connected {
            // Its end may have come before it was added.
            self.remove(user, session, socket);
        }
        is_connected
    }

    /// Registers a socket of the namespace `/notifications`, which ends with its session and gets nothing that is sent to the user
    /// in `/`. False if it has disconnected meanwhile.
    pub fn register_session(&self, user: &UserId, session: &SessionId, socket: &Socket) -> bool {
        let new = || {
            let interest = self.bus.interest(&topics::user(user)).map(Arc::new);
            if let Some(interest) = interest.clone() {
                tokio::spawn(async move { interest.confirmed().await });
            }
            Elsewhere {
                _interest: interest,
                ..Elsewhere::default()
            }
        };
        let mut entry = self.elsewhere.entry(user.clone()).or_insert_with(new);
        entry.sockets.add(socket);
        drop(entry);
        self.sessions
            .entry(session.clone())
            .or_default()
            .add(socket);
        let is_connected = socket.is_connected();
        if !is_connected {
            // Its end may have come before it was added.
            self.remove(user, session, socket);
        }
        is_connected
    }

    /// Adds a socket. Returns the interest in the user's topic if the user is new here.
    fn add(&self, user: &UserId, session: &SessionId, socket: &Socket) -> Option<Arc<Interest>> {
        self.sessions
            .entry(session.clone())
            .or_default()
            .add(socket);
        let (mut entry, interest) = match self.users.entry(user.clone()) {
            Entry::Occupied(known) => (known.into_ref(), None),
            Entry::Vacant(new) => {
                let interest = self.bus.interest(&topics::user(new.key())).map(Arc::new);
                let user = User {
                    _interest: interest.clone(),
                    ..User::default()
                };
                (new.insert(user), interest)
            }
        };
        entry.sockets.add(socket);
        entry.was_idle = false;
        interest
    }

    /// Removes a socket whose namespace has ended. Idempotent.
    pub fn remove(&self, user: &UserId, session: &SessionId, socket: &Socket) {
        if let Entry::Occupied(mut entry) = self.sessions.entry(session.clone()) {
            entry.get_mut().remove(socket);
            if entry.get().is_empty() {
                entry.remove();
            }
        }
        // Most have none, which then locks nothing for writing.
        if self.elsewhere.contains_key(user)
            && let Entry::Occupied(mut entry) = self.elsewhere.entry(user.clone())
        {
            entry.get_mut().sockets.remove(socket);
            if entry.get().sockets.is_empty() {
                entry.remove();
            }
        }
        if let Entry::Occupied(mut entry) = self.users.entry(user.clone()) {
            entry.get_mut().sockets.remove(socket);
            if entry.get().sockets.is_empty() && !self.bus.has_peers() {
                entry.remove();
            }
        }
    }

    /// The sockets of a user.
    pub fn of_user(&self, user: &UserId) -> Vec<Socket> {
        self.users
            .get(user)
            .map_or_else(Vec::new, |user| user.sockets.all())
    }

    /// How many sockets a user has here, in all namespaces.
    pub fn count_of_user(&self, user: &UserId) -> usize {
        let main = self.users.get(user).map_or(0, |user| user.sockets.len());
        let elsewhere = self.elsewhere.get(user);
        main + elsewhere.map_or(0, |elsewhere| elsewhere.sockets.len())
    }

    /// The sockets of a session.
    pub fn of_session(&self, session: &SessionId) -> Vec<Socket> {
        self.sessions
            .get(session)
            .map_or_else(Vec::new, |sockets| sockets.all())
    }

    /// True if a user has a socket here.
    pub fn has_user(&self, user: &UserId) -> bool {
        self.users
            .get(user)
            .is_some_and(|user| !user.sockets.is_empty())
    }

    /// True if a session has a socket here.
    pub fn has_session(&self, session: &SessionId) -> bool {
        self.sessions.contains_key(session)
    }

    /// Calls `see` with each user that has a socket here. It must not come back to this.
    pub fn for_each_user(&self, mut see: impl FnMut(&UserId)) {
        for user in self.users.iter().filter(|user| !user.sockets.is_empty()) {
            see(user.key());
        }
    }

    /// The number of users that have a socket here.
    pub fn online(&self) -> usize {
        let users = self.users.iter();
        users.filter(|user| !user.sockets.is_empty()).count()
    }

    /// Sends `frame` to the sockets of a user that don't subscribe to the topic `unless`. A connection that can't take it
    /// is closed, unless it is volatile.
    pub fn send(&self, user: &UserId, unless: Option<&str>, frame: &Frame) {
        for socket in self.of_user(user) {
            if unless.is_none_or(|topic| !socket.is_subscribed(topic)) {
                socket.send(frame);
            }
        }
    }

    /// Sends `frame` to the sockets of a user in the namespace `/notifications`, likewise.
    pub fn notify(&self, user: &UserId, frame: &Frame) {
        let sockets = self.elsewhere.get(user).map(|it| it.sockets.all());
        for socket in sockets.into_iter().flatten() {
            socket.send(frame);
        }
    }

    /// Forgets users without sockets from time to time, for ever. Of a fleet; a single instance forgets them at once.
    pub async fn run_sweeps(&self) {
        loop {
            tokio::time::sleep(SWEEP).await;
            self.sweep();
        }
    }

    /// Forgets the users who had no socket at the last call and have none now.
    fn sweep(&self) {
        self.users.retain(|_, user| {
            let is_idle = user.sockets.is_empty();
            let keep = !(is_idle && user.was_idle);
            user.was_idle = is_idle;
            keep
        });
    }
}
