//! The keys of programs that publish events: those of the configuration, and those that administrators make while the server
//! runs.
//!
//! What must stay true: comparing takes the same time wherever keys differ, and costs no I/O; a key itself is known only
//! to who got it.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use parking_lot::{Mutex, RwLock};
use protocol::{
    ApiKey as Shown, ApiKeyCreated, ApiKeyId, ApiKeyPage, CreateApiKey, Secret, Timestamp,
};
use sha2::{Digest, Sha256};
use storage::{ApiKeyHash, MessageStore, StoreError, StoredApiKey};
use tokio::{
    sync::{Mutex as AsyncMutex, Notify},
    time::{sleep, timeout},
};

use super::api_key::ApiKey;
use crate::{
    completion::run_to_completion,
    error::AppError,
    fleet::bus::{Bus, Kind, Lost, Malformed, Message, Reader, Receiver, Writer},
};

/// What keys begin with, for people and for programs that look for leaked ones.
const PREFIX: &str = "tk_";

/// How often they are read again: one that was revoked is accepted for so long if no message comes.
const RELOAD: Duration = Duration::from_secs(10);

/// The pause after a read that failed.
const RETRY: Duration = Duration::from_secs(1);

/// The keys of one instance.
pub struct ApiKeys {
    store: MessageStore,
    bus: Arc<Bus>,
    configured: Vec<ApiKey>,
    stored: RwLock<HashMap<ApiKeyId, Known>>,
    used: Mutex<HashMap<ApiKeyId, Timestamp>>,
    changed: Notify,
    /// Reads of the stored keys come one after the other, or an older one could bring back what a later one took.
    reloading: AsyncMutex<()>,
    /// True once they were read.
    known: AtomicBool,
}

struct Known {
    hash: ApiKey,
    scopes: Vec<String>,
}

/// Who holds a key.
#[derive(Debug, Clone)]
pub struct KeyHolder {
    /// Of the configured keys, `publish`.
    pub id: ApiKeyId,
    scopes: Vec<String>,
}

impl KeyHolder {
    /// True if the key is good for a namespace.
    pub fn may_publish(&self, namespace: &str) -> bool {
        self.scopes
            .iter()
            .any(|scope| scope == "publish" || scope.strip_prefix("publish:") == Some(namespace))
    }
}

/// Keys were made or revoked; sent to all instances.
struct Changed;

impl Message for Changed {
    fn kind(&self) -> Kind {
        Kind::API_KEYS_CHANGED
    }

    fn write(&self, _: &mut Writer<'_>) {}
}

impl ApiKeys {
    /// The configured keys; those in the store are read by [`ApiKeys::reload`].
    pub fn new(configured: &[Secret], store: MessageStore, bus: Arc<Bus>) -> Self {
        Self {
            store,
            bus,
            configured: configured.iter().map(ApiKey::new).collect(),
            stored: RwLock::default(),
            used: Mutex::default(),
            changed: Notify::new(),
            reloading: AsyncMutex::default(),
            known: AtomicBool::new(false),
        }
    }

    /// True if there is any key.
    pub fn exist(&self) -> bool {
        !self.configured.is_empty() || !self.stored.read().is_empty()
    }

    /// False before the stored keys were read for the first time: until then nobody's key is unknown for good.
    pub fn are_known(&self) -> bool {
        self.known.load(Ordering::SeqCst)
    }

    /// Who presents a key.
    pub fn holder(&self, presented: &str) -> Option<KeyHolder> {
        // All of them, so that the time doesn't tell which.
        let is_configured = self
            .configured
            .iter()
            .fold(false, |is_one, key| key.is(presented) | is_one);
        if is_configured {
            return Some(KeyHolder {
                id: ApiKeyId::trusted("publish"),
                scopes: vec!["publish".to_owned()],
            });
        }
        let (id, _) = presented.strip_prefix(PREFIX)?.split_once('_')?;
        let id: ApiKeyId = id.parse().ok()?;
        let stored = self.stored.read();
        let known = stored.get(&id)?;
        if !known.hash.is(&text_of(&hash(presented))) {
            return None;
        }
        let scopes = known.scopes.clone();
        self.used.lock().insert(id.clone(), Timestamp::now());
        Some(KeyHolder { id, scopes })
    }

