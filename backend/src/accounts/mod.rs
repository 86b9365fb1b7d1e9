//! Accounts: signing in, sessions and profiles. [`Accounts`] holds the parts; the rules are functions that take it, one
//! file per concern. No HTTP in here.

pub mod avatar;
pub mod blocks;
pub mod connected_sessions;
mod external_connections;
mod external_users;
pub mod profile;
pub mod session_monitor;
pub mod sessions;
pub mod sign_in;
pub mod users;

use std::sync::Arc;

use protocol::{ErrorCode, User, UserId, limits::TOKEN_MAX};
use storage::{MessageStore, NotificationStore, Sessions, StoreError, StoredUser, UploadStore};
use tokio::task::JoinSet;

use self::{
    connected_sessions::ConnectedSessions, external_connections::ExternalConnections,
    external_users::ExternalUsers, session_monitor::MonitorStats,
};
use crate::{
    auth::{Auth, access_tokens::TokenError, actor::Actor, external_tokens::ExternalIdentity},
    cache::{Audience, Cache, Kind as CacheKind},
    chat::Chat,
    delivery::user_sockets::UserSockets,
    error::AppError,
    fleet::bus::{Bus, Kind, Lost, Malformed, Message, Reader, Receiver, Writer},
    limits::Limits,
    media_urls::MediaUrls,
    wire,
};

/// Everything that accounts are made of.
pub struct Accounts {
    store: MessageStore,
    sessions: Sessions,
    bus: Arc<Bus>,
    cache: Arc<Cache>,
    auth: Arc<Auth>,
    limits: Arc<Limits>,
    user_sockets: Arc<UserSockets>,
    /// For rooms that a deleted account leaves, and rooms that a block closes.
    chat: Arc<Chat>,
    connected_sessions: ConnectedSessions,
    external_users: ExternalUsers,
    monitor: Arc<MonitorStats>,
    external_connections: ExternalConnections,
    /// True if guests are allowed.
    guests: bool,
    /// Where there are tables.
    notifications: Option<NotificationStore>,
    /// Likewise.
    uploads: Option<UploadStore>,
    /// Of avatars.
    urls: Arc<MediaUrls>,
}

/// What accounts are built from.
pub struct AccountParts {
    /// Users and their rooms.
    pub store: MessageStore,
    /// The sessions' store.
    pub sessions: Sessions,
    /// The bus between instances.
    pub bus: Arc<Bus>,
    /// Users by id.
    pub cache: Arc<Cache>,
    /// Tokens and passwords.
    pub auth: Arc<Auth>,
    /// Rate limits.
    pub limits: Arc<Limits>,
    /// The connected users.
    pub user_sockets: Arc<UserSockets>,
    /// Chat.
    pub chat: Arc<Chat>,
    /// True if guests are allowed.
    pub guests: bool,
    /// What users are told of, and where; where there are tables.
    pub notifications: Option<NotificationStore>,
    /// What avatars are made of; where there are files and images.
    pub uploads: Option<UploadStore>,
    /// URLs of avatars.
    pub urls: Arc<MediaUrls>,
}

/// Who acts with a token, as far as memory tells.
pub enum Identified {
    /// Everything is known.
    Actor(Actor),
    /// The token of another application is good; what is known of its user here has to be read.
    External(ExternalIdentity),
    /// It is of another application, whose key has to be read first.
    UnknownKey,
}

/// A user's name, blocks or account changed; sent to all instances.
struct UserChanged<'a>(&'a UserId);

impl Message for UserChanged<'_> {
    fn kind(&self) -> Kind {
        Kind::USER_CHANGED
    }

    fn write(&self, fields: &mut Writer<'_>) {
        fields.text(self.0.as_str());
    }
}

impl Accounts {
    /// Accounts of one instance.
    pub fn new(parts: AccountParts) -> Self {
        Self {
            connected_sessions: ConnectedSessions::new(
                parts.store.clone(),
                parts.sessions.clone(),
                parts.auth.revocations.clone(),
                parts.user_sockets.clone(),
            ),
            external_users: ExternalUsers::default(),
            monitor: Arc::default(),
            external_connections: ExternalConnections::new(
                parts.store.clone(),
                parts.auth.revocations.clone(),
                parts.user_sockets.clone(),
            ),
            store: parts.store,
            sessions: parts.sessions,
            bus: parts.bus,
            cache: parts.cache,
            auth: parts.auth,
            limits: parts.limits,
            user_sockets: parts.user_sockets,
            chat: parts.chat,
            guests: parts.guests,
            notifications: parts.notifications,
            uploads: parts.uploads,
            urls: parts.urls,
        }
    }

    /// Where accounts are.
    pub fn store(&self) -> &MessageStore {
        &self.store
    }

    /// Who acts with an access token, of this server or of another application, as far as memory tells. For the server's own
    /// that is all; for another's too, once its key and its user are known here. What remains takes I/O, and whoever asks
    /// for it has to be counted first.
    ///
    /// # Errors
    /// `unauthenticated` if the token isn't good, or what it stands for has ended.
    pub fn identify(&self, token: &str) -> Result<Identified, AppError> {
        if token.len() > TOKEN_MAX {
            return Err(AppError::new(
                ErrorCode::Unauthenticated,
                format!("the access token has more than {TOKEN_MAX} characters"),
            ));
        }
        match (self.auth.authenticate(token), &self.auth.external_tokens) {
            (Err(TokenError::Invalid), Some(tokens)) => {
                external_users::identify(self, tokens, token)
            }
            (own, _) => Ok(Identified::Actor(own?)),
        }
    }

