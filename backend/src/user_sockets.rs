//! Where users are connected: the sockets of every user and of every session here.
//!
//! What must stay true: a socket is in here from before its client's first event until its namespace has ended, whatever
//! becomes of what waits to be written to it. A subscription to a topic may end on overload. So what takes a right away,
//! and what a user is told, finds the user's sockets through this and never through a topic.

use std::{collections::HashMap, sync::Arc, time::Duration};

use dashmap::{DashMap, Entry};
use gateway::{Frame, Socket};
use protocol::{SessionId, UserId};

use crate::{
    actor::Actor,
    app::{App, SharedApp},
    bus::Interest,
    chat::topics,
};

/// In a fleet, a user without a socket is let go of after once or twice this: for those who come right back, what other
/// instances send them comes in as long.
const SWEEP: Duration = Duration::from_secs(15);

/// The sockets of this instance by user and by session.
pub struct UserSockets {
    users: DashMap<UserId, User>,
    sessions: DashMap<SessionId, Sockets>,
    /// Whether a user without a socket is kept until the next sweep.
    lingers: bool,
}

#[derive(Default)]
struct User {
    sockets: Sockets,
    /// Had none at the last sweep.
    was_idle: bool,
    /// In what other instances send them.
    _interest: Option<Arc<Interest>>,
}

/// Mostly one, which costs nothing more; one user may have thousands.
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
    /// Those of a server that is alone, or of one of a fleet.
    pub fn new(of_fleet: bool) -> Self {
        Self {
            users: DashMap::new(),
            sessions: DashMap::new(),
            lingers: of_fleet,
        }
    }

    /// Adds a socket of this user. One who is new here gets an `interest`, which is returned if there is any.
    fn add(
        &self,
        user: &UserId,
        session: &SessionId,
        socket: &Socket,
        interest: impl FnOnce() -> Option<Interest>,
    ) -> Option<Arc<Interest>> {
        self.sessions
            .entry(session.clone())
            .or_default()
            .add(socket);
        let (mut entry, interest) = match self.users.entry(user.clone()) {
            Entry::Occupied(known) => (known.into_ref(), None),
            Entry::Vacant(new) => {
                let interest = interest().map(Arc::new);
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

    /// Removes a socket whose namespace has ended. Twice is the same as once.
    pub fn remove(&self, user: &UserId, session: &SessionId, socket: &Socket) {
        if let Entry::Occupied(mut entry) = self.sessions.entry(session.clone()) {
            entry.get_mut().remove(socket);
            if entry.get().is_empty() {
                entry.remove();
            }
        }
        if let Entry::Occupied(mut entry) = self.users.entry(user.clone()) {
            entry.get_mut().sockets.remove(socket);
            if entry.get().sockets.is_empty() && !self.lingers {
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

    /// The sockets of a session.
    pub fn of_session(&self, session: &SessionId) -> Vec<Socket> {
        self.sessions
            .get(session)
            .map_or_else(Vec::new, |sockets| sockets.all())
    }

    /// Whether a user has a socket here.
    pub fn has_user(&self, user: &UserId) -> bool {
        self.users
            .get(user)
            .is_some_and(|user| !user.sockets.is_empty())
    }

    /// Whether a session has one.
    pub fn has_session(&self, session: &SessionId) -> bool {
        self.sessions.contains_key(session)
    }

    /// The users that have one.
    pub fn users(&self) -> Vec<UserId> {
        let users = self.users.iter();
        users
            .filter(|user| !user.sockets.is_empty())
            .map(|user| user.key().clone())
            .collect()
    }

    /// How many users have one.
    pub fn online(&self) -> usize {
        let users = self.users.iter();
        users.filter(|user| !user.sockets.is_empty()).count()
    }

    /// The sessions that have one.
    pub fn sessions(&self) -> Vec<SessionId> {
        let sessions = self.sessions.iter();
        sessions.map(|session| session.key().clone()).collect()
    }

    /// Sends `frame` to the sockets of a user that don't subscribe to the topic `unless`. Unless it is volatile, it is
    /// written or its connection ends.
    pub fn send(&self, user: &UserId, unless: Option<&str>, frame: &Frame) {
        for socket in self.of_user(user) {
            if unless.is_none_or(|topic| !socket.is_subscribed(topic)) {
                socket.send(frame);
            }
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

/// A client has connected as `actor`; says whether it is still there. Doesn't wait until what other instances send the
/// user comes in: nothing of that is promised.
pub fn connected(app: &SharedApp, actor: &Actor, socket: &Socket) -> bool {
    let sockets = &app.user_sockets;
    let interest = || app.bus.want(&topics::user(&actor.user_id));
    if let Some(interest) = sockets.add(&actor.user_id, &actor.session_id, socket, interest) {
        tokio::spawn(async move { interest.confirmed().await });
    }
    let is_connected = socket.is_connected();
    if !is_connected {
        // Its end may have come before it was added.
        sockets.remove(&actor.user_id, &actor.session_id, socket);
    }
    is_connected
}

/// Lets go of those who have gone, for ever: in a fleet.
pub async fn sweep(app: &App) {
    loop {
        tokio::time::sleep(SWEEP).await;
        app.user_sockets.sweep();
    }
}
