//! Reads what the components count.

use std::{collections::BTreeMap, time::Duration};

use circuit_breaker::State;
use futures_util::future::join_all;
use gateway::{CloseReason, Gateway};
use protocol::Timestamp;
use redis_client::ServerLoad;
use storage::{
    EmbeddedStats, FleetStats, MessageStore, Operation, PoolStats, Postgres, ReplicaState,
};
use telemetry::Scrape;
use tokio::time::timeout;

use crate::{
    app::App,
    audit::Audit,
    jobs::Jobs,
    limits::{Limits, TierStats},
    media::Media,
    metrics::catalogue as of,
    notifications::Notifications,
};

/// How long a scrape waits for what Redis says of itself.
const PATIENCE: Duration = Duration::from_secs(1);

/// How loaded each Redis is, in the order of [`Health::redis`](crate::health::Health::redis).
pub(super) async fn redis_loads(app: &App) -> Vec<Option<ServerLoad>> {
    let asked = app
        .health
        .redis()
        .iter()
        .map(|(_, client)| client.server_load());
    let answered = asked.map(|load| async { timeout(PATIENCE, load).await.ok().flatten() });
    join_all(answered).await
}

pub(super) fn read(
    app: &App,
    gateway: &Gateway,
    redis_loads: &[Option<ServerLoad>],
    scrape: &Scrape<'_>,
) {
    connections(app, gateway, scrape);
    scrape.gauge(&of::USERS, &[], app.user_sockets.online() as f64);
    let reconciliation = app.chat.reconciliation();
    scrape.counter(&of::COMPARED, &[], reconciliation.compared);
    scrape.counter(&of::REMOVED, &[], reconciliation.removed);
    scrape.counter(&of::UNANSWERED, &[], reconciliation.unanswered);
    scrape.gauge(&of::ROOMS, &[], app.chat.rooms_held() as f64);
    limits(&app.limits, scrape);
    let unfinished = &app.unfinished_requests;
    scrape.gauge(&of::HTTP_UNFINISHED, &[], unfinished.count() as f64);
    scrape.counter(
        &of::HTTP_REFUSED,
        &["too_many_at_once"],
        unfinished.refused(),
    );
    scrape.counter(
        &of::HTTP_REFUSED,
        &["user_agent"],
        app.metrics.bots_refused(),
    );
    store(&app.store, scrape);
    session_monitor(app, scrape);
    external_keys(app, scrape);
    bus(app, scrape);
    redis(app, redis_loads, scrape);
    cache(app, scrape);
    circuits(app, scrape);
    if let Some(pools) = &app.postgres {
        postgres(pools, scrape);
    }
    if let Some(uploads) = &app.media {
        media(uploads, scrape);
    }
    if app.config.emitter.is_some() {
        emitters(app, scrape);
    }
    if let Some(known) = &app.jobs {
        jobs(known, scrape);
    }
    if let Some(known) = &app.notifications {
        notifications(known, scrape);
    }
    if app.audit.is_on() {
        audit(&app.audit, scrape);
    }
}

fn notifications(notifications: &Notifications, scrape: &Scrape<'_>) {
    let counts = notifications.counts();
    for (kind, stored) in counts.stored() {
        scrape.counter(&of::NOTIFICATIONS_STORED, &[kind], stored);
    }
    let (taken, gone, failed) = notifications.push_service().counts();
    for (outcome, count) in [("taken", taken), ("gone", gone), ("failed", failed)] {
        scrape.counter(&of::PUSHES, &[outcome], count);
    }
    let (sent, failed) = notifications.mail().counts();
    for (outcome, count) in [("sent", sent), ("failed", failed)] {
        scrape.counter(&of::EMAILS, &[outcome], count);
    }
    scrape.counter(&of::NOTIFICATION_ENTRIES, &[], counts.entries());
    scrape.counter(&of::NOTIFICATION_FAILURES, &[], counts.failures());
    scrape.counter(
        &of::NOTIFICATION_POSITIONS_LOST,
        &[],
        counts.lost_positions(),
    );
}

