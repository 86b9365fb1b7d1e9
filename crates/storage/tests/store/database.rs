//! A database of the MongoDB replica set for one test, which is gone after it.

use std::sync::{Arc, Mutex};

use mongodb::Client;
use redis_client::{Options, RedisClient};
use storage::{MessageStore, MongoConfig};

use crate::stack;

/// A name that nobody else has, for the database and for the keys in Redis.
pub(crate) struct Database {
    name: String,
    /// Operations that a router couldn't send to the shard they are for.
    untargeted: Arc<Mutex<Vec<String>>>,
}

impl Database {
    pub(crate) fn new() -> Self {
        Self {
            name: format!("test-{}", uuid::Uuid::now_v7()),
            untargeted: Arc::default(),
        }
    }

    /// A store in it, as one of any number of instances.
    pub(crate) async fn connect(&self) -> MessageStore {
        let redis = stack::address("REDIS_URL").parse().unwrap();
        let config = MongoConfig {
            uri: self.uri().into(),
            redis: RedisClient::new(redis, Options::new("test")),
            key_prefix: self.name.clone(),
        };
        let untargeted = Arc::clone(&self.untargeted);
        let note = move |command: String| untargeted.lock().unwrap().push(command);
        MessageStore::connect_watched(config, note).await.unwrap()
    }

    fn uri(&self) -> String {
        let uri = stack::address("MONGODB_URI");
        let (servers, options) = uri.split_once("/?").unwrap();
        format!("{servers}/{}?{options}", self.name)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (uri, name) = (self.uri(), self.name.clone());
        // The test's own runtime can't be waited for in here.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async {
                let client = Client::with_uri_str(uri).await.unwrap();
                client.database(&name).drop().await.unwrap();
                client.shutdown().await;
            });
        });
        let dropped = dropping.join();
        if !std::thread::panicking() {
            dropped.unwrap();
            let untargeted = self.untargeted.lock().unwrap();
            assert!(untargeted.is_empty(), "{untargeted:#?}");
        }
    }
}
