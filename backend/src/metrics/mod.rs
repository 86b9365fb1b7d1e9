//! What is observed as it happens. Everything else that is shown is read from its owner, in `operations/scrape.rs`.

pub mod catalogue;

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use http::StatusCode;
use protocol::{CLIENT_EVENTS, ErrorCode, Method, NOTIFICATION_REQUESTS, ROUTES};
use storage::{Operation, PostgresObservation};
use telemetry::{Histogram, Registry, RegistryError, Scrape};

use self::catalogue::{
    ACK_SECONDS, AUDIT_BATCH_SECONDS, DELIVERY, ERRORS, HTTP_REQUESTS, HTTP_SECONDS, JOB_SECONDS,
    POSTGRES_ACQUIRE_SECONDS, POSTGRES_SECONDS, REDIS_SECONDS, STORE_SECONDS,
};

/// The route of a request that no route is for, and its label.
const NO_ROUTE: &str = "none";

/// The label of events that no rule is for.
const OTHER_EVENT: &str = "other";

/// How a client learns of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// The ack of an event.
    Ack,
    /// CONNECT_ERROR, or the close of a connection that may try again.
    Connect,
    /// A problem document.
    Http,
}

const CHANNELS: [(Channel, &str); 3] = [
    (Channel::Ack, "ack"),
    (Channel::Connect, "connect"),
    (Channel::Http, "http"),
];

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The observations of one server.
pub struct Metrics {
    registry: Registry,
    delivery: Histogram,
    routes: HashMap<(&'static str, &'static str), Route>,
    no_route: Route,
    /// Of other events, then of each of `CLIENT_EVENTS` and `NOTIFICATION_REQUESTS`.
    acks: Vec<Histogram>,
    event_kinds: HashMap<&'static str, u16>,
    /// By channel and code, in the order of `CHANNELS` and `ErrorCode::ALL`.
    errors: [[AtomicU64; ErrorCode::ALL.len()]; CHANNELS.len()],
    bots_refused: AtomicU64,
}

struct Route {
    took: Histogram,
    answered: [AtomicU64; CLASSES.len()],
}

impl Metrics {
    /// Without any observation yet.
    ///
    /// # Errors
    /// If a histogram has no buckets.
    pub fn new() -> Result<Self, RegistryError> {
        let groups = catalogue::groups();
        let registry = Registry::new(groups.iter().flat_map(|(_, metrics)| *metrics))?;
        let route = |method, path| Route {
            took: registry.histogram(&HTTP_SECONDS, &[method, path]),
            answered: Default::default(),
        };
        let routes = ROUTES.iter().map(|described| {
            let method = name(described.method);
            ((described.path, method), route(method, described.path))
        });
        Ok(Self {
            delivery: registry.histogram(&DELIVERY, &[]),
            routes: routes.collect(),
            no_route: route("any", NO_ROUTE),
            acks: [OTHER_EVENT]
                .into_iter()
                .chain(
                    CLIENT_EVENTS
                        .iter()
                        .chain(NOTIFICATION_REQUESTS)
                        .map(|event| event.name),
                )
                .map(|event| registry.histogram(&ACK_SECONDS, &[event]))
                .collect(),
            event_kinds: CLIENT_EVENTS
                .iter()
                .chain(NOTIFICATION_REQUESTS)
                .map(|event| event.name)
                .zip(1..)
                .collect(),
            errors: Default::default(),
            bots_refused: AtomicU64::new(0),
            registry,
        })
    }