fn jobs(jobs: &Jobs, scrape: &Scrape<'_>) {
    for (kind, counts) in jobs.counts() {
        scrape.gauge(&of::JOBS_RUNNING, &[kind], counts.running() as f64);
        scrape.counter(&of::JOB_RUNS, &[kind, "succeeded"], counts.succeeded());
        scrape.counter(&of::JOB_RUNS, &[kind, "failed"], counts.failed());
        scrape.counter(&of::JOB_RETRIES, &[kind], counts.retried());
        scrape.counter(&of::JOBS_GIVEN_UP, &[kind], counts.dead());
    }
    let mut queues = BTreeMap::new();
    if let Some(broker) = jobs.broker() {
        let counts = broker.counts();
        queues = counts.depths();
        for (purpose, connected) in [
            ("publish", counts.is_publishing()),
            ("consume", counts.is_consuming()),
        ] {
            scrape.gauge(&of::BROKER_CONNECTED, &[purpose], f64::from(connected));
        }
        scrape.counter(&of::BROKER_CONNECTS, &[], counts.connects());
        scrape.counter(&of::BROKER_PUBLISHED, &["confirmed"], counts.published());
        let unconfirmed = counts.unpublished();
        scrape.counter(&of::BROKER_PUBLISHED, &["unconfirmed"], unconfirmed);
    }
    let Some(seen) = jobs.waiting().seen() else {
        return;
    };
    let ago = |ms| (Timestamp::now().unix_ms() - ms) as f64 / 1_000.0;
    for (kind, _) in jobs.counts() {
        let waiting = seen.waiting.iter().find(|waiting| waiting.kind == kind);
        let (due, later) = waiting.map_or((0, 0), |waiting| (waiting.due, waiting.later));
        scrape.gauge(&of::JOBS_WAITING, &[kind, "due"], due as f64);
        scrape.gauge(&of::JOBS_WAITING, &[kind, "later"], later as f64);
        let due_since = waiting.and_then(|waiting| waiting.due_since);
        let mut oldest = due_since.map_or(0.0, |since| ago(since.unix_ms()));
        if let Some(queue) = queues.get(kind) {
            scrape.gauge(&of::JOBS_WAITING, &[kind, "queued"], queue.waiting.into());
            if queue.waiting > 0
                && let Some(enqueued_at) = queue.last_taken
            {
                oldest = oldest.max(ago(enqueued_at));
            }
        }
        scrape.gauge(&of::JOBS_OLDEST, &[kind], oldest);
        let dead = seen.dead.iter().find(|(of, _)| of == kind);
        let dead = dead.map_or(0, |(_, count)| *count);
        scrape.gauge(&of::JOBS_DEAD, &[kind], dead as f64);
    }
}

