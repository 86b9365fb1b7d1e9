//! Starting and stopping: the only place where components are put together.

use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use futures_util::FutureExt;
use gateway::{Frame, Gateway, Hub};
use hyper_util::service::TowerToHyperService;
use protocol::{ServerDraining, ServerEvent};
use storage::OpenError;
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

use crate::{
    access_tokens::AccessTokens,
    accounts::live_sessions::LiveSessions,
    app::{App, SharedApp},
    chat::{
        fan_out::FanOut, reconciliation::Reconciliation, removals::Removals, room_feeds::RoomFeeds,
        room_repair, search_turns::SearchTurns, unread::UnreadNotices,
    },
    config::Config,
    emitter::{self, EmitterCounts},
    fleet::{Fleet, Parts},
    housekeeping, http,
    http::health::Health,
    operations::{self, Metrics},
    passwords::Passwords,
    publish::Publishing,
    refresh_tokens::RefreshTokens,
    revocations::{self, Revocations},
    sessions_seen::SessionsSeen,
    signing_secret::{SecretError, SigningSecret},
    socket::{Connector, Turns},
    startup::{self, Startup},
    user_sockets::{self, UserSockets},
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
    /// The rooms that blocks close couldn't be read.
    #[error("can't read blocks: {0}")]
    Blocks(storage::StoreError),
    /// Other instances couldn't reach this one.
    #[error("{0}")]
    Internal(String),
    /// The metrics.
    #[error(transparent)]
    Metrics(#[from] telemetry::RegistryError),
    /// A listener.
    #[error("can't listen: {0}")]
    Listen(#[from] io::Error),
}

/// What a server listens on.
pub struct Listeners {
    /// For clients.
    pub clients: TcpListener,
    /// For operators.
    pub operations: TcpListener,
    /// For other instances; of a fleet.
    pub internal: Option<TcpListener>,
}

impl Listeners {
    /// Those that the configuration names.
    ///
    /// # Errors
    /// If one can't be bound; says which.
    pub async fn bind(config: &Config) -> Result<Self, String> {
        let bind = async |host, port, variable| {
            let address = SocketAddr::new(host, port);
            TcpListener::bind(address)
                .await
                .map_err(|e| format!("{variable}: can't listen on {address}: {e}"))
        };
        Ok(Self {
            clients: bind(config.host, config.port, "PORT").await?,
            operations: bind(config.metrics_host, config.metrics_port, "METRICS_PORT").await?,
            internal: match &config.fleet {
                Some(_) => {
                    Some(bind(config.internal_host, config.internal_port, "INTERNAL_PORT").await?)
                }
                None => None,
            },
        })
    }
}

/// Serves on `listeners` until `shutdown` is done, then sends the clients away and ends when everything is written. A
/// server of a fleet takes clients once the services that it needs are there.
///
/// # Errors
/// If the data directory, the secret, an address or a listener can't be used.
pub async fn start(
    config: Config,
    listeners: Listeners,
    shutdown: impl Future<Output = ()>,
) -> Result<(), StartError> {
    start_and_tell(config, listeners, || {}, shutdown).await
}

/// As [`start`], and calls `listening` once nothing is in the way of an answer to whoever connects.
///
/// # Errors
/// As [`start`].
pub async fn start_and_tell(
    config: Config,
    listeners: Listeners,
    listening: impl FnOnce(),
    shutdown: impl Future<Output = ()>,
) -> Result<(), StartError> {
    let (app, fleet) = components(config, &listeners).await?;
    let gateway = Gateway::new(
        gateway_config(&app),
        app.hub.clone(),
        Arc::new(Connector::new(app.clone())),
    );
    let mut background = JoinSet::new();
    let shared = app.clone();
    background.spawn(async move { operations::run_upkeep(&shared.metrics).await });
    let mut carrying = JoinSet::new();
    match fleet {
        None => run_in_background(&mut background, &app),
        Some(Fleet { redis, traffic }) => {
            carrying.spawn(traffic.run(app.clone()));
            let (shared, gateway) = (app.clone(), gateway.clone());
            background.spawn(async move {
                startup::wait(&shared, &redis).await;
                gateway.admit();
                let mut background = JoinSet::new();
                run_in_background(&mut background, &shared);
                while background.join_next().await.is_some() {}
            });
        }
    }

    let (stop, stopped) = watch::channel(false);
    let router = TowerToHyperService::new(http::router::router(app.clone(), gateway.clone()));
    let clients = gateway::serve(
        listeners.clients,
        vec![gateway.clone()],
        router,
        stopped.clone(),
    );
    let others = async {
        match listeners.internal {
            Some(listener) => {
                gateway::serve_internal(listener, gateway.clone(), stopped.clone()).await
            }
            None => Ok(()),
        }
    };
    let operators = gateway::serve(
        listeners.operations,
        Vec::new(),
        TowerToHyperService::new(operations::router(app.clone(), gateway.clone())),
        stopped.clone(),
    );
    let serving = async { tokio::try_join!(clients, operators, others).map(drop) }.fuse();
    let mut serving = std::pin::pin!(serving);
    listening();
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
    app.sessions_seen.write(&app.sessions).await;
    app.store.close().await;
    // What was written last is on its way to the others.
    app.bus.settle().await;
    app.instances.leave().await;
    carrying.shutdown().await;
    Ok(served?)
}

async fn components(
    config: Config,
    listeners: &Listeners,
) -> Result<(SharedApp, Option<Fleet>), StartError> {
    match (&config.fleet, &listeners.internal) {
        (Some(fleet), Some(internal)) => {
            let address = config.internal_reach(internal.local_addr()?).ok_or_else(|| {
                StartError::Internal(
                    "INTERNAL_ADDRESS: expected where other instances reach this one, since its internal listener \
                     is bound to every address"
                        .into(),
                )
            })?;
            let secret = SigningSecret::open(&config)?;
            let metrics = Metrics::new()?;
            let parts = Parts::of_fleet(fleet, &secret, address, &metrics).await?;
            Ok(assemble(config, &secret, parts, metrics))
        }
        _ => {
            let metrics = Metrics::new()?;
            let (parts, secret) = Parts::alone(&config).await?;
            let store = parts.store.clone();
            let (app, fleet) = assemble(config, &secret, parts, metrics);
            if let Err(error) = revocations::reload(&app).await {
                store.close().await;
                return Err(StartError::Revocations(error));
            }
            Ok((app, fleet))
        }
    }
}

fn assemble(
    config: Config,
    secret: &SigningSecret,
    parts: Parts,
    metrics: Metrics,
) -> (SharedApp, Option<Fleet>) {
    parts.store.observe(metrics.store_observer());
    let workers = config.worker_threads;
    let lanes = std::thread::available_parallelism().map_or(1, usize::from);
    let app = App {
        health: Health::new(parts.checks),
        startup: if parts.fleet.is_some() {
            Startup::waiting()
        } else {
            Startup::default()
        },
        metrics,
        hub: Hub::new(workers),
        store: parts.store,
        sessions: parts.sessions,
        access_tokens: AccessTokens::new(secret),
        refresh_tokens: RefreshTokens::new(secret),
        passwords: Passwords::new(),
        search_turns: SearchTurns::default(),
        limits: parts.limits,
        revocations: Revocations::default(),
        publishing: Publishing::new(&config),
        emitter_counts: EmitterCounts::default(),
        live_sessions: LiveSessions::default(),
        sessions_seen: SessionsSeen::default(),
        fan_out: FanOut::start(workers.unwrap_or(lanes)),
        feeds: RoomFeeds::default(),
        removals: Removals::default(),
        resuming: Turns::default(),
        presence: parts.presence,
        blocked_rooms: parts.blocked_rooms,
        bus: parts.bus,
        instances: parts.instances,
        peers: parts.peers,
        user_sockets: UserSockets::new(parts.fleet.is_some()),
        reconciliation: Reconciliation::default(),
        unread_notices: UnreadNotices::default(),
        config,
    };
    (Arc::new(app), parts.fleet)
}

fn gateway_config(app: &App) -> gateway::Config {
    let config = &app.config;
    let defaults = gateway::Config::default();
    gateway::Config {
        instance: app.instances.own(),
        peers: app.peers.clone(),
        hold: !app.startup.is_over(),
        ping_interval: config.ping_interval,
        ping_timeout: config.ping_timeout,
        max_payload: config.max_payload,
        max_connections: config.max_connections,
        max_http_connections: config.max_http_connections,
        max_http_connections_of_network: config.max_http_connections_per_address,
        urgent_paths: http::health::PATHS.map(str::to_owned).to_vec(),
        allowed_origins: config.allowed_origins.clone(),
        trusted_proxies: config.trusted_proxies.clone(),
        // One queue holds at least one message of the largest size, and its answer.
        max_queue: (1 << 20).max(config.max_payload * 2),
        // A few of the largest messages fit into one address' share.
        max_input: defaults.max_input.max(config.max_payload * 16),
        max_queues: defaults.max_queues.max(config.max_payload * 16),
        ..defaults
    }
}

fn run_in_background(tasks: &mut JoinSet<()>, app: &SharedApp) {
    let shared = app.clone();
    tasks.spawn(async move { shared.feeds.sweep(&shared).await });
    let shared = app.clone();
    tasks.spawn(async move { shared.presence.run(&shared).await });
    let shared = app.clone();
    tasks.spawn(async move { shared.reconciliation.run(&shared).await });
    let shared = app.clone();
    tasks.spawn(async move { shared.unread_notices.run(&shared).await });
    let shared = app.clone();
    tasks.spawn(async move { shared.sessions_seen.run(&shared.sessions).await });
    let shared = app.clone();
    tasks.spawn(async move { shared.live_sessions.run(&shared).await });
    let shared = app.clone();
    tasks.spawn(async move { housekeeping::run(&shared).await });
    if app.config.emitter.is_some() {
        let shared = app.clone();
        tasks.spawn(async move { emitter::run(&shared).await });
    }
    if app.bus.link().is_none() {
        return;
    }
    let shared = app.clone();
    tasks.spawn(async move { revocations::run(&shared).await });
    let shared = app.clone();
    tasks.spawn(async move { shared.instances.run(&shared).await });
    let shared = app.clone();
    tasks.spawn(async move { user_sockets::sweep(&shared).await });
    let shared = app.clone();
    tasks.spawn(async move { room_repair::compare(&shared).await });
    let shared = app.clone();
    tasks.spawn(async move { shared.feeds.doubts.run(&shared).await });
}

/// What every namespace hears before its connection is closed.
fn draining_notice(namespace: &str, reconnect_after: Duration) -> Option<Frame> {
    let draining = ServerDraining {
        reconnect_after_ms: reconnect_after.as_millis() as u64,
    };
    Frame::event(namespace, ServerDraining::NAME, &draining).ok()
}
