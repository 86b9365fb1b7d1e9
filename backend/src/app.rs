//! The components of a server. Only the edges (sockets, HTTP, operations, start-up) know this; each component knows its own
//! parts.

use std::sync::Arc;

use gateway::{Hub, Peers};
use storage::{MessageStore, Postgres, Sql};
use tokio::sync::Semaphore;

use crate::{
    accounts::Accounts,
    audit::Audit,
    auth::Auth,
    cache::Cache,
    chat::Chat,
    circuits::Circuits,
    config::Config,
    delivery::user_sockets::UserSockets,
    error::AppError,
    fleet::{bus::Bus, instances::Instances, startup::Startup},
    health::Health,
    jobs::Jobs,
    limits::{Limits, unfinished::UnfinishedRequests},
    mail::AccountMail,
    media::Media,
    metrics::Metrics,
    notifications::Notifications,
    publish::{Publishing, api_keys::ApiKeys},
    rollups::Rollups,
};

/// The components of one server, shared by all that it serves.
pub struct App {
    /// The settings.
    pub config: Config,
    /// What is waited for before clients are accepted.
    pub startup: Arc<Startup>,
    /// Whether what the server depends on works.
    pub health: Health,
    /// What is observed for the operations listener.
    pub metrics: Metrics,
    /// Topics of live connections.
    pub hub: Hub,
    /// The connected users.
    pub user_sockets: Arc<UserSockets>,
    /// The bus between instances.
    pub bus: Arc<Bus>,
    /// The live instances.
    pub instances: Instances,
    /// Where the gateway finds the other instances.
    pub peers: Peers,
    /// Everything durable but sessions.
    pub store: MessageStore,
    /// What is read often.
    pub cache: Arc<Cache>,
    /// The circuit breakers of remote dependencies.
    pub circuits: Arc<Circuits>,
    /// The servers of what is relational, in a fleet that keeps it.
    pub postgres: Option<Postgres>,
    /// What is relational; none in a fleet without PostgreSQL.
    pub sql: Option<Sql>,
    /// What is done later; likewise.
    pub jobs: Option<Jobs>,
    /// Files and images; none in a fleet without PostgreSQL or a bucket.
    pub media: Option<Arc<Media>>,
    /// Rate limits.
    pub limits: Arc<Limits>,
    /// HTTP requests that aren't answered yet.
    pub unfinished_requests: Arc<UnfinishedRequests>,
    /// Tokens and passwords.
    pub auth: Arc<Auth>,
    /// Accounts and sessions.
    pub accounts: Arc<Accounts>,
    /// Who did what.
    pub audit: Arc<Audit>,
    /// Rooms and messages.
    pub chat: Arc<Chat>,
    /// Emails about accounts; likewise.
    pub account_mail: Option<Arc<AccountMail>>,
    /// What users are to know; likewise where there are tables.
    pub notifications: Option<Arc<Notifications>>,
    /// What happened on each day; likewise.
    pub rollups: Option<Arc<Rollups>>,
    /// The keys of other programs.
    pub api_keys: Arc<ApiKeys>,
    /// Events from outside.
    pub publishing: Publishing,
    /// Permits of connections that resume their rooms.
    pub resuming: Semaphore,
}

/// A shared [`App`].
pub type SharedApp = Arc<App>;

impl App {
    /// Files and images.
    ///
    /// # Errors
    /// `not_found` if this server has none.
    pub fn media(&self) -> Result<&Arc<Media>, AppError> {
        self.media
            .as_ref()
            .ok_or_else(|| AppError::not_found("place for uploads on this server"))
    }
}
