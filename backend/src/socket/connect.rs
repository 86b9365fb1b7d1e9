//! Who may connect to which namespace, and what happens first.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;
use gateway::{ConnectRequest, Handler, Refusal, Session};
use parking_lot::Mutex;
use protocol::{ConnectAuth, ConnectRefused, ErrorCode, UserId, read_json};

use super::{ChatSession, notifications::NotificationSession};
use crate::{
    accounts::Identified,
    app::SharedApp,
    auth::actor::Actor,
    error::AppError,
    limits::{Key, Tier, network::Network, tiers},
    metrics::Channel,
    topics,
};

/// Decides on connections. A signature and memory decide: a crowd that reconnects costs the store nothing. Only who connects
/// often is counted in Redis, and tokens of another application whose user or key isn't known yet take I/O, for which they are
/// counted first.
pub struct Connector {
    app: SharedApp,
}

impl Connector {
    /// Decides for `app`.
    pub fn new(app: SharedApp) -> Self {
        Self { app }
    }

    /// The session of who connects, who is counted before anything is read for them.
    async fn session(&self, request: &ConnectRequest) -> Result<Arc<dyn Session>, AppError> {
        let is_notifications = request.namespace == topics::NOTIFICATIONS;
        if request.namespace != "/" && !is_notifications {
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
        let token = auth.token.expose();
        let (limit_key, actor) = match self.app.accounts.identify(token)? {
            Identified::Actor(actor) => (self.count(&actor.user_id).await?, actor),
            // Apart, as it needs far more memory than the usual case.
            other => Box::pin(self.sign_in(request, token, other)).await?,
        };
        if is_notifications {
            let session = NotificationSession::new(self.app.clone(), actor);
            return Ok(Arc::new(session));
        }
        let session = ChatSession {
            app: self.app.clone(),
            limit_key,
            actor,
            resume: Mutex::new(auth.resume.map(Box::new)),
            typing: Mutex::new(Vec::new()),
        };
        Ok(Arc::new(session))
    }

    /// Counts a connect of a user.
    async fn count(&self, user: &UserId) -> Result<Key, AppError> {
        let (app, now) = (&self.app, Instant::now());
        if app.user_sockets.count_of_user(user) >= app.config.max_connections_per_user {
            let message = "too many connections of this user";
            return Err(AppError::rate_limited(message, Duration::from_secs(1)));
        }
        let key = tiers::of_user(user);
        match app.limits.try_take(Tier::Connects, key, now) {
            Some(taken) => taken?,
            None => app.limits.take(Tier::Connects, key, 1, now).await?,
        };
        Ok(key)
    }

    /// Signs in with a token of another application for which something has to be read.
    async fn sign_in(
        &self,
        request: &ConnectRequest,
        token: &str,
        identified: Identified,
    ) -> Result<(Key, Actor), AppError> {
        let app = &self.app;
        let identity = match identified {
            Identified::Actor(actor) => return Ok((tiers::of_user(&actor.user_id), actor)),
            Identified::External(identity) => identity,
            Identified::UnknownKey => {
                // Anybody can name a key that nobody knows.
                let network = tiers::of_network(Network::from(request.address));
                let max = app.config.max_requests_per_address;
                let _unfinished = app.unfinished_requests.begin(network, max)?;
                let now = Instant::now();
                app.limits.take(Tier::Strangers, network, 1, now).await?;
                app.accounts.identify_with_new_key(token).await?
            }
        };
        let key = self.count(&identity.user_id).await?;
        let max = app.config.max_requests_per_user;
        let _unfinished = app.unfinished_requests.begin(key, max)?;
        let actor = app.accounts.sign_in_external(token, identity).await?;
        Ok((key, actor))
    }

    fn decided(
        &self,
        session: Result<Arc<dyn Session>, AppError>,
    ) -> Result<Arc<dyn Session>, Refusal> {
        session
            .inspect_err(|error| self.app.metrics.refused(Channel::Connect, error.code()))
            .map_err(|error| match error.code() {
                ErrorCode::Unavailable | ErrorCode::RateLimited => Refusal::TryLater,
                _ => {
                    let refused = ConnectRefused::from(error.into_body());
                    Refusal::Final {
                        message: refused.message,
                        data: serde_json::to_value(refused.data).ok(),
                    }
                }
            })
    }
}

impl Handler for Connector {
    fn connect(
        self: Arc<Self>,
        request: ConnectRequest,
    ) -> BoxFuture<'static, Result<Arc<dyn Session>, Refusal>> {
        Box::pin(async move {
            let session = self.session(&request).await;
            self.decided(session)
        })
    }

    fn event_kind(&self, name: &str) -> u16 {
        self.app.metrics.event_kind(name)
    }

    fn answered(&self, kind: u16, outcome: u16, took: Duration) {
        self.app.metrics.acked(kind, took);
        if let Some(code) = code_of(outcome) {
            self.app.metrics.refused(Channel::Ack, code);
        }
    }
}

/// How the gateway carries the code of an ack's refusal; 0 is success.
pub(super) fn outcome_of(code: ErrorCode) -> u16 {
    let index = ErrorCode::ALL.iter().position(|known| *known == code);
    index.map_or(0, |index| index as u16 + 1)
}

fn code_of(outcome: u16) -> Option<ErrorCode> {
    let index = usize::from(outcome).checked_sub(1)?;
    ErrorCode::ALL.get(index).copied()
}