fn connections(app: &App, gateway: &Gateway, scrape: &Scrape<'_>) {
    let stats = app.hub.stats();
    let totals = gateway.connection_totals();
    scrape.gauge(&of::CONNECTIONS, &["websocket"], totals.websocket as f64);
    scrape.gauge(&of::CONNECTIONS, &["polling"], totals.polling as f64);
    scrape.gauge(&of::QUEUE_CONNECTIONS, &[], totals.with_queue as f64);
    scrape.gauge(&of::QUEUE_FRAMES, &[], totals.queued_frames as f64);
    scrape.gauge(&of::QUEUE_BYTES, &[], totals.queued_bytes as f64);
    for budget in gateway.byte_budgets() {
        scrape.gauge(&of::BUDGET_USED, &[budget.name], budget.held as f64);
        scrape.gauge(&of::BUDGET_MAX, &[budget.name], budget.max as f64);
    }
    let http = gateway.http_connections();
    for (kind, connections) in [
        ("ordinary", http.ordinary),
        ("spare", http.spare),
        ("internal", http.internal),
    ] {
        scrape.gauge(&of::HTTP_CONNECTIONS, &[kind], connections as f64);
    }
    scrape.counter(&of::OPENED, &[], stats.opened());
    for (reason, count) in stats.closed() {
        scrape.counter(&of::CLOSED, &[reason.label()], count);
        if reason == CloseReason::PingTimeout {
            scrape.counter(&of::HEARTBEATS_MISSED, &[], count);
        }
    }
    for (reason, count) in stats.refused() {
        scrape.counter(&of::REFUSED, &[reason.label()], count);
    }
    scrape.counter(&of::EVENTS, &[], stats.events());
    scrape.counter(&of::UNREADABLE, &[], stats.unreadable());
    scrape.counter(&of::REFUSED_INPUT, &[], stats.refused_input());
    scrape.counter(&of::OVERLOADED, &[], stats.overloaded());
    scrape.counter(&of::DELIVERIES, &[], stats.deliveries());
    scrape.counter(&of::LAGGED, &[], stats.lagged());
    scrape.counter(&of::DROPPED, &[], stats.dropped());
    scrape.gauge(&of::TOPICS, &[], app.hub.topics() as f64);
    if app.bus.link().is_some() {
        scrape.gauge(&of::TUNNELS, &[], gateway.tunnels() as f64);
        scrape.counter(&of::TUNNELLED, &["poll"], stats.tunnelled_polls());
        scrape.counter(&of::TUNNELLED, &["upgrade"], stats.tunnelled_upgrades());
        scrape.counter(&of::TUNNELS_FAILED, &[], stats.failed_tunnels());
        scrape.counter(&of::TUNNELS_REFUSED, &[], stats.refused_tunnels());
    }
}

fn limits(limits: &Limits, scrape: &Scrape<'_>) {
    for TierStats {
        name,
        counts,
        bytes,
    } in limits.stats()
    {
        scrape.counter(&of::LIMIT_GRANTED, &[name], counts.granted);
        scrape.counter(&of::LIMIT_REFUSED, &[name], counts.refused);
        scrape.counter(&of::LIMIT_LEASED, &[name], counts.leased);
        scrape.gauge(&of::LIMIT_BYTES, &[name], bytes as f64);
    }
    scrape.counter(&of::LIMIT_ALONE, &[], limits.alone().as_secs());
    scrape.counter(&of::LIMIT_ERRORS, &[], limits.errors());
}

fn store(store: &MessageStore, scrape: &Scrape<'_>) {
    for operation in Operation::ALL {
        let failures = store.failures(operation);
        scrape.counter(&of::STORE_FAILURES, &[operation.name()], failures);
    }
    let stats = store.stats();
    scrape.gauge(&of::STORE_QUEUED, &[], stats.queued_writes as f64);
    scrape.gauge(&of::STORE_QUEUED_BYTES, &[], stats.queued_bytes as f64);
    scrape.counter(&of::STORE_REFUSED, &[], stats.refused_writes);
    scrape.counter(&of::STORE_GROUPS, &[], stats.groups);
    scrape.counter(&of::STORE_GROUPED, &[], stats.grouped_writes);
    if let Some(EmbeddedStats { reads, wal_bytes }) = stats.embedded {
        scrape.gauge(&of::SQLITE_READS, &[], reads as f64);
        scrape.gauge(&of::SQLITE_WAL, &[], wal_bytes as f64);
    }
    if let Some(fleet) = stats.fleet {
        mongodb(&fleet, scrape);
    }
}

