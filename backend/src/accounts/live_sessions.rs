//! Sessions with connections here, so that no connection outlives its session: it may end without anybody saying so, by
//! not being refreshed, with an account that is deleted, or where the word of its end got lost.
//!
//! What must stay true: an unknown answer ends nothing; nothing is asked of the store when a client connects.

use std::time::Duration;

use dashmap::DashMap;
use protocol::{SessionId, Timestamp, UserId};
use rand::RngExt;
use storage::{SessionRef, StoreError};

use crate::{
    actor::Actor,
    app::{App, SharedApp},
    revocations,
};

/// How often sessions are looked for whose time has come.
const EVERY: Duration = Duration::from_secs(5);

/// A session is looked at again after this at the latest, and half of it at the earliest unless it ends before.
const AGAIN: Duration = Duration::from_secs(3_600);

/// Sessions looked at in one go.
const BATCH: usize = 500;

/// When the sessions of the connections here are to be looked at. Those whose connections have gone stay until then.
#[derive(Default)]
pub struct LiveSessions(DashMap<SessionId, Live>);

struct Live {
    user: UserId,
    look_at: Timestamp,
}

impl LiveSessions {
    /// A client has connected.
    pub fn note(&self, actor: &Actor) {
        let live = || Live {
            user: actor.user_id.clone(),
            look_at: next_look(actor.session_expires_at),
        };
        self.0.entry(actor.session_id.clone()).or_insert_with(live);
    }

    /// Looks at sessions when their time has come, for ever.
    pub async fn run(&self, app: &SharedApp) {
        loop {
            tokio::time::sleep(EVERY).await;
            if let Err(error) = self.look(app).await {
                tracing::warn!(%error, "the sessions of connections can't be looked at; it is tried again");
            }
        }
    }

    /// Ends the connections of those that have ended.
    async fn look(&self, app: &App) -> Result<(), StoreError> {
        let due = self.due(app);
        for batch in due.chunks(BATCH) {
            let ids: Vec<_> = batch.iter().map(|(_, user)| user.clone()).collect();
            let users = app.store.users(&ids).await?;
            let wanted = batch.iter().filter_map(|(session, user)| {
                let user = users.iter().find(|known| known.id == *user)?;
                Some(SessionRef {
                    id: session.clone(),
                    user_id: user.id.clone(),
                    sign_in_version: user.sign_in_version,
                })
            });
            let wanted = wanted.collect();
            let good = app.sessions.good_sessions(wanted, Timestamp::now()).await?;
            for (session, _) in batch {
                match good.iter().find(|(good, _)| good == session) {
                    Some((_, expires_at)) => {
                        if let Some(mut live) = self.0.get_mut(session) {
                            live.look_at = next_look(*expires_at);
                        }
                    }
                    None => {
                        self.0.remove(session);
                        revocations::apply(app, session);
                    }
                }
            }
        }
        Ok(())
    }

    /// Those to be looked at now. Those without a connection are forgotten.
    fn due(&self, app: &App) -> Vec<(SessionId, UserId)> {
        let now = Timestamp::now();
        let mut due = Vec::new();
        self.0.retain(|session, live| {
            if live.look_at > now {
                return true;
            }
            let is_connected = app.user_sockets.has_session(session);
            if is_connected {
                due.push((session.clone(), live.user.clone()));
            }
            is_connected
        });
        due
    }
}

/// Apart for those who connected together.
fn next_look(expires_at: Timestamp) -> Timestamp {
    let again = AGAIN.mul_f64(rand::rng().random_range(0.5..1.0));
    let again = Timestamp::from_unix_ms(Timestamp::now().unix_ms() + again.as_millis() as i64);
    expires_at.min(again)
}