    /// What the store's operations are to be given to as they end.
    pub fn store_observer(&self) -> impl Fn(Operation, Duration) + Send + Sync + 'static {
        let took = Operation::ALL
            .map(|operation| self.registry.histogram(&STORE_SECONDS, &[operation.name()]));
        move |operation, duration| took[operation as usize].record(duration)
    }

    /// From the append of a durable event to the queues of its subscribers here.
    pub fn delivery_seconds(&self) -> Histogram {
        self.delivery.clone()
    }

    /// How long batches of the audit log take to write.
    pub fn audit_batch_seconds(&self) -> Histogram {
        self.registry.histogram(&AUDIT_BATCH_SECONDS, &[])
    }

    /// How long runs of jobs of a kind take.
    pub fn job_seconds(&self, kind: &'static str) -> Histogram {
        self.registry.histogram(&JOB_SECONDS, &[kind])
    }

    /// An HTTP request was answered. `route` is the pattern of its path, if there is one.
    pub fn answered(
        &self,
        method: &http::Method,
        route: Option<&str>,
        status: StatusCode,
        took: Duration,
    ) {
        let route = route
            .and_then(|path| self.route(method, path))
            .unwrap_or(&self.no_route);
        route.took.record(took);
        let class = usize::from(status.as_u16() / 100).clamp(1, CLASSES.len()) - 1;
        route.answered[class].fetch_add(1, Relaxed);
    }

    /// The number of an event of this name, for [`acked`](Self::acked).
    pub fn event_kind(&self, name: &str) -> u16 {
        self.event_kinds.get(name).copied().unwrap_or(0)
    }

    /// An event was answered, so long after it had been read.
    pub fn acked(&self, kind: u16, took: Duration) {
        if let Some(acks) = self.acks.get(usize::from(kind)) {
            acks.record(took);
        }
    }

    /// A refusal was sent to a client.
    pub fn refused(&self, channel: Channel, code: ErrorCode) {
        let channel = CHANNELS.iter().position(|(known, _)| *known == channel);
        let code = ErrorCode::ALL.iter().position(|known| *known == code);
        if let (Some(channel), Some(code)) = (channel, code) {
            self.errors[channel][code].fetch_add(1, Relaxed);
        }
    }

    /// A program was refused for what it calls itself.
    pub fn refused_bot(&self) {
        self.bots_refused.fetch_add(1, Relaxed);
    }

    /// How many were.
    pub fn bots_refused(&self) -> u64 {
        self.bots_refused.load(Relaxed)
    }

    /// Where the latencies of commands to the Redis of this use are recorded.
    pub fn redis_latency(&self, purpose: &'static str) -> Histogram {
        self.registry.histogram(&REDIS_SECONDS, &[purpose])
    }

    /// What PostgreSQL's pools are to give to as calls end.
    pub fn postgres_observer(
        &self,
    ) -> impl Fn(PostgresObservation, Duration) + Send + Sync + 'static {
        let acquired = self.registry.histogram(&POSTGRES_ACQUIRE_SECONDS, &[]);
        let [read, written] =
            ["read", "write"].map(|access| self.registry.histogram(&POSTGRES_SECONDS, &[access]));
        move |observation, duration| match observation {
            PostgresObservation::Acquired => acquired.record(duration),
            PostgresObservation::Read => read.record(duration),
            PostgresObservation::Written => written.record(duration),
        }
    }

    fn route<'a>(&'a self, method: &'a http::Method, path: &'a str) -> Option<&'a Route> {
        // A lookup by names that don't live for ever.
        let routes: &HashMap<(&'a str, &'a str), Route> = &self.routes;
        routes.get(&(path, method.as_str()))
    }

    /// Everything as text.
    pub fn render(&self, read: impl FnOnce(&Scrape<'_>)) -> String {
        self.registry.render(|scrape| {
            let none = ((NO_ROUTE, "any"), &self.no_route);
            let routes = self.routes.iter().map(|(name, route)| (*name, route));
            for ((path, method), route) in routes.chain([none]) {
                for (class, count) in CLASSES.iter().zip(&route.answered) {
                    let count = count.load(Relaxed);
                    if count > 0 {
                        scrape.counter(&HTTP_REQUESTS, &[method, path, class], count);
                    }
                }
            }
            for ((_, channel), counts) in CHANNELS.iter().zip(&self.errors) {
                for (code, count) in ErrorCode::ALL.iter().zip(counts) {
                    scrape.counter(&ERRORS, &[channel, code.as_str()], count.load(Relaxed));
                }
            }
            read(scrape);
        })
    }

    /// Takes in what was observed since the last call.
    pub fn run_upkeep(&self) {
        self.registry.run_upkeep();
    }
}

fn name(method: Method) -> &'static str {
    match method {
        Method::Get => "GET",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Patch => "PATCH",
        Method::Delete => "DELETE",
    }
}