fn mongodb(stats: &FleetStats, scrape: &Scrape<'_>) {
    for (outcome, count) in [
        ("stored", stats.stored),
        ("duplicate", stats.duplicates),
        ("failed", stats.failed),
    ] {
        scrape.counter(&of::MONGODB_MESSAGES, &[outcome], count);
    }
    scrape.counter(&of::MONGODB_COLLIDED, &[], stats.collided);
    scrape.counter(&of::MONGODB_UNKNOWN, &[], stats.unknown);
    for (reason, count) in [("abandoned", stats.gaps_filled), ("unused", stats.returned)] {
        scrape.counter(&of::MONGODB_GAPS_FILLED, &[reason], count);
    }
    let gaps = stats.rooms_with_gaps as f64;
    scrape.gauge(&of::MONGODB_ROOMS_WITH_GAPS, &[], gaps);
    scrape.counter(&of::COUNTERS_RESTORED, &[], stats.counters_restored);
    scrape.counter(&of::DEGRADED_RESERVATIONS, &[], stats.degraded_reservations);
}

fn bus(app: &App, scrape: &Scrape<'_>) {
    use std::sync::atomic::Ordering::Relaxed;

    let Some(link) = app.bus.link() else { return };
    let stats = link.stats();
    scrape.gauge(
        &of::BUS_CONNECTED,
        &[],
        f64::from(u8::from(link.is_connected())),
    );
    scrape.gauge(&of::BUS_TOPICS, &[], link.topics() as f64);
    scrape.counter(&of::BUS_SENT, &[], stats.sent.load(Relaxed));
    scrape.counter(&of::BUS_DROPPED, &[], stats.dropped.load(Relaxed));
    scrape.counter(&of::BUS_RECEIVED, &[], stats.received.load(Relaxed));
    scrape.counter(&of::BUS_REFUSED, &[], stats.refused.load(Relaxed));
    scrape.counter(
        &of::BUS_INTERRUPTIONS,
        &[],
        stats.interruptions.load(Relaxed),
    );
}

fn redis(app: &App, loads: &[Option<ServerLoad>], scrape: &Scrape<'_>) {
    for ((purpose, client), load) in app.health.redis().iter().zip(loads) {
        let stats = client.stats();
        scrape.gauge(
            &of::REDIS_CONNECTED,
            &[purpose],
            f64::from(u8::from(client.is_connected())),
        );
        scrape.counter(&of::REDIS_CONNECTS, &[purpose], stats.connects());
        scrape.counter(&of::REDIS_DISCONNECTS, &[purpose], stats.disconnects());
        scrape.counter(&of::REDIS_MOVED, &[purpose], stats.moved());
        scrape.gauge(&of::REDIS_WAITING, &[purpose], stats.waiting() as f64);
        for (error, count) in stats.failed() {
            scrape.counter(&of::REDIS_FAILED, &[purpose, error], count);
        }
        // A gauge that isn't set would keep what was true before.
        let known = |of: fn(&ServerLoad) -> Option<u64>| {
            let value = load.as_ref().and_then(of);
            value.map_or(f64::NAN, |value| value as f64)
        };
        for (metric, value) in [
            (&of::REDIS_MEMORY, known(|load| Some(load.used_memory))),
            (&of::REDIS_MEMORY_MAX, known(|load| Some(load.max_memory))),
            (&of::REDIS_CLIENTS, known(|load| Some(load.clients))),
            (&of::REDIS_LAG, known(|load| load.replication_lag)),
        ] {
            scrape.gauge(metric, &[purpose], value);
        }
    }
}

fn cache(app: &App, scrape: &Scrape<'_>) {
    let stats = app.cache.stats();
    scrape.counter(&of::CACHE_HITS, &["memory"], stats.memory_hits);
    scrape.counter(&of::CACHE_HITS, &["redis"], stats.shared_hits);
    scrape.counter(&of::CACHE_MISSES, &[], stats.misses);
    scrape.counter(&of::CACHE_LOADS_FAILED, &[], stats.loads_failed);
    scrape.gauge(&of::CACHE_ENTRIES, &[], stats.entries as f64);
    scrape.gauge(&of::CACHE_BYTES, &[], stats.bytes as f64);
    scrape.counter(&of::CACHE_EVICTIONS, &[], stats.evicted);
    scrape.counter(&of::CACHE_INVALIDATIONS, &[], stats.invalidations);
    scrape.counter(&of::CACHE_ANNOUNCED, &[], stats.announced);
    scrape.gauge(&of::CACHE_PENDING, &[], stats.pending as f64);
    scrape.counter(&of::CACHE_REDIS_ERRORS, &[], stats.shared_errors);
}

