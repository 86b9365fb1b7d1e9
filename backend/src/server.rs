//! Starting and stopping: the only place where components are put together.

use std::{future::Future, io, sync::Arc, time::Duration};

use futures_util::FutureExt;
use gateway::{Frame, Gateway, Hub};
use hyper_util::service::TowerToHyperService;
use protocol::{ServerDraining, ServerEvent};
use storage::{MessageStore, OpenError};
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

use crate::{
    access_tokens::AccessTokens,
    app::{App, SharedApp},
    chat::{fan_out::FanOut, presence::Presence, room_feeds::RoomFeeds, unread::UnreadNotices},
    config::Config,
    housekeeping, http,
    http::health::Health,
    passwords::Passwords,
    refresh_tokens::RefreshTokens,
    revocations::Revocations,
    sessions_seen::SessionsSeen,
    sign_in_limits::SignInLimits,
    signing_secret::{SecretError, SigningSecret},
    socket::Connector,
};

/// How long requests in flight may take to end once everything else has.
const LAST_REQUESTS: Duration = Duration::from_secs(5);

/// Why a server didn't start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The secret that signs access tokens.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The sessions that ended lately couldn't be read.
    #[error("can't read revoked sessions: {0}")]
    Revocations(storage::StoreError),
    /// The listener.
    #[error("can't listen: {0}")]
    Listen(#[from] io::Error),
}

/// Serves on `listener` until `shutdown` is done, then sends the clients away and ends when everything is written.
///
/// # Errors
/// If the data directory, the secret or the listener can't be used.
pub async fn start(
    config: Config,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> Result<(), StartError> {
    let store = MessageStore::open(&config.data_dir).await?;
    let app = match components(config, store.clone()).await {
        Ok(app) => app,
        Err(error) => {
            store.close().await;
            return Err(error);
        }
    };
    let gateway = Gateway::new(
        gateway_config(&app.config),
        app.hub.clone(),
        Arc::new(Connector::new(app.clone())),
    );
    let mut background = JoinSet::new();
    run_in_background(&mut background, &app);

    let (stop, stopped) = watch::channel(false);
    let router = TowerToHyperService::new(http::router::router(app.clone(), gateway.clone()));
    let serving = gateway::serve(listener, vec![gateway.clone()], router, stopped).fuse();
    let mut serving = std::pin::pin!(serving);
    let served = tokio::select! {
        served = serving.as_mut() => served,
        () = shutdown => {
            tracing::info!(connections = gateway.connections(), "shutting down");
            // Whoever comes meanwhile is told to try again; that needs the listener.
            tokio::select! {
                () = gateway.drain(app.config.drain, draining_notice) => {}
                _ = serving.as_mut() => {}
            }
            stop.send_replace(true);
            match tokio::time::timeout(LAST_REQUESTS, serving).await {
                Ok(served) => served,
                Err(_) => {
                    tracing::warn!("requests were still in flight at the end");
                    Ok(())
                }
            }
        }
    };
    background.shutdown().await;
    app.sessions_seen.write(&app.store).await;
    app.store.close().await;
    Ok(served?)
}

async fn components(config: Config, store: MessageStore) -> Result<SharedApp, StartError> {
    let secret = SigningSecret::open(&config)?;
    let revocations = Revocations::load(&store)
        .await
        .map_err(StartError::Revocations)?;
    let workers = config.worker_threads;
    let lanes = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(Arc::new(App {
        health: Health::default(),
        hub: Hub::new(workers),
        store,
        access_tokens: AccessTokens::new(&secret),
        refresh_tokens: RefreshTokens::new(&secret),
        passwords: Passwords::new(),
        sign_in_limits: SignInLimits::default(),
        revocations,
        sessions_seen: SessionsSeen::default(),
        fan_out: FanOut::start(workers.unwrap_or(lanes)),
        feeds: RoomFeeds::default(),
        presence: Presence::default(),
        unread_notices: UnreadNotices::default(),
        config,
    }))
}

fn gateway_config(config: &Config) -> gateway::Config {
    gateway::Config {
        ping_interval: config.ping_interval,
        ping_timeout: config.ping_timeout,
        max_payload: config.max_payload,
        max_connections: config.max_connections,
        allowed_origins: config.allowed_origins.clone(),
        // One queue holds at least one message of the largest size, and its answer.
        max_queue: (1 << 20).max(config.max_payload * 2),
        ..gateway::Config::default()
    }
}

fn run_in_background(tasks: &mut JoinSet<()>, app: &SharedApp) {
    let shared = app.clone();
    tasks.spawn(async move { shared.feeds.sweep(&shared.hub).await });
    let shared = app.clone();
    tasks.spawn(async move { shared.presence.tell_counts(&shared.hub).await });
    let shared = app.clone();
    tasks.spawn(async move { shared.unread_notices.run(&shared).await });
    let shared = app.clone();
    tasks.spawn(async move { shared.sessions_seen.run(&shared.store).await });
    let shared = app.clone();
    tasks.spawn(async move { housekeeping::run(&shared).await });
}

/// What every namespace hears before its connection is closed.
fn draining_notice(namespace: &str, reconnect_after: Duration) -> Option<Frame> {
    let draining = ServerDraining {
        reconnect_after_ms: reconnect_after.as_millis() as u64,
    };
    Frame::event(namespace, ServerDraining::NAME, &draining).ok()
}
