//! Jobs: what the server does later, outside of what anybody waits for. This is an edge: a kind of job is handled by a function of
//! its domain, and [`handlers`] says which.

pub mod waiting;

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use futures_util::future::join;
use job_queue::{Handler, Handlers, InProcess, JobQueue, KindCounts, KindSettings, Retries};
use storage::JobStore;
use tokio::{sync::watch, time::sleep};

use self::waiting::Waiting;
use crate::{
    app::{App, SharedApp},
    media::{
        Media,
        processing::{self, ProcessImage},
    },
};

/// What runs may take to end when the process stops; the others are given back.
pub const GRACE: Duration = Duration::from_secs(10);

/// How often an instance looks whether it has started.
const START: Duration = Duration::from_millis(200);

/// The jobs of one process.
pub struct Jobs {
    queue: JobQueue,
    waiting: Waiting,
    handlers: OnceLock<Arc<Handlers>>,
}

/// What runs each kind of job.
fn handlers(app: &App) -> Handlers {
    let mut handlers = Handlers::default();
    if let Some(media) = &app.media {
        handlers.add(image_handler(media, app.config.media.image_processes));
    }
    for (kind, counts) in handlers.counts() {
        let took = app.metrics.job_seconds(kind);
        counts.observe(move |duration| took.record(duration));
    }
    handlers
}

/// As many wait for a process as decode in one, so that the next one is in memory when it ends.
fn image_handler(media: &Arc<Media>, processes: usize) -> Handler {
    let settings = KindSettings {
        concurrency: 2 * processes,
        time_limit: Duration::from_secs(180),
        retries: Retries::PATIENT,
    };
    let (run, give_up) = (media.clone(), media.clone());
    Handler::new(settings, move |job: ProcessImage, attempt| {
        let media = run.clone();
        async move { processing::process(&media, job, attempt.number).await }
    })
    .when_given_up(move |job: ProcessImage, _| {
        let media = give_up.clone();
        async move { processing::given_up(&media, job).await }
    })
}

impl Jobs {
    /// Jobs in this queue.
    pub fn new(queue: JobQueue) -> Self {
        Self {
            waiting: Waiting::new(queue.store().clone()),
            queue,
            handlers: OnceLock::new(),
        }
    }

    /// What waits and what is dead.
    pub fn store(&self) -> &JobStore {
        self.queue.store()
    }

    /// Where jobs are put.
    pub fn queue(&self) -> &JobQueue {
        &self.queue
    }

    /// What is waiting, as it was a moment ago.
    pub fn waiting(&self) -> &Waiting {
        &self.waiting
    }

    /// What was counted here, by kind.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, &KindCounts)> {
        self.handlers
            .get()
            .into_iter()
            .flat_map(|handlers| handlers.counts())
    }
}

/// Runs jobs in this process until `stop` is true.
pub async fn run(app: SharedApp, mut stop: watch::Receiver<bool>) {
    let Some(jobs) = &app.jobs else { return };
    let started = async {
        while !app.startup.is_over() {
            sleep(START).await;
        }
    };
    tokio::select! {
        () = started => {}
        _ = stop.wait_for(|stop| *stop) => return,
    }
    let handlers = jobs.handlers.get_or_init(|| Arc::new(handlers(&app)));
    let (queue, handlers) = (jobs.queue.clone(), handlers.clone());
    let runner = match app.config.fleet {
        None => InProcess::alone(queue, handlers),
        Some(_) => InProcess::shared(queue, handlers),
    };
    join(runner.run(stop.clone(), GRACE), jobs.waiting.run(stop)).await;
}