    /// Reads the key of a token that was [`Identified::UnknownKey`].
    ///
    /// # Errors
    /// `unauthenticated` if the token isn't good; `unavailable` if the issuer can't be asked.
    pub async fn identify_with_new_key(&self, token: &str) -> Result<ExternalIdentity, AppError> {
        match &self.auth.external_tokens {
            Some(tokens) => Ok(tokens.verify(token).await?),
            None => Err(TokenError::Invalid.into()),
        }
    }

    /// Signs in who was [`Identified::External`] by a token.
    ///
    /// # Errors
    /// `unauthenticated` if the user was deleted, or the token revoked; those of the store.
    pub async fn sign_in_external(
        self: &Arc<Self>,
        token: &str,
        identity: ExternalIdentity,
    ) -> Result<Actor, AppError> {
        external_users::sign_in(self, token, identity).await
    }

    /// A client has connected whose socket is registered; from now on its connection ends with its session or its token.
    pub fn connected(&self, actor: &Actor) {
        match &actor.external {
            None => self.connected_sessions.add(actor),
            Some(token) => {
                self.external_connections.add(actor, token);
                // What ended the token since it was checked has found no socket.
                if !self.external_users.is_good(actor, token) {
                    self.external_connections.check_soon(&actor.user_id);
                }
            }
        }
    }

    /// What the session monitor has done.
    pub fn monitor(&self) -> &MonitorStats {
        &self.monitor
    }

    /// Starts what accounts do from time to time.
    pub fn spawn_tasks(self: &Arc<Self>, tasks: &mut JoinSet<()>) {
        let accounts = self.clone();
        tasks.spawn(async move { accounts.connected_sessions.run().await });
        if self.auth.external_tokens.is_some() {
            let accounts = self.clone();
            tasks.spawn(async move { accounts.external_connections.run().await });
            let auth = self.auth.clone();
            tasks.spawn(async move {
                if let Some(tokens) = &auth.external_tokens {
                    tokens.run().await;
                }
            });
        }
        let accounts = self.clone();
        tasks.spawn(async move { session_monitor::supervise(&accounts).await });
        let auth = self.auth.clone();
        tasks.spawn(async move { auth.last_seen.run().await });
        if self.bus.has_peers() {
            let auth = self.auth.clone();
            tasks.spawn(async move { auth.revocations.run().await });
            let user_sockets = self.user_sockets.clone();
            tasks.spawn(async move { user_sockets.run_sweeps().await });
        }
    }

    /// A user as they see themselves, cached.
    async fn user(&self, id: &UserId) -> Result<Option<Arc<User>>, StoreError> {
        let read = || async {
            match self.store.user(id).await {
                Ok(user) => Ok(Some(wire::oneself(user, &self.urls))),
                Err(StoreError::NotFound) => Ok(None),
                Err(error) => Err(error),
            }
        };
        self.cache.get(id.as_str(), read).await
    }

    /// What the store has just said of a user: if their role isn't the cached one, it was changed by somebody who could tell nobody,
    /// such as the command line.
    pub async fn notice_role(&self, user: &StoredUser) {
        if let Ok(Some(cached)) = self.user(&user.id).await
            && cached.role != user.role
        {
            self.invalidate(&user.id, Audience::Clients);
        }
    }

    /// Every instance forgets what it caches of a user.
    fn publish_change(&self, user: &UserId) {
        self.publish(user, Audience::Instances);
    }

    /// As [`publish_change`](Self::publish_change), of what others see.
    fn publish_visible_change(&self, user: &UserId) {
        self.publish(user, Audience::Clients);
    }

    fn publish(&self, user: &UserId, audience: Audience) {
        self.bus.send_to_all(&UserChanged(user));
        self.user_changed(user);
        self.invalidate(user, audience);
    }

    fn user_changed(&self, user: &UserId) {
        self.store.forget_user(user);
        self.external_users.forget(user);
        self.external_connections.check_soon(user);
    }

    fn invalidate(&self, user: &UserId, audience: Audience) {
        self.cache
            .invalidate(CacheKind::User, user.as_str(), audience);
    }
}

/// Whether a write has changed something or may have: one whose outcome isn't known counts as one that has.
fn may_have_changed<T>(written: &Result<T, StoreError>) -> bool {
    !matches!(
        written,
        Err(StoreError::NotFound
            | StoreError::Invalid { .. }
            | StoreError::Conflict { .. }
            | StoreError::Forbidden)
    )
}

impl Receiver for Accounts {
    fn kinds(&self) -> &'static [Kind] {
        &[Kind::USER_CHANGED]
    }

    fn receive(&self, _: &str, _: Kind, mut fields: Reader<'_>) -> Result<(), Malformed> {
        self.user_changed(&UserId::trusted(fields.text()?));
        Ok(())
    }

    /// Chat makes the store forget everything, users included.
    fn interrupted(&self, lost: &Lost<'_>) {
        if lost.includes_everybody() {
            self.external_users.forget_all();
            self.external_connections.check_all_soon();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_of_unknown_outcome_may_have_changed_something() {
        assert!(may_have_changed(&Ok(())));
        let cause = Arc::new(std::io::Error::other("no answer"));
        assert!(may_have_changed::<()>(&Err(StoreError::Unavailable(cause))));
        assert!(!may_have_changed::<()>(&Err(StoreError::NotFound)));
        assert!(!may_have_changed::<()>(&Err(StoreError::Forbidden)));
    }
}
