//! What happens once a client knows that it is connected: its socket is registered, so that revocations and publications reach it.

use std::sync::Arc;

use gateway::{Handled, Socket};

use super::{ChatSession, resume};
use crate::{app::App, auth::actor::Actor, topics};

/// The topics on which programs from outside reach a user. All that is published there is volatile, which is lost by
/// itself on overload and ends no subscription. Each costs every connection something, so only where somebody can
/// publish to it.
fn published_to(app: &App, actor: &Actor) -> Vec<String> {
    let emitter = app.config.emitter.as_ref();
    let emitter = emitter.filter(|emitter| emitter.namespaces.contains(&"/"));
    let mut topics = Vec::new();
    if emitter.is_some() || app.api_keys.exist() {
        topics.push(topics::user(&actor.user_id));
    }
    if emitter.is_some() {
        topics.push(topics::everybody("/"));
    }
    topics
}

/// A socket is registered. False if its session was revoked before, which reached nobody.
pub(super) fn admit(app: &App, actor: &Actor, socket: &Socket) -> bool {
    let revocations = &app.auth.revocations;
    if revocations.contains(&actor.session_id) {
        revocations.apply(&actor.session_id);
        return false;
    }
    app.accounts.connected(actor);
    app.auth.last_seen.record(actor, socket.address());
    if let Some(rollups) = &app.rollups {
        rollups.saw(&actor.user_id);
    }
    true
}

/// The client knows that it is connected: its socket is registered, then its rooms are resumed.
pub(super) fn connected(session: Arc<ChatSession>, socket: Socket) -> Handled {
    let ChatSession { app, actor, .. } = &*session;
    if !app
        .user_sockets
        .register(&actor.user_id, &actor.session_id, &socket)
        || published_to(app, actor)
            .iter()
            .any(|topic| socket.join(topic, 0).is_err())
    {
        // The connection is closing already.
        return None;
    }
    if !admit(app, actor, &socket) {
        return None;
    }
    let points = session.resume.lock().take()?;
    Some(Box::pin(async move {
        resume::resume(&session, &socket, *points).await;
    }))
}
