//! Who may connect to which namespace, and what happens first.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use gateway::{ConnectRequest, Handled, Handler, Refusal, Session, Socket};
use parking_lot::Mutex;
use protocol::{ConnectAuth, ConnectRefused, ErrorCode, read_json};

use super::{ChatSession, resume};
use crate::{actor, app::SharedApp, chat::topics, error::AppError, revocations};

/// Decides on connections. A signature and memory decide, no I/O: a crowd that reconnects costs the store nothing.
pub struct Connector {
    app: SharedApp,
}

impl Connector {
    /// Decides for `app`.
    pub fn new(app: SharedApp) -> Self {
        Self { app }
    }

    fn session(&self, request: &ConnectRequest) -> Result<ChatSession, AppError> {
        if request.namespace != "/" {
            return Err(AppError::not_found("namespace"));
        }
        let auth = request.auth_json().unwrap_or("{}");
        let auth: ConnectAuth = read_json(auth.as_bytes()).map_err(|invalid| {
            // Without a token there is nobody; any other field is a mistake of somebody.
            if invalid.field == "token" {
                AppError::new(ErrorCode::Unauthenticated, invalid.to_string())
            } else {
                invalid.into()
            }
        })?;
        let actor = actor::authenticate(&self.app, auth.token.expose())?;
        Ok(ChatSession {
            app: self.app.clone(),
            actor,
            resume: Mutex::new(auth.resume.map(Box::new)),
            typing: Mutex::new(Vec::new()),
        })
    }
}

impl Handler for Connector {
    fn connect(
        self: Arc<Self>,
        request: ConnectRequest,
    ) -> BoxFuture<'static, Result<Arc<dyn Session>, Refusal>> {
        let decided = self
            .session(&request)
            .map(|session| Arc::new(session) as Arc<dyn Session>)
            .map_err(|error| match error.code() {
                ErrorCode::Unavailable | ErrorCode::RateLimited => Refusal::TryLater,
                _ => {
                    let refused = ConnectRefused::from(error.into_body());
                    Refusal::Final {
                        message: refused.message,
                        data: serde_json::to_value(refused.data).ok(),
                    }
                }
            });
        Box::pin(std::future::ready(decided))
    }
}

/// The client knows that it is connected: its own topics, then the rooms it had.
pub(super) fn connected(session: Arc<ChatSession>, socket: Socket) -> Handled {
    let ChatSession { app, actor, .. } = &*session;
    let own = [
        topics::user(&actor.user_id),
        topics::session(&actor.session_id),
    ];
    // Costs every connection something, so only where somebody can publish to it.
    let emitter = app.config.emitter.as_ref();
    let everybody = emitter
        .filter(|emitter| emitter.namespaces.contains(&"/"))
        .map(|_| topics::everybody("/"));
    if own
        .iter()
        .chain(&everybody)
        .any(|topic| socket.join(topic, 0).is_err())
    {
        // The connection is closing already.
        return None;
    }
    app.users_here.came(app, &actor.user_id);
    // A revocation before the subscription reached nobody.
    if app.revocations.contains(&actor.session_id) {
        revocations::apply(app, &actor.session_id);
        return None;
    }
    app.sessions_seen.note(actor, socket.address());
    let points = session.resume.lock().take()?;
    Some(Box::pin(async move {
        resume::resume(&session, &socket, *points).await;
    }))
}
