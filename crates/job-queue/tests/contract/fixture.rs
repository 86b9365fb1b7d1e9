//! A queue for one test alone.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use job_queue::{
    Attempt, Handler, Handlers, InProcess, Job, JobError, JobId, JobQueue, KindSettings, RabbitMq,
    RabbitMqConfig, Retries,
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
    /// Of those that run jobs.
    handlers: Mutex<Vec<Arc<Handlers>>>,
}

/// What is removed with the fixture.
enum Place {
    Directory { _directory: TempDir },
    Database { _database: PostgresDatabase },
    Broker { _tables: TempDir, broker: Broker },
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
        let place = Place::Directory {
            _directory: directory,
        };
        Self::new(sql, place)
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
        let place = Place::Database {
            _database: database,
        };
        Self::new(sql, place)
    }

    /// With tables in a directory, which is as good as any other, and the broker that all tests share.
    pub async fn rabbitmq() -> Self {
        Self::on_broker(&stack::address("RABBITMQ_URL")).await
    }

    pub async fn on_broker(url: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let sql = Sql::open(directory.path()).await.unwrap();
        let place = Place::Broker {
            _tables: directory,
            broker: Broker::new(url),
        };
        Self::new(sql, place)
    }

    fn new(sql: Sql, place: Place) -> Self {
        Self {
            queue: JobQueue::new(sql.clone()),
            sql,
            place,
            handlers: Mutex::default(),
        }
    }

    /// Runs jobs.
    pub fn run(&self, handlers: Handlers) -> Running {
        self.start(handlers, true)
    }

    /// Runs jobs beside others who do.
    pub fn run_beside(&self, handlers: Handlers) -> Running {
        self.start(handlers, false)
    }

    fn start(&self, handlers: Handlers, is_alone: bool) -> Running {
        let (queue, handlers) = (self.queue.clone(), Arc::new(handlers));
        self.handlers.lock().push(handlers.clone());
        let (stop, stopped) = watch::channel(false);
        let task = match &self.place {
            Place::Broker { broker, .. } => {
                let broker = RabbitMq::new(broker.config(), queue).unwrap();
                tokio::spawn(async move {
                    let consuming = broker.consume(handlers, stopped.clone(), GRACE);
                    tokio::join!(broker.relay(stopped.clone()), consuming);
                    broker.close().await;
                })
            }
            place => {
                let runner = match place {
                    Place::Directory { .. } if is_alone => InProcess::alone(queue, handlers),
                    _ => InProcess::shared(queue, handlers).with_margin(Duration::from_secs(2)),
                };
                tokio::spawn(async move { runner.run(stopped, GRACE).await })
            }
        };
        Running { stop, task }
    }

    /// Has jobs go by another address; with a broker.
    pub fn go_through(&mut self, url: &str) {
        let Place::Broker { broker, .. } = &mut self.place else {
            panic!("there is no broker");
        };
        broker.way = url.to_owned();
    }

    /// Jobs that wait or run.
    pub async fn left(&self) -> u64 {
        self.left_of("test.note").await
    }

    pub async fn left_of(&self, kind: &str) -> u64 {
        let waiting = self.queue.store().waiting(Timestamp::now()).await.unwrap();
        let of_kind = waiting.iter().filter(|waiting| waiting.kind == kind);
        let in_tables: u64 = of_kind.map(|waiting| waiting.due + waiting.later).sum();
        let Place::Broker { broker, .. } = &self.place else {
            return in_tables;
        };
        let handlers = self.handlers.lock().clone();
        let counts = handlers.iter().flat_map(|handlers| handlers.counts());
        let running: usize = counts.map(|(_, counts)| counts.running()).sum();
        in_tables + broker.messages(kind).await + running as u64
    }

    /// Waits until nothing is left to be run.
    pub async fn drained(&self) {
        eventually("the queue is empty", async || self.left().await == 0).await;
    }
}

/// A part of a broker for one test alone.
struct Broker {
    url: String,
    /// The address by which jobs go.
    way: String,
    prefix: String,
}

impl Broker {
    fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            way: url.to_owned(),
            prefix: format!("test-{}", JobId::random()),
        }
    }

    fn config(&self) -> RabbitMqConfig {
        RabbitMqConfig {
            url: self.way.clone().into(),
            prefix: self.prefix.clone(),
            ca_file: None,
        }
    }

    async fn connection(&self) -> lapin::Result<lapin::Connection> {
        lapin::Connection::connect(&self.url, lapin::ConnectionProperties::default()).await
    }

    /// What is in its queues of a kind, and in those of retries.
    async fn messages(&self, kind: &str) -> u64 {
        let connection = self.connection().await.unwrap();
        let mut messages = 0;
        for queue in queues(&self.prefix, kind) {
            // One that isn't there closes it.
            let channel = connection.create_channel().await.unwrap();
            let options = lapin::options::QueueDeclareOptions {
                passive: true,
                ..Default::default()
            };
            let declared = channel.queue_declare(queue.into(), options, Default::default());
            messages += declared.await.map_or(0, |queue| queue.message_count());
        }
        drop(connection.close(200, "OK".into()).await);
        messages.into()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let (url, prefix) = (self.url.clone(), self.prefix.clone());
        let removed = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(async {
                let options = lapin::ConnectionProperties::default();
                let connection = lapin::Connection::connect(&url, options).await?;
                let channel = connection.create_channel().await?;
                for queue in queues(&prefix, "test.note").chain(queues(&prefix, "test.other")) {
                    let removed = channel.queue_delete(queue.into(), Default::default());
                    removed.await?;
                }
                for exchange in queues(&prefix, "")
                    .skip(2)
                    .chain([format!("{prefix}.jobs"), format!("{prefix}.dead")])
                {
                    let removed = channel.exchange_delete(exchange.into(), Default::default());
                    removed.await?;
                }
                lapin::Result::Ok(())
            })
        });
        // A broker that the test has broken has nothing to keep.
        drop(removed.join());
    }
}

fn queues(prefix: &str, kind: &str) -> impl Iterator<Item = String> {
    let retries = [1, 5, 30, 180, 1_200, 7_200, 86_400];
    let retries = retries.map(|step| format!("{prefix}.retries.{step}"));
    [
        format!("{prefix}.jobs.{kind}"),
        format!("{prefix}.dead.{kind}"),
    ]
    .into_iter()
    .chain(retries)
}
