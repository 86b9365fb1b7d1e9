//! Users with connections here: what other instances send them comes in as long as they have one, and a little longer,
//! for those who come right back.

use std::{sync::Arc, time::Duration};

use dashmap::DashMap;
use protocol::UserId;

use super::topics;
use crate::app::{App, SharedApp};

/// Who has no connection is let go of after once or twice this.
const SWEEP: Duration = Duration::from_secs(15);

/// The users, and whether they were without a connection at the last look.
#[derive(Default)]
pub struct UsersHere(DashMap<UserId, bool>);

impl UsersHere {
    /// A connection of `user` has joined the user's topic. Doesn't wait until others' messages come in: nothing on that
    /// topic is promised.
    pub fn came(&self, app: &SharedApp, user: &UserId) {
        if app.bus.link().is_none() {
            return;
        }
        if let Some(mut idle) = self.0.get_mut(user) {
            *idle = false;
            return;
        }
        if self.0.insert(user.clone(), false).is_none() {
            let app = app.clone();
            let topic = topics::user(user);
            tokio::spawn(async move { app.bus.enter(&topic).await });
        }
    }

    /// Lets go of those who have gone, for ever.
    pub async fn sweep(&self, app: &Arc<App>) {
        loop {
            tokio::time::sleep(SWEEP).await;
            let mut gone = Vec::new();
            self.0.retain(|user, idle| {
                let topic = topics::user(user);
                if app.hub.subscribers(&topic) > 0 {
                    *idle = false;
                    return true;
                }
                let keep = !std::mem::replace(idle, true);
                if !keep {
                    gone.push(topic);
                }
                keep
            });
            for topic in gone {
                app.bus.leave(&topic);
            }
        }
    }
}
