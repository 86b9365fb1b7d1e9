//! The database: the connection to it, and its collections once they are known to have their indexes.

use std::sync::{Arc, Weak};
use std::time::Duration;

use mongodb::Client;
use mongodb::bson::doc;
use tokio::sync::{OnceCell, watch};

use super::collections::Collections;
use super::failure::{Outcome, bounded};
use super::migrate::{self, Unauthorized};

/// How long what is under way may take to end when the store is closed.
const CLOSE: Duration = Duration::from_secs(10);

/// The database of a fleet's store. Cloning shares it.
#[derive(Clone)]
pub struct Database(Arc<Inner>);

struct Inner {
    client: Client,
    database: mongodb::Database,
    /// Empty until the indexes are known to be there.
    collections: OnceCell<Collections>,
    /// Becomes true when the collections have been reached.
    reached: watch::Sender<bool>,
}

/// A [`Database`] for background work, which ends with the store.
pub struct WeakDatabase {
    inner: Weak<Inner>,
    reached: watch::Receiver<bool>,
}

impl Database {
    pub fn new(client: Client, name: &str) -> Self {
        Self(Arc::new(Inner {
            database: client.database(name),
            client,
            collections: OnceCell::new(),
            reached: watch::Sender::new(false),
        }))
    }

    /// The collections. What is missing of them is made at the first use, so that a fleet needs no step of
    /// installation. `Unavailable` while there is no primary.
    pub async fn collections(&self) -> Outcome<&Collections> {
        let inner = &self.0;
        let open = async || {
            migrate::run(&inner.database, Unauthorized::Warn).await?;
            inner.reached.send_replace(true);
            Ok(Collections::of(&inner.database))
        };
        inner.collections.get_or_try_init(open).await
    }

    /// Makes and shards what is missing; fails if this user may not.
    pub async fn migrate(&self) -> Outcome<()> {
        migrate::run(&self.0.database, Unauthorized::Fail).await
    }

    /// Fails unless writes are possible.
    pub async fn ping(&self) -> Outcome<()> {
        // A primary that a majority doesn't follow steps down, so there being one is what makes writes possible.
        self.collections().await?;
        bounded(self.0.database.run_command(doc! { "ping": 1 })).await?;
        Ok(())
    }

    /// Waits for what is under way and disconnects; what hangs is given up.
    pub async fn close(&self) {
        let client = self.0.client.clone();
        if tokio::time::timeout(CLOSE, client.clone().shutdown())
            .await
            .is_err()
        {
            client.shutdown().immediate(true).await;
        }
    }

    /// The driver's client, for sessions.
    pub fn client(&self) -> &Client {
        &self.0.client
    }

    /// The driver's database, for commands that it has no method for.
    pub fn driver(&self) -> &mongodb::Database {
        &self.0.database
    }

    pub fn downgrade(&self) -> WeakDatabase {
        WeakDatabase {
            inner: Arc::downgrade(&self.0),
            reached: self.0.reached.subscribe(),
        }
    }
}

impl WeakDatabase {
    /// The database, unless the store is gone.
    pub fn upgrade(&self) -> Option<Database> {
        self.inner.upgrade().map(Database)
    }

    /// Waits until the collections have been reached; false if the store went before.
    pub async fn reached(&mut self) -> bool {
        self.reached.wait_for(|reached| *reached).await.is_ok()
    }
}