fn circuits(app: &App, scrape: &Scrape<'_>) {
    for (dependency, breaker) in app.circuits.in_use() {
        let (name, counts) = (dependency.name(), breaker.counts());
        let state = match breaker.state() {
            State::Closed => 0.0,
            State::HalfOpen => 1.0,
            State::Open => 2.0,
        };
        scrape.gauge(&of::CIRCUIT_STATE, &[name], state);
        for (to, count) in [
            ("closed", counts.closed),
            ("half_open", counts.half_opened),
            ("open", counts.opened),
        ] {
            scrape.counter(&of::CIRCUIT_TRANSITIONS, &[name, to], count);
        }
        for (outcome, count) in [("success", counts.successes), ("failure", counts.failures)] {
            scrape.counter(&of::CIRCUIT_CALLS, &[name, outcome], count);
        }
        scrape.counter(&of::CIRCUIT_REJECTED, &[name], counts.rejected);
    }
}

fn session_monitor(app: &App, scrape: &Scrape<'_>) {
    let stats = app.accounts.monitor();
    if let Some(run) = stats.last_run() {
        scrape.gauge(&of::SESSIONS, &["live"], run.counts.live as f64);
        scrape.gauge(&of::SESSIONS, &["ended"], run.counts.ended as f64);
        scrape.gauge(&of::MONITOR_TOOK, &[], run.took.as_secs_f64());
        scrape.gauge(&of::MONITOR_AGE, &[], run.ended.elapsed().as_secs_f64());
    } else {
        scrape.gauge(&of::MONITOR_AGE, &[], f64::NAN);
    }
    scrape.counter(&of::SESSIONS_CLEANED, &[], stats.cleaned());
    for (outcome, count) in stats.runs() {
        scrape.counter(&of::MONITOR_RUNS, &[outcome], count);
    }
    scrape.counter(&of::MONITOR_RESTARTS, &[], stats.restarts());
}

fn external_keys(app: &App, scrape: &Scrape<'_>) {
    let tokens = app.auth.external_tokens.as_ref();
    let Some(keys) = tokens.and_then(|tokens| tokens.key_source()) else {
        return;
    };
    scrape.gauge(&of::EXTERNAL_KEYS, &[], keys.keys as f64);
    let age = keys.age.map_or(f64::NAN, |age| age.as_secs_f64());
    scrape.gauge(&of::EXTERNAL_KEYS_AGE, &[], age);
    scrape.counter(&of::EXTERNAL_KEYS_READS, &["read"], keys.read);
    scrape.counter(&of::EXTERNAL_KEYS_READS, &["failed"], keys.failed);
}

