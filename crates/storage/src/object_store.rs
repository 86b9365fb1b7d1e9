//! Objects: bytes under a key, in a bucket of any S3 or in a directory of the embedded default. The contract of each method
//! is documented here and holds for both: the same tests run on both.
//!
//! What must stay true: an object is there whole or not at all; a key names one content for ever, unless whoever puts it
//! says otherwise, which is why nothing here compares versions.

mod key;
mod local;
mod range;
mod s3;
mod upload;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use circuit_breaker::Breaker;
use futures_util::stream::{self, BoxStream, StreamExt};
use protocol::Secret;
use url::Url;

pub use bytes::Bytes;
pub use key::{MalformedKey, ObjectKey};
pub use range::{ByteRange, Unsatisfiable};
pub use s3::{S3Config, S3Error};
pub use upload::PresignedUpload;

use crate::{OpenError, StoreError};
use local::LocalObjects;
use s3::S3Objects;

/// The bytes of an object, in pieces. An error says that what came isn't the whole.
pub type ObjectBody = BoxStream<'static, Result<Bytes, StoreError>>;

/// Objects, durable. Cloning shares it.
#[derive(Clone)]
pub struct ObjectStore {
    backend: Backend,
}

#[derive(Clone)]
enum Backend {
    Local(Arc<LocalObjects>),
    S3(Arc<S3Objects>),
}

/// An object, or a part of one.
pub struct Object {
    /// Bytes of the whole.
    pub size: u64,
    /// Which of them `body` holds.
    pub range: std::ops::Range<u64>,
    /// Those bytes.
    pub body: ObjectBody,
}

/// What is known of an object without its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Its bytes.
    pub size: u64,
}

/// Calls the method of the same name of either back end.
macro_rules! on_backend {
    ($store:ident.$method:ident($($argument:expr),*)) => {
        match &$store.backend {
            Backend::Local(objects) => objects.$method($($argument),*).await,
            Backend::S3(objects) => objects.$method($($argument),*).await,
        }
    };
}

impl ObjectStore {
    /// In a directory, which is made. One process uses it.
    ///
    /// # Errors
    /// If it can't be made or written.
    pub async fn local(directory: PathBuf) -> Result<Self, OpenError> {
        let objects = LocalObjects::open(directory).await?;
        Ok(Self {
            backend: Backend::Local(Arc::new(objects)),
        })
    }

    /// In a bucket, which has to exist. Nothing is asked yet.
    ///
    /// # Errors
    /// If the configuration can't be meant.
    pub fn s3(config: &S3Config) -> Result<Self, S3Error> {
        Ok(Self {
            backend: Backend::S3(Arc::new(S3Objects::new(config)?)),
        })
    }

    /// Has a circuit breaker decide from now on whether a bucket is asked; only the first one stays.
    pub fn guard(&self, breaker: Arc<Breaker>) {
        if let Backend::S3(objects) = &self.backend {
            objects.guard(breaker);
        }
    }

    /// Whether this is a bucket, whose presigned uploads don't pass the server.
    pub fn is_remote(&self) -> bool {
        matches!(self.backend, Backend::S3(_))
    }

    /// Fails unless the store answers.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn ping(&self) -> Result<(), StoreError> {
        on_backend!(self.ping())
    }

    /// Stores `size` bytes. An object that is there is replaced once the new one is whole.
    ///
    /// # Errors
    /// `Invalid` if there are more or fewer bytes than `size`, the body's own error, `Unavailable`. Nothing is stored then; after
    /// `Unavailable` this isn't known.
    pub async fn put(
        &self,
        key: &ObjectKey,
        content_type: &str,
        size: u64,
        body: ObjectBody,
    ) -> Result<(), StoreError> {
        on_backend!(self.put(key, content_type, size, body))
    }

    /// As [`ObjectStore::put`], of what is in memory.
    ///
    /// # Errors
    /// As there.
    pub async fn put_bytes(
        &self,
        key: &ObjectKey,
        content_type: &str,
        bytes: Bytes,
    ) -> Result<(), StoreError> {
        let size = bytes.len() as u64;
        let body = stream::once(async move { Ok(bytes) }).boxed();
        self.put(key, content_type, size, body).await
    }

    /// An object, or a range of it unless that begins behind its end.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`.
    pub async fn get(
        &self,
        key: &ObjectKey,
        range: Option<ByteRange>,
    ) -> Result<Result<Object, Unsatisfiable>, StoreError> {
        on_backend!(self.get(key, range))
    }

    /// A whole object in memory.
    ///
    /// # Errors
    /// As [`ObjectStore::get`], and `Invalid` if it has more than `max` bytes.
    pub async fn read(&self, key: &ObjectKey, max: usize) -> Result<Bytes, StoreError> {
        let got = self.get(key, None).await?;
        let mut object = got.map_err(|_| StoreError::internal("a whole object is no range"))?;
        let too_large = || StoreError::invalid("size", "the object is too large");
        let size = usize::try_from(object.size)
            .ok()
            .filter(|size| *size <= max)
            .ok_or_else(too_large)?;
        let mut bytes = Vec::with_capacity(size);
        while let Some(piece) = object.body.next().await {
            let piece = piece?;
            if bytes.len() + piece.len() > size {
                return Err(too_large());
            }
            bytes.extend_from_slice(&piece);
        }
        if bytes.len() < size {
            return Err(StoreError::unavailable("an object broke off"));
        }
        Ok(bytes.into())
    }

    /// What is known of an object.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`.
    pub async fn head(&self, key: &ObjectKey) -> Result<ObjectInfo, StoreError> {
        on_backend!(self.head(key))
    }

    /// Removes an object, if it is there.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn delete(&self, key: &ObjectKey) -> Result<(), StoreError> {
        on_backend!(self.delete(key))
    }

    /// Gives an object another key. One that has been moved already is moved.
    ///
    /// # Errors
    /// `NotFound` if it is under neither key, `Unavailable`.
    pub async fn rename(
        &self,
        from: &ObjectKey,
        to: &ObjectKey,
        content_type: &str,
    ) -> Result<(), StoreError> {
        let moved = match &self.backend {
            Backend::Local(objects) => objects.rename(from, to).await,
            Backend::S3(objects) => objects.rename(from, to, content_type).await,
        };
        match moved {
            Err(StoreError::NotFound) => self.head(to).await.map(drop),
            moved => moved,
        }
    }

    /// A request by which somebody else may put an object of this type and exactly this size within `valid_for`; `None` for a
    /// directory, into which only the server puts anything.
    pub fn presign_put(
        &self,
        key: &ObjectKey,
        content_type: &str,
        size: u64,
        valid_for: Duration,
    ) -> Option<PresignedUpload> {
        match &self.backend {
            Backend::Local(_) => None,
            Backend::S3(objects) => Some(objects.presign_put(key, content_type, size, valid_for)),
        }
    }
}

/// The credentials of a bucket.
#[derive(Debug, Clone)]
pub struct S3Credentials {
    /// The name of the key.
    pub access_key_id: String,
    /// The key itself.
    pub secret_access_key: Secret,
}

/// Where a bucket is reached.
#[derive(Debug, Clone)]
pub struct S3Endpoint {
    /// By the server.
    pub url: Url,
    /// By those who upload, if that is another address: it is in the signature.
    pub public_url: Option<Url>,
}
