//! The process and its tokio runtime.

use metrics_process::Collector;
use tokio::runtime::Handle;

use crate::{Kind, Metric, Scrape};

macro_rules! metrics {
    ($($kind:ident $constant:ident $name:literal $help:literal)*) => {
        $(const $constant: Metric = Metric { name: $name, kind: Kind::$kind, labels: &[], help: $help };)*
    };
}

metrics! {
    Gauge TASKS "tokio_tasks" "Tasks alive"
    Gauge WORKERS "tokio_workers" "Threads that run tasks"
    Gauge QUEUED "tokio_global_queue_tasks" "Tasks ready to run that no thread has taken yet"
    Counter BUSY "tokio_busy_milliseconds_total" "Time that the threads have spent running tasks, all together"
    Counter PARKS "tokio_parks_total" "Times that a thread had nothing to do"
}

/// What is shown of every process.
pub const PROCESS: &[Metric] = &[
    process(
        Kind::Counter,
        "process_cpu_seconds_total",
        "CPU time of user and system, in seconds",
    ),
    process(
        Kind::Gauge,
        "process_resident_memory_bytes",
        "Resident memory",
    ),
    process(
        Kind::Gauge,
        "process_virtual_memory_bytes",
        "Virtual memory",
    ),
    process(
        Kind::Gauge,
        "process_virtual_memory_max_bytes",
        "Limit of virtual memory",
    ),
    process(
        Kind::Gauge,
        "process_open_fds",
        "Open file descriptors; a connection is one",
    ),
    process(
        Kind::Gauge,
        "process_max_fds",
        "Limit of open file descriptors",
    ),
    process(Kind::Gauge, "process_threads", "Threads"),
    process(
        Kind::Gauge,
        "process_start_time_seconds",
        "When the process started, in seconds since 1970",
    ),
    TASKS,
    WORKERS,
    QUEUED,
    BUSY,
    PARKS,
];

const fn process(kind: Kind, name: &'static str, help: &'static str) -> Metric {
    Metric {
        name,
        kind,
        labels: &[],
        help,
    }
}

/// Reads what the system says of this process.
pub(crate) struct Process(Collector);

impl Process {
    pub(crate) fn new() -> Self {
        Self(Collector::default())
    }

    pub(crate) fn read(&self, scrape: &Scrape<'_>) {
        metrics::with_local_recorder(scrape.0, || self.0.collect());
        let runtime = Handle::current().metrics();
        let workers = runtime.num_workers();
        scrape.gauge(&TASKS, &[], runtime.num_alive_tasks() as f64);
        scrape.gauge(&WORKERS, &[], workers as f64);
        scrape.gauge(&QUEUED, &[], runtime.global_queue_depth() as f64);
        let busy =
            (0..workers).map(|worker| runtime.worker_total_busy_duration(worker).as_millis());
        scrape.counter(&BUSY, &[], busy.sum::<u128>() as u64);
        let parks = (0..workers).map(|worker| runtime.worker_park_count(worker));
        scrape.counter(&PARKS, &[], parks.sum());
    }
}
