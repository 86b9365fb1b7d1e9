//! Start and stop: the only place where components are put together.

use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use futures_util::FutureExt;
use gateway::{Frame, Gateway, Hub};
use hyper_util::service::TowerToHyperService;
use protocol::{ServerDraining, ServerEvent};
use storage::{NotificationStore, OpenError, UploadStore};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
    task::JoinSet,
};

use crate::{
    accounts::{AccountParts, Accounts},
    app::{App, SharedApp},
    auth::{
        Auth,
        external_tokens::ExternalTokens,
        last_seen::LastSeenBuffer,
        revocations::Revocations,
        signing_secret::{SecretError, SigningSecret},
    },
    cache::Cache,
    chat::{Chat, ChatFleet, ChatParts, blocked_rooms::BlockedRooms},
    circuits::Dependency,
    config::{Config, FleetConfig},
    delivery::{Delivery, user_sockets::UserSockets},
    fleet::{
        BackEnds, Fleet,
        bus::Receivers,
        startup::{Dependencies, Startup},
    },
    health::Health,
    http,
    jobs::{
        Jobs,
        runner::{self, Role},
    },
    mail::{AccountMail, AccountMailParts, Links, Mail},
    media::{Media, MediaParts},
    media_urls::MediaUrls,
    metrics::Metrics,
    notifications::{NotificationParts, Notifications},
    operations,
    publish::{Publishing, api_keys::ApiKeys, emitter},
    push::Push,
    rollups::Rollups,
    socket::{Connector, RESUMING},
};

/// How long requests in flight may take to end once everything else has.
const LAST_REQUESTS: Duration = Duration::from_secs(5);

/// How long what was recorded may take to be stored at the end.
const LAST_ENTRIES: Duration = Duration::from_secs(5);

/// How long Redis may take at the end to be told that cached values are outdated.
const LAST_INVALIDATIONS: Duration = Duration::from_secs(2);

/// Why a server didn't start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The secret that signs access tokens.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The revoked sessions couldn't be read.
    #[error("can't read revoked sessions: {0}")]
    Revocations(storage::StoreError),
    /// The rooms closed by blocks couldn't be read.
    #[error("can't read blocks: {0}")]
    Blocks(storage::StoreError),
    /// The keys of other programs couldn't be read.
    #[error("can't read API keys: {0}")]
    ApiKeys(storage::StoreError),
    /// Other instances couldn't reach this one.
    #[error("{0}")]
    Internal(String),
    /// The configuration isn't one of a worker.
    #[error("{0}")]
    Worker(String),
    /// The key for push.
    #[error("can't use the key for push: {0}")]
    Push(io::Error),
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
        Ok(Self {
            clients: bind(config.host, config.port, "PORT").await?,
            operations: bind_operations(config).await?,
            internal: match &config.fleet {
                Some(_) => {
                    Some(bind(config.internal_host, config.internal_port, "INTERNAL_PORT").await?)
                }
                None => None,
            },
        })
    }
}

/// The listener for operators that the configuration names.
///
/// # Errors
/// If it can't be bound; says which.
pub async fn bind_operations(config: &Config) -> Result<TcpListener, String> {
    bind(config.metrics_host, config.metrics_port, "METRICS_PORT").await
}

async fn bind(host: IpAddr, port: u16, variable: &str) -> Result<TcpListener, String> {
    let address = SocketAddr::new(host, port);
    TcpListener::bind(address)
        .await
        .map_err(|e| format!("{variable}: can't listen on {address}: {e}"))
}

/// Serves on `listeners` until `shutdown` completes, then disconnects the clients and returns when everything is written.
/// An instance of a fleet accepts clients once the services that it depends on are available.
///
/// # Errors
/// If the data directory, the secret, an address or a listener can't be used.
pub async fn start(
    config: Config,
    listeners: Listeners,
    shutdown: impl Future<Output = ()>,
) -> Result<(), StartError> {
    start_and_notify(config, listeners, || {}, shutdown).await
}