    /// Makes a key.
    ///
    /// # Errors
    /// `conflict` beyond 100.
    pub async fn create(
        self: &Arc<Self>,
        request: CreateApiKey,
    ) -> Result<ApiKeyCreated, AppError> {
        let (stored, secret) = make(request);
        let (keys, key) = (self.clone(), shown(stored.clone()));
        run_to_completion(async move {
            keys.store.create_api_key(stored).await?;
            keys.publish_change().await;
            Ok(ApiKeyCreated { key, secret })
        })
        .await
    }

    /// The keys in the store.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn list(&self) -> Result<ApiKeyPage, AppError> {
        let keys = self.store.api_keys().await?;
        Ok(ApiKeyPage {
            keys: keys.into_iter().map(shown).collect(),
            has_more: false,
        })
    }

    /// Revokes a key, on every instance.
    ///
    /// # Errors
    /// `not_found` if there is none.
    pub async fn revoke(self: &Arc<Self>, id: ApiKeyId) -> Result<(), AppError> {
        let keys = self.clone();
        run_to_completion(async move {
            match keys.store.delete_api_key(&id).await {
                Err(StoreError::NotFound) => return Err(AppError::not_found("key")),
                deleted => deleted?,
            }
            {
                let _read = keys.reloading.lock().await;
                keys.stored.write().remove(&id);
            }
            keys.publish_change().await;
            Ok(())
        })
        .await
    }

    async fn publish_change(&self) {
        self.bus.send_to_all(&Changed);
        if !self.reload_or_warn().await {
            self.changed.notify_one();
        }
    }

    /// Reads the stored keys.
    ///
    /// # Errors
    /// Those of the store; then it goes on with those that were read before.
    pub async fn reload(&self) -> Result<(), StoreError> {
        let _alone = self.reloading.lock().await;
        let stored = self.store.api_keys().await?.into_iter();
        let known = stored.map(|key| {
            let known = Known {
                hash: ApiKey::new(&text_of(&key.hash).into()),
                scopes: key.scopes,
            };
            (key.id, known)
        });
        *self.stored.write() = known.collect();
        self.known.store(true, Ordering::SeqCst);
        Ok(())
    }

    /// Returns once the stored keys were read.
    pub async fn wait(&self) {
        while !self.reload_or_warn().await {
            sleep(RETRY).await;
        }
    }

    async fn reload_or_warn(&self) -> bool {
        let reloaded = self.reload().await;
        if let Err(error) = &reloaded {
            tracing::warn!(%error, "the API keys couldn't be read; trying again");
        }
        reloaded.is_ok()
    }

    /// Keeps the keys fresh, and writes when they were used, for ever.
    pub async fn run(&self) {
        loop {
            // Either is a reason to read them again.
            drop(timeout(RELOAD, self.changed.notified()).await);
            self.wait().await;
            let used: Vec<_> = self.used.lock().drain().collect();
            if !used.is_empty()
                && let Err(error) = self.store.touch_api_keys(used).await
            {
                tracing::warn!(%error, "when API keys were used couldn't be written");
            }
        }
    }
}

impl Receiver for ApiKeys {
    fn kinds(&self) -> &'static [Kind] {
        &[Kind::API_KEYS_CHANGED]
    }

    fn receive(&self, _: &str, _: Kind, _: Reader<'_>) -> Result<(), Malformed> {
        self.changed.notify_one();
        Ok(())
    }

    fn interrupted(&self, lost: &Lost<'_>) {
        if lost.includes_everybody() {
            self.changed.notify_one();
        }
    }
}

/// A new key: what is stored of it, and the key itself.
pub fn make(request: CreateApiKey) -> (StoredApiKey, Secret) {
    let id: String = rand::random::<[u8; 8]>()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let bits = BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
    let key = format!("{PREFIX}{id}_{bits}");
    let stored = StoredApiKey {
        id: ApiKeyId::trusted(id),
        name: request.name,
        scopes: request.scopes,
        hash: hash(&key),
        created_at: Timestamp::now(),
        last_used_at: None,
    };
    (stored, key.into())
}

/// Of 256 random bits, which nobody guesses: no salt or work is needed.
fn hash(key: &str) -> ApiKeyHash {
    ApiKeyHash(Sha256::digest(key).into())
}

fn text_of(hash: &ApiKeyHash) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(hash.0)
}

fn shown(stored: StoredApiKey) -> Shown {
    Shown {
        id: stored.id,
        name: stored.name,
        scopes: stored.scopes,
        created_at: stored.created_at,
        last_used_at: stored.last_used_at,
    }
}
