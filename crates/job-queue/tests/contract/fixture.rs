//! A queue for one test alone.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use job_queue::{
    Attempt, Handler, Handlers, InProcess, Job, JobError, JobId, JobQueue, KindSettings, Retries,
};
use parking_lot::Mutex;
use protocol::Timestamp;
use serde::{Deserialize, Serialize};
use stack::PostgresDatabase;
use storage::{Postgres, PostgresConfig, Sql};
use tempfile::TempDir;
use tokio::{sync::watch, task::JoinHandle};

/// For jobs that tests run: they fail soon, and soon again.
pub const PROMPT: KindSettings = KindSettings {
    concurrency: 4,
    time_limit: Duration::from_secs(20),
    retries: Retries {
        runs: 3,
        first_delay: Duration::from_millis(20),
        factor: 2,
        longest_delay: Duration::from_millis(100),
    },
};

/// A job of tests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    pub id: String,
    pub text: String,
}

impl Note {
    pub fn new(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            text: format!("the text of {id}"),
        }
    }
}

impl Job for Note {
    const KIND: &'static str = "test.note";

    fn id(&self) -> JobId {
        JobId::new(&*self.id)
    }
}

/// What runs were made, by id.
#[derive(Clone, Default)]
pub struct Notes(Arc<Mutex<BTreeMap<String, Vec<Attempt>>>>);

impl Notes {
    pub fn add(&self, attempt: Attempt) {
        let mut notes = self.0.lock();
        notes
            .entry(attempt.id.to_string())
            .or_default()
            .push(attempt);
    }

    /// Runs of a job so far.
    pub fn of(&self, id: &str) -> usize {
        self.0.lock().get(id).map_or(0, Vec::len)
    }

    pub fn attempts(&self, id: &str) -> Vec<Attempt> {
        self.0.lock().get(id).cloned().unwrap_or_default()
    }

    /// Jobs that were run.
    pub fn jobs(&self) -> usize {
        self.0.lock().len()
    }

    /// Notes each run, and ends it as `end` says.
    pub fn handler(
        &self,
        settings: KindSettings,
        end: impl Fn(&Attempt) -> Result<(), JobError> + Send + Sync + 'static,
    ) -> Handlers {
        let (notes, end) = (self.clone(), Arc::new(end));
        handlers(Handler::new(
            settings,
            move |note: Note, attempt: Attempt| {
                let (notes, end) = (notes.clone(), end.clone());
                async move {
                    assert_eq!(note.text, format!("the text of {}", note.id));
                    let ended = end(&attempt);
                    notes.add(attempt);
                    ended
                }
            },
        ))
    }
}

pub fn handlers(handler: Handler) -> Handlers {
    let mut handlers = Handlers::default();
    handlers.add(handler);
    handlers
}

/// Waits for what has to come.
pub async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !is_so().await {
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "not in time: {what}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub struct Fixture {
    pub queue: JobQueue,
    pub sql: Sql,
    place: Place,
}

/// What is removed with the fixture.
enum Place {
    Directory { _directory: TempDir },
    Database { _database: PostgresDatabase },
}

/// What runs jobs, until it is dropped as if its process died, or stopped.
pub struct Running {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Running {
    pub async fn stop(self) {
        self.stop.send_replace(true);
        self.task.await.unwrap();
    }

    /// As if the process was killed.
    pub async fn kill(self) {
        self.task.abort();
        drop(self.task.await);
    }
}

/// What runs that have begun have to end in.
pub const GRACE: Duration = Duration::from_millis(200);

impl Fixture {
    pub async fn embedded() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let sql = Sql::open(directory.path()).await.unwrap();
        Self {
            queue: JobQueue::new(sql.clone()),
            sql,
            place: Place::Directory {
                _directory: directory,
            },
        }
    }

    pub async fn postgres() -> Self {
        let database = PostgresDatabase::shared();
        let config = || PostgresConfig {
            url: database.url.parse().unwrap(),
            replica_urls: Vec::new(),
            write_pool_size: 8,
            read_pool_size: 8,
            ca_file: None,
        };
        Postgres::migrate(&config()).await.unwrap();
        let sql = Sql::postgres(Postgres::connect(config()).unwrap());
        Self {
            queue: JobQueue::new(sql.clone()),
            sql,
            place: Place::Database {
                _database: database,
            },
        }
    }

    /// Runs jobs.
    pub fn run(&self, handlers: Handlers) -> Running {
        let (queue, handlers) = (self.queue.clone(), Arc::new(handlers));
        start(match &self.place {
            Place::Directory { .. } => InProcess::alone(queue, handlers),
            Place::Database { .. } => InProcess::shared(queue, handlers),
        })
    }

    /// Runs jobs beside others who do.
    pub fn run_beside(&self, handlers: Handlers) -> Running {
        start(InProcess::shared(self.queue.clone(), Arc::new(handlers)))
    }

    /// Jobs that wait or run.
    pub async fn left(&self) -> u64 {
        let waiting = self.queue.store().waiting(Timestamp::now()).await.unwrap();
        waiting.iter().map(|kind| kind.due + kind.later).sum()
    }

    /// Waits until nothing is left to be run.
    pub async fn drained(&self) {
        eventually("the queue is empty", async || self.left().await == 0).await;
    }
}

fn start(runner: InProcess) -> Running {
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(async move { runner.run(stopped, GRACE).await });
    Running { stop, task }
}