/// As [`start`], and calls `listening` once the server answers whoever connects.
///
/// # Errors
/// As [`start`].
pub async fn start_and_notify(
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
    let mut audit_tasks = JoinSet::new();
    app.audit.spawn_tasks(&mut audit_tasks);
    let mut background = JoinSet::new();
    let shared = app.clone();
    background.spawn(async move { operations::run_upkeep(&shared.metrics).await });
    runner::register(&app, Role::Server).map_err(StartError::Internal)?;
    let (stop_jobs, jobs_stopped) = watch::channel(false);
    let running_jobs = tokio::spawn(runner::run(app.clone(), Role::Server, jobs_stopped));
    let mut bus_tasks = JoinSet::new();
    match fleet {
        None => spawn_tasks(&mut background, &app),
        Some(Fleet {
            redis, link_tasks, ..
        }) => {
            bus_tasks.spawn(link_tasks.run(receivers(&app)));
            let (shared, gateway) = (app.clone(), gateway.clone());
            background.spawn(async move {
                let dependencies = Dependencies {
                    redis: &redis,
                    instances: &shared.instances,
                    store: &shared.store,
                    revocations: &shared.auth.revocations,
                    serves_clients: true,
                };
                shared.startup.wait(&dependencies).await;
                // Which topics a connection joins depends on whether there are any.
                shared.api_keys.wait().await;
                gateway.admit();
                shared.startup.finish(&dependencies);
                let mut tasks = JoinSet::new();
                spawn_tasks(&mut tasks, &shared);
                while tasks.join_next().await.is_some() {}
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
            app.health.drain();
            stop_jobs.send_replace(true);
            // Clients that connect meanwhile are told to try again, which needs the listener.
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
    stop_jobs.send_replace(true);
    if let Err(error) = running_jobs.await {
        tracing::error!(%error, "running jobs failed");
    }
    background.shutdown().await;
    if let Some(notifications) = &app.notifications {
        notifications.step_down().await;
    }
    app.auth.last_seen.flush().await;
    if let Some(rollups) = &app.rollups {
        rollups.flush().await;
    }
    close_stores(&app, audit_tasks).await;
    app.instances.leave().await;
    bus_tasks.shutdown().await;
    if let Some(postgres) = &app.postgres {
        postgres.close().await;
    }
    Ok(served?)
}

/// Writes what is still to be written, and tells the other instances of it.
pub(crate) async fn close_stores(app: &App, mut audit_tasks: JoinSet<()>) {
    app.store.close().await;
    app.audit.settle(LAST_ENTRIES).await;
    audit_tasks.shutdown().await;
    // Writes go on without the requests that asked for them, and may have ended since.
    app.audit.finish(LAST_ENTRIES).await;
    app.audit.close().await;
    if let Some(sql) = &app.sql {
        sql.close().await;
    }
    app.cache.flush(LAST_INVALIDATIONS).await;
    // The last writes are still being published.
    app.bus.flush().await;
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
            let fleet = fleet.clone();
            of_fleet(config, &fleet, address).await
        }
        _ => {
            let metrics = Metrics::new()?;
            let back_ends = BackEnds::embedded(&config, &metrics).await?;
            let (store, audit) = (back_ends.store.clone(), back_ends.audit.clone());
            let sql = back_ends.sql.clone();
            let started = start_embedded(config, back_ends, metrics).await;
            if started.is_err() {
                store.close().await;
                audit.close().await;
                if let Some(sql) = sql {
                    sql.close().await;
                }
            }
            Ok((started?, None))
        }
    }
}

async fn of_fleet(
    config: Config,
    fleet: &FleetConfig,
    address: SocketAddr,
) -> Result<(SharedApp, Option<Fleet>), StartError> {
    let secret = SigningSecret::open(&config)?;
    let metrics = Metrics::new()?;
    let back_ends = BackEnds::of_fleet(&config, fleet, &secret, address, &metrics).await?;
    let blocked_rooms = BlockedRooms::of_fleet(back_ends.store.clone());
    let push = open_push(&config, &back_ends)?;
    Ok(assemble(
        config,
        &secret,
        back_ends,
        blocked_rooms,
        push,
        metrics,
    ))
}

/// Those of a worker. Other instances don't learn of its address.
pub(crate) async fn worker_components(
    config: Config,
    address: SocketAddr,
) -> Result<(SharedApp, Fleet), StartError> {
    let alone = || StartError::Worker("MONGODB_URI, REDIS_URL: expected by a worker".to_owned());
    let fleet = config.fleet.clone().ok_or_else(alone)?;
    let (app, fleet) = of_fleet(config, &fleet, address).await?;
    Ok((app, fleet.ok_or_else(alone)?))
}

/// The components of a single instance, which knows everything that it has to before it accepts clients.
async fn start_embedded(
    config: Config,
    back_ends: BackEnds,
    metrics: Metrics,
) -> Result<SharedApp, StartError> {
    let secret = SigningSecret::open(&config)?;
    let blocked_rooms = BlockedRooms::load(back_ends.store.clone())
        .await
        .map_err(StartError::Blocks)?;
    let push = open_push(&config, &back_ends)?;
    let (app, _) = assemble(config, &secret, back_ends, blocked_rooms, push, metrics);
    let revocations = &app.auth.revocations;
    revocations
        .reload()
        .await
        .map_err(StartError::Revocations)?;
    app.api_keys.reload().await.map_err(StartError::ApiKeys)?;
    Ok(app)
}

fn open_push(config: &Config, back_ends: &BackEnds) -> Result<Arc<Push>, StartError> {
    let breaker = || back_ends.circuits.breaker(Dependency::Fcm);
    let push = Push::new(&config.push, breaker).map_err(StartError::Push)?;
    Ok(Arc::new(push))
}

fn assemble(
    config: Config,
    secret: &SigningSecret,
    back_ends: BackEnds,
    blocked_rooms: BlockedRooms,
    push: Arc<Push>,
    metrics: Metrics,
) -> (SharedApp, Option<Fleet>) {
    let BackEnds {
        store,
        sessions,
        bus,
        instances,
        peers,
        circuits,
        limits,
        audit,
        sql,
        objects,
        jobs,
        fleet,
    } = back_ends;
    store.observe(metrics.store_observer());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = config.worker_threads;
    let (hub, limits) = (Hub::new(workers), Arc::new(limits));
    let user_sockets = Arc::new(UserSockets::new(bus.clone()));
    let startup = Arc::new(match fleet {
        Some(_) => Startup::waiting(),
        None => Startup::default(),
    });
    if let Some(tokens) = &config.external_tokens
        && config.production
        && tokens.issuer.is_none()
        && tokens.audiences.is_empty()
    {
        tracing::warn!(
            "any token that was signed with EXTERNAL_TOKENS_SECRET lets its user in, whatever it was made for: set \
             EXTERNAL_TOKENS_ISSUER or EXTERNAL_TOKENS_AUDIENCE"
        );
    }
    let external_tokens = config
        .external_tokens
        .as_ref()
        .map(|config| ExternalTokens::new(config, || circuits.breaker(Dependency::Jwks)));
    let auth = Arc::new(Auth::new(
        secret,
        external_tokens,
        limits.clone(),
        Arc::new(Revocations::new(
            sessions.clone(),
            user_sockets.clone(),
            bus.clone(),
        )),
        LastSeenBuffer::new(sessions.clone()),
    ));
    let media_urls = Arc::new(MediaUrls::new(
        secret.mac_for("media urls"),
        config.media.cdn_url.as_ref().map_or("", url::Url::as_str),
    ));
    let chat = Arc::new(Chat::new(ChatParts {
        store: store.clone(),
        hub: hub.clone(),
        bus: bus.clone(),
        delivery: Delivery::new(hub.clone(), bus.clone(), user_sockets.clone()),
        user_sockets: user_sockets.clone(),
        limits: limits.clone(),
        blocked_rooms,
        fleet: fleet.as_ref().map(|fleet| ChatFleet {
            instances: instances.clone(),
            redis: fleet.redis.clone(),
            key_prefix: fleet.redis_prefix.clone(),
        }),
        publish_queues: workers.unwrap_or(cores),
        delivery_seconds: metrics.delivery_seconds(),
        urls: media_urls.clone(),
        jobs: jobs.as_ref().map(|jobs| jobs.queue().clone()),
    }));
    let cache = Arc::new(match &fleet {
        Some(fleet) => Cache::of_fleet(
            fleet.redis.clone(),
            &fleet.redis_prefix,
            hub.clone(),
            bus.clone(),
        ),
        None => Cache::alone(hub.clone(), bus.clone()),
    });
    let accounts = Arc::new(Accounts::new(AccountParts {
        store: store.clone(),
        sessions: sessions.clone(),
        bus: bus.clone(),
        cache: cache.clone(),
        auth: auth.clone(),
        limits: limits.clone(),
        user_sockets: user_sockets.clone(),
        chat: chat.clone(),
        guests: config.guests,
        notifications: sql.clone().map(NotificationStore::new),
        uploads: sql
            .clone()
            .filter(|_| objects.is_some() && jobs.is_some())
            .map(UploadStore::new),
        urls: media_urls.clone(),
    }));
    let redis = fleet.as_ref().map_or_else(Vec::new, Fleet::redis_by_use);
    let circuits = Arc::new(circuits);
    let mail = Arc::new(Mail::new(&config.mail, || {
        circuits.breaker(Dependency::Smtp)
    }));
    let links = Arc::new(Links::new(config.mail.public_url.clone(), secret));
    let rollups = sql.clone();
    let rollups = rollups.map(|sql| Arc::new(Rollups::new(sql, user_sockets.clone())));
    let parts = sql.clone().zip(jobs.as_ref()).zip(rollups.clone());
    let notifications = parts.map(|((sql, jobs), rollups)| {
        Arc::new(Notifications::new(NotificationParts {
            store: store.clone(),
            sql,
            sessions: sessions.clone(),
            user_sockets: user_sockets.clone(),
            jobs: jobs.queue().clone(),
            push: push.clone(),
            mail: mail.clone(),
            links: links.clone(),
            settings: config.notifications,
            delivery: Delivery::new(hub.clone(), bus.clone(), user_sockets.clone()),
            bus: bus.clone(),
            news: chat.news().clone(),
            rollups,
            instance: instances.own().to_string(),
        }))
    });
    let account_mail = sql.clone().zip(jobs.as_ref()).map(|(sql, jobs)| {
        Arc::new(AccountMail::new(AccountMailParts {
            accounts: accounts.clone(),
            mail: mail.clone(),
            links: links.clone(),
            sql,
            jobs: jobs.queue().clone(),
        }))
    });
    let postgres = fleet.as_ref().and_then(|fleet| fleet.postgres.clone());
    if let Some(postgres) = &postgres {
        postgres.guard(circuits.breaker(Dependency::Postgresql));
    }
    if let Some(objects) = objects.as_ref().filter(|objects| objects.is_remote()) {
        objects.guard(circuits.breaker(Dependency::ObjectStore));
    }
    let media = sql.clone().zip(jobs.as_ref()).zip(objects);
    let media = media.map(|((sql, jobs), objects)| {
        Arc::new(Media::new(MediaParts {
            uploads: UploadStore::new(sql),
            objects,
            store: store.clone(),
            chat: chat.clone(),
            queue: jobs.queue().clone(),
            urls: media_urls,
            config: config.media.clone(),
        }))
    });
    let app = App {
        health: Health::new(
            store.clone(),
            startup.clone(),
            redis,
            postgres.clone(),
            circuits.clone(),
        )
        .with_audit(audit.embedded_store())
        .with_broker(jobs.as_ref().and_then(Jobs::broker)),
        audit,
        jobs,
        media,
        account_mail,
        sql,
        postgres,
        api_keys: Arc::new(ApiKeys::new(
            &config.publish_api_keys,
            store.clone(),
            bus.clone(),
        )),
        publishing: Publishing::new(hub.clone(), bus.clone()),
        notifications,
        rollups,
        resuming: Semaphore::new(RESUMING),
        startup,
        unfinished_requests: Arc::default(),
        metrics,
        hub,
        user_sockets,
        bus,
        instances,
        peers,
        store,
        cache,
        circuits,
        limits,
        auth,
        accounts,
        chat,
        config,
    };
    (Arc::new(app), fleet)
}

/// Those who take the messages of other instances.
pub(crate) fn receivers(app: &App) -> Receivers {
    Receivers::new(vec![
        app.chat.clone(),
        app.accounts.clone(),
        app.auth.revocations.clone(),
        app.cache.clone(),
        app.api_keys.clone(),
        app.circuits.clone(),
        app.limits.clone(),
        Arc::new(app.instances.clone()),
        Arc::new(Delivery::new(
            app.hub.clone(),
            app.bus.clone(),
            app.user_sockets.clone(),
        )),
    ])
}

pub(crate) fn gateway_config(app: &App) -> gateway::Config {
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
        max_connections_of_network: config.max_connections_per_address,
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

/// Starts what components do from time to time.
fn spawn_tasks(tasks: &mut JoinSet<()>, app: &SharedApp) {
    app.chat.spawn_tasks(tasks);
    app.accounts.spawn_tasks(tasks);
    if let Some(notifications) = &app.notifications {
        notifications.spawn_tasks(tasks);
    }
    if let Some(rollups) = app.rollups.clone() {
        tasks.spawn(async move { rollups.run().await });
    }
    let cache = app.cache.clone();
    tasks.spawn(async move { cache.run().await });
    let api_keys = app.api_keys.clone();
    tasks.spawn(async move { api_keys.run().await });
    let circuits = app.circuits.clone();
    tasks.spawn(async move { circuits.run().await });
    let instances = app.instances.clone();
    tasks.spawn(async move { instances.run().await });
    if let Some(media) = app.media.clone() {
        tasks.spawn(async move { media.run_sweeper().await });
    }
    if app.config.emitter.is_some() {
        let shared = app.clone();
        tasks.spawn(async move {
            if let Some(config) = &shared.config.emitter {
                emitter::run(&shared.publishing, config).await;
            }
        });
    }
}

/// What every namespace is sent before its connection is closed.
fn draining_notice(namespace: &str, reconnect_after: Duration) -> Option<Frame> {
    let draining = ServerDraining {
        reconnect_after_ms: reconnect_after.as_millis() as u64,
    };
    Frame::event(namespace, ServerDraining::NAME, &draining).ok()
}
