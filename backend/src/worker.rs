//! A worker: runs the jobs of a fleet that its instances publish. It is put together as an instance is, but nobody connects to it:
//! it isn't among the live instances, and what its jobs tell clients goes over the bus.

use std::{future::Future, sync::Arc};

use gateway::Gateway;
use hyper_util::service::TowerToHyperService;
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

use crate::{
    config::Config,
    fleet::startup::Dependencies,
    jobs::runner::{self, Role},
    operations,
    server::{self, StartError},
    socket::Connector,
};

/// Runs jobs until `shutdown` completes, and answers operators on `operations`. What runs then has some seconds to end; the
/// rest is given back to the broker.
///
/// # Errors
/// If the configuration names no broker or a kind of job that isn't known, or a listener can't be used.
pub async fn start(
    config: Config,
    operations: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> Result<(), StartError> {
    if config.jobs.broker.is_none() {
        let message =
            "RABBITMQ_URL: expected by a worker; without a broker the servers run the jobs";
        return Err(StartError::Worker(message.to_owned()));
    }
    let (app, fleet) = server::worker_components(config, operations.local_addr()?).await?;
    runner::register(&app, Role::Worker).map_err(StartError::Worker)?;
    // For the metrics alone: it listens nowhere.
    let gateway = Gateway::new(
        server::gateway_config(&app),
        app.hub.clone(),
        Arc::new(Connector::new(app.clone())),
    );
    let mut audit_tasks = JoinSet::new();
    app.audit.spawn_tasks(&mut audit_tasks);
    let mut tasks = JoinSet::new();
    tasks.spawn(fleet.link_tasks.run(server::receivers(&app)));
    let shared = app.clone();
    tasks.spawn(async move { operations::run_upkeep(&shared.metrics).await });
    let (shared, redis) = (app.clone(), fleet.redis);
    tasks.spawn(async move {
        let dependencies = Dependencies {
            redis: &redis,
            instances: &shared.instances,
            store: &shared.store,
            revocations: &shared.auth.revocations,
            serves_clients: false,
        };
        shared.startup.wait(&dependencies).await;
        shared.startup.finish(&dependencies);
        tokio::join!(shared.cache.run(), shared.circuits.run());
    });
    let (stop_jobs, jobs_stopped) = watch::channel(false);
    let running_jobs = tokio::spawn(runner::run(app.clone(), Role::Worker, jobs_stopped));
    let (stop, stopped) = watch::channel(false);
    let router = TowerToHyperService::new(operations::router(app.clone(), gateway));
    let operators = tokio::spawn(gateway::serve(operations, Vec::new(), router, stopped));
    shutdown.await;
    tracing::info!("shutting down");
    app.health.drain();
    stop_jobs.send_replace(true);
    if let Err(error) = running_jobs.await {
        tracing::error!(%error, "running jobs failed");
    }
    stop.send_replace(true);
    if let Err(error) = operators.await {
        tracing::warn!(%error, "the listener for operators failed");
    }
    server::close_stores(&app, audit_tasks).await;
    tasks.shutdown().await;
    if let Some(postgres) = &app.postgres {
        postgres.close().await;
    }
    Ok(())
}
