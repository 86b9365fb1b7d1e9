//! A database of the MongoDB replica set for one test alone. Making one takes a second or more, most of it waiting for the
//! disk, so the next test gets it back empty; the last ones are removed by a later run.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::join_all;
use mongodb::Client;
use mongodb::bson::{Document, doc};
use redis_client::{Options, RedisClient};
use storage::{MessageStore, MongoConfig};
use tokio::sync::OnceCell;

/// Databases that nobody uses.
static FREE: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// How long a run takes at most; what is older is nobody's.
const RUN: Duration = Duration::from_secs(3_600);

/// The name of a database: when it was made, by which process, which one.
const NAME: &str = "test-store";

pub(crate) struct Database {
    name: String,
    /// What the keys in Redis begin with.
    key_prefix: String,
    /// Those that were connected to it.
    stores: Mutex<Vec<MessageStore>>,
    /// Operations that a router couldn't send to the shard they are for.
    untargeted: Arc<Mutex<Vec<String>>>,
}

impl Database {
    pub(crate) async fn take() -> Self {
        static SWEPT: OnceCell<()> = OnceCell::const_new();
        SWEPT.get_or_init(sweep).await;
        let free = FREE.lock().unwrap().pop();
        Self {
            name: free.unwrap_or_else(new_name),
            key_prefix: format!("test-{}", uuid::Uuid::now_v7()),
            stores: Mutex::default(),
            untargeted: Arc::default(),
        }
    }

    /// A store in it, as one of any number of instances.
    pub(crate) async fn connect(&self) -> MessageStore {
        let redis = stack::address("REDIS_URL").parse().unwrap();
        let config = MongoConfig {
            uri: stack::mongodb(&self.name).into(),
            redis: RedisClient::new(redis, Options::new("test")),
            key_prefix: self.key_prefix.clone(),
        };
        let untargeted = Arc::clone(&self.untargeted);
        let note = move |command: String| untargeted.lock().unwrap().push(command);
        let store = MessageStore::connect_watched(config, note).await.unwrap();
        self.stores.lock().unwrap().push(store.clone());
        store
    }

    /// Empties it; of a test that failed, and may still write, nothing is left.
    async fn give_back(name: &str, stores: Vec<MessageStore>, failed: bool) {
        join_all(stores.iter().map(MessageStore::close)).await;
        let client = Client::with_uri_str(stack::mongodb(name)).await.unwrap();
        let database = client.database(name);
        if failed {
            database.drop().await.unwrap();
        } else {
            let names = database.list_collection_names().await.unwrap();
            let emptied = names.iter().map(async |name| {
                let collection = database.collection::<Document>(name);
                collection.delete_many(doc! {}).await.unwrap();
            });
            join_all(emptied).await;
            FREE.lock().unwrap().push(name.to_owned());
        }
        client.shutdown().await;
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let failed = std::thread::panicking();
        let (name, stores) = (self.name.clone(), std::mem::take(&mut self.stores));
        // The test's own runtime can't be waited for in here.
        let given_back = std::thread::spawn(move || {
            let stores = stores.into_inner().unwrap();
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(Self::give_back(&name, stores, failed));
        })
        .join();
        if !failed {
            given_back.unwrap();
            let untargeted = self.untargeted.lock().unwrap();
            assert!(untargeted.is_empty(), "{untargeted:#?}");
        }
    }
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

fn new_name() -> String {
    static LAST: AtomicU32 = AtomicU32::new(0);
    let number = LAST.fetch_add(1, Ordering::Relaxed);
    let process = std::process::id();
    format!("{NAME}-{}-{process}-{number}", now().as_secs())
}

/// Removes what earlier runs left.
async fn sweep() {
    let client = Client::with_uri_str(stack::mongodb("admin")).await.unwrap();
    for name in client.list_database_names().await.unwrap() {
        let rest = name.strip_prefix(NAME).and_then(|it| it.strip_prefix('-'));
        let made = rest.and_then(|it| it.split('-').next()?.parse().ok());
        if made.is_some_and(|made: u64| Duration::from_secs(made) + RUN < now()) {
            client.database(&name).drop().await.unwrap();
        }
    }
    client.shutdown().await;
}