fn postgres(pools: &Postgres, scrape: &Scrape<'_>) {
    let stats = pools.stats();
    let answers = f64::from(u8::from(stats.primary_answers));
    scrape.gauge(&of::POSTGRES_PRIMARY, &[], answers);
    let replica_reads = stats.replicas.iter().map(|replica| replica.pool).sum();
    for (pool, stats) in [
        ("write", stats.writes),
        ("primary_read", stats.primary_reads),
        ("replica_read", replica_reads),
    ] {
        let PoolStats {
            size,
            open,
            in_use,
            waiting,
            not_acquired,
        } = stats;
        scrape.gauge(&of::POSTGRES_POOL_SIZE, &[pool], size as f64);
        scrape.gauge(&of::POSTGRES_OPEN, &[pool], open as f64);
        scrape.gauge(&of::POSTGRES_IN_USE, &[pool], in_use as f64);
        scrape.gauge(&of::POSTGRES_WAITING, &[pool], waiting as f64);
        scrape.counter(&of::POSTGRES_NOT_ACQUIRED, &[pool], not_acquired);
    }
    for (access, outcome, count) in stats.calls {
        scrape.counter(&of::POSTGRES_CALLS, &[access, outcome], count);
    }
    scrape.counter(&of::POSTGRES_REDIRECTED, &[], stats.redirected);
    for state in ReplicaState::ALL {
        let replicas = stats.replicas.iter();
        let count = replicas.filter(|replica| replica.state == state).count();
        scrape.gauge(&of::POSTGRES_REPLICAS, &[state.name()], count as f64);
    }
    let replicas = stats.replicas.iter();
    let lag = replicas.clone().filter_map(|replica| replica.lag).max();
    let lag = lag.map_or(f64::NAN, |lag| lag.as_secs_f64());
    scrape.gauge(&of::POSTGRES_LAG_SECONDS, &[], lag);
    let lag = replicas.filter_map(|replica| replica.lag_bytes).max();
    let lag = lag.map_or(f64::NAN, |lag| lag as f64);
    scrape.gauge(&of::POSTGRES_LAG_BYTES, &[], lag);
}

fn media(media: &Media, scrape: &Scrape<'_>) {
    let counts = media.counts();
    scrape.counter(&of::UPLOADS, &[], counts.uploads());
    scrape.counter(&of::UPLOADED_BYTES, &[], counts.bytes());
    scrape.counter(&of::IMAGES, &["ready"], counts.processed());
    scrape.counter(&of::IMAGES, &["failed"], counts.failed());
    scrape.gauge(
        &of::IMAGES_IN_PROGRESS,
        &[],
        media.images_in_progress() as f64,
    );
    scrape.counter(&of::IMAGES_RESIZED, &[], counts.resized());
    scrape.counter(&of::UPLOADS_REMOVED, &[], counts.removed());
}

fn emitters(app: &App, scrape: &Scrape<'_>) {
    let counts = app.publishing.emitter_counts();
    for (outcome, count) in [
        ("delivered", counts.delivered()),
        ("unheard", counts.unheard()),
        ("foreign", counts.foreign()),
        ("malformed", counts.malformed()),
        ("forbidden", counts.forbidden()),
        ("too_large", counts.too_large()),
        ("too_many", counts.too_many()),
        ("request", counts.requests()),
    ] {
        scrape.counter(&of::EMITTER, &[outcome], count);
    }
    scrape.counter(&of::EMITTER_INTERRUPTIONS, &[], counts.interruptions());
}

fn audit(audit: &Audit, scrape: &Scrape<'_>) {
    let counts = audit.counts();
    for (metric, count) in [
        (&of::AUDIT_RECORDED, counts.recorded()),
        (&of::AUDIT_SUPPRESSED, counts.suppressed()),
        (&of::AUDIT_DROPPED, counts.dropped()),
        (&of::AUDIT_STORED, counts.stored()),
        (&of::AUDIT_DUPLICATES, counts.duplicates()),
        (&of::AUDIT_DELETED, counts.deleted()),
    ] {
        scrape.counter(metric, &[], count);
    }
    scrape.gauge(&of::AUDIT_QUEUED, &[], audit.queued_bytes() as f64);
    if audit.is_streamed() {
        scrape.counter(&of::AUDIT_TORN, &[], counts.torn());
        scrape.counter(&of::AUDIT_RESENT, &[], counts.resent());
        for (metric, value) in [
            (&of::AUDIT_SPOOLED, counts.spooled_bytes()),
            (&of::AUDIT_OLDEST, counts.oldest_seconds()),
            (&of::AUDIT_STREAM, counts.waiting()),
            (&of::AUDIT_PENDING, counts.pending()),
        ] {
            scrape.gauge(metric, &[], value as f64);
        }
    }
}
