//! Revocation of sessions whose access tokens are still good. A revocation is in the sessions' store before it is sent to the
//! other instances. One that misses the message finds it in the store: as soon as it knows that it may have missed
//! something, and every few seconds in case it doesn't.
//!
//! What must stay true: a session is in memory as revoked before its connections are looked up.

use std::{sync::Arc, time::Duration};

use gateway::Frame;
use protocol::{ServerEvent, SessionId, SessionRevoked, Timestamp};
use storage::{Sessions, StoreError};
use tokio::sync::Notify;

use super::revoked_sessions::RevokedSessions;
use crate::{
    delivery::user_sockets::UserSockets,
    fleet::bus::{Bus, Kind, Lost, Malformed, Message, Reader, Receiver, Writer},
};

/// How often the store is asked for revocations of which no message came.
const RELOAD_EVERY: Duration = Duration::from_secs(10);

/// Revokes sessions on this instance and on all others.
pub struct Revocations {
    revoked: RevokedSessions,
    /// Some may have been missed.
    stale: Notify,
    sessions: Sessions,
    user_sockets: Arc<UserSockets>,
    bus: Arc<Bus>,
}

/// A session was revoked; sent to all instances.
struct RevokedMessage<'a>(&'a SessionId);

impl Message for RevokedMessage<'_> {
    fn kind(&self) -> Kind {
        Kind::SESSION_REVOKED
    }

    fn write(&self, fields: &mut Writer<'_>) {
        fields.text(self.0.as_str());
    }
}

impl Revocations {
    /// Without any known revocation; those of the last 15 minutes are to be read by [`Revocations::reload`].
    pub fn new(sessions: Sessions, user_sockets: Arc<UserSockets>, bus: Arc<Bus>) -> Self {
        Self {
            revoked: RevokedSessions::default(),
            stale: Notify::new(),
            sessions,
            user_sockets,
            bus,
        }
    }

    /// True if the session was revoked.
    pub fn contains(&self, session: &SessionId) -> bool {
        self.revoked.contains(session)
    }

    /// Applies a revocation that the store has already, on every instance.
    pub fn publish(&self, session: &SessionId) {
        self.bus.send_to_all(&RevokedMessage(session));
        self.apply(session);
    }

    /// Applies a revocation on this instance: its tokens are refused, its connections are told and disconnected.
    /// Idempotent.
    pub fn apply(&self, session: &SessionId) {
        self.revoked.insert(session, Timestamp::now());
        for socket in self.user_sockets.of_session(session) {
            if let Some(namespace) = socket.namespace() {
                let name = SessionRevoked::NAME;
                let notice = Frame::event_from_json(&namespace, name, "{}", Vec::new());
                socket.send(&notice);
            }
            socket.disconnect();
        }
    }

    /// Applies those in the store that this instance doesn't know.
    ///
    /// # Errors
    /// Those of the store; the next call makes up for it.
    pub async fn reload(&self) -> Result<(), StoreError> {
        for session in self.revoked.missing(&self.sessions).await? {
            self.apply(&session);
        }
        Ok(())
    }

    /// Reloads from time to time, and when some may have been missed, for ever: for one of several instances.
    pub async fn run(&self) {
        loop {
            // Either is a reason to reload.
            drop(tokio::time::timeout(RELOAD_EVERY, self.stale.notified()).await);
            if let Err(error) = self.reload().await {
                tracing::warn!(%error, "revoked sessions couldn't be read; trying again");
            }
        }
    }
}

impl Receiver for Revocations {
    fn kinds(&self) -> &'static [Kind] {
        &[Kind::SESSION_REVOKED]
    }

    fn receive(&self, _: &str, _: Kind, mut fields: Reader<'_>) -> Result<(), Malformed> {
        self.apply(&SessionId::trusted(fields.text()?));
        Ok(())
    }

    fn interrupted(&self, lost: &Lost<'_>) {
        if lost.includes_everybody() {
            self.stale.notify_one();
        }
    }
}
