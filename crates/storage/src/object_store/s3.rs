//! Objects in a bucket of any S3. Requests are signed in their query (`rusty-s3`), so that one for others and one of our own
//! are the same, and are sent with hyper, which the program has anyway.

mod client;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use circuit_breaker::Breaker;
use futures_util::StreamExt;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RANGE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use rusty_s3::{Bucket, Credentials, S3Action, UrlStyle};
use url::Url;

use super::{ByteRange, Object, ObjectBody, ObjectInfo, ObjectKey, PresignedUpload};
use super::{S3Credentials, S3Endpoint, Unsatisfiable};
use crate::StoreError;
use client::{Answer, Client};

/// How long a signature of a request of our own holds: clocks may differ.
const SIGNATURE: Duration = Duration::from_secs(300);

const COPY_SOURCE: &str = "x-amz-copy-source";

/// A bucket and how it is reached.
#[derive(Debug, Clone)]
pub struct S3Config {
    /// Where.
    pub endpoint: S3Endpoint,
    /// The bucket's name.
    pub bucket: String,
    /// Its region, which is in each signature.
    pub region: String,
    /// Whether the bucket is in the path of a URL instead of its host.
    pub path_style: bool,
    /// Who asks.
    pub credentials: S3Credentials,
    /// Authorities that are trusted beside the system's, in PEM.
    pub ca_file: Option<PathBuf>,
}

impl S3Config {
    /// Whether the endpoint and the bucket's name make a URL.
    ///
    /// # Errors
    /// If they don't.
    pub fn check(&self) -> Result<(), S3Error> {
        self.buckets().map(drop)
    }

    /// What the URL of every presigned upload begins with; none if [`S3Config::check`] fails.
    #[must_use]
    pub fn upload_base(&self) -> Option<Url> {
        let (_, public_bucket) = self.buckets().ok()?;
        Some(public_bucket.base_url().clone())
    }

    /// The bucket as the server sees it, and as those who upload do.
    fn buckets(&self) -> Result<(Bucket, Bucket), S3Error> {
        let style = match self.path_style {
            true => UrlStyle::Path,
            false => UrlStyle::VirtualHost,
        };
        let bucket = |endpoint: &Url| {
            let (name, region) = (self.bucket.clone(), self.region.clone());
            Bucket::new(endpoint.clone(), style, name, region)
        };
        let S3Endpoint { url, public_url } = &self.endpoint;
        Ok((bucket(url)?, bucket(public_url.as_ref().unwrap_or(url))?))
    }
}

/// Why a bucket can't be used.
#[derive(Debug, thiserror::Error)]
pub enum S3Error {
    /// The endpoint and the bucket's name don't make a URL.
    #[error("the bucket: {0}")]
    Bucket(#[from] rusty_s3::BucketError),
    /// The authorities can't be read.
    #[error("{0}")]
    Authorities(String),
}

/// The objects of a bucket.
pub struct S3Objects {
    bucket: Bucket,
    /// As those who upload see it.
    public_bucket: Bucket,
    credentials: Credentials,
    client: Client,
    breaker: OnceLock<Arc<Breaker>>,
}

impl S3Objects {
    pub fn new(config: &S3Config) -> Result<Self, S3Error> {
        let (bucket, public_bucket) = config.buckets()?;
        let S3Credentials {
            access_key_id,
            secret_access_key,
        } = &config.credentials;
        Ok(Self {
            bucket,
            public_bucket,
            credentials: Credentials::new(access_key_id.clone(), secret_access_key.expose()),
            client: Client::new(config.ca_file.as_deref()).map_err(S3Error::Authorities)?,
            breaker: OnceLock::new(),
        })
    }

    pub fn guard(&self, breaker: Arc<Breaker>) {
        if self.breaker.set(breaker).is_err() {
            tracing::error!("the calls to the object store are guarded already");
        }
    }

    /// Signs a request for the bucket, and sends it unless the circuit is open.
    async fn send<'a, A: S3Action<'a>>(
        &'a self,
        method: Method,
        mut action: A,
        headers: &[(HeaderName, &'a str)],
        body: Option<(u64, ObjectBody)>,
    ) -> Result<Answer, StoreError> {
        let mut sent = HeaderMap::new();
        for (name, value) in headers {
            // Those of S3's own have to be signed.
            if name.as_str().starts_with("x-amz-") {
                action
                    .headers_mut()
                    .insert(name.as_str().to_owned(), *value);
            }
            let value = HeaderValue::from_str(value)
                .map_err(|_| StoreError::internal("a header can't be sent"))?;
            sent.insert(name, value);
        }
        let url = action.sign(SIGNATURE);
        let permit = match self.breaker.get().map(|breaker| breaker.acquire()) {
            None => None,
            Some(Ok(permit)) => Some(permit),
            Some(Err(_)) => {
                return Err(StoreError::unavailable(
                    "the object store failed too often just now",
                ));
            }
        };
        let answer = self.client.send(method, &url, sent, body).await;
        match (permit, &answer) {
            // That the body broke off is the fault of who sent it.
            (Some(permit), Err(StoreError::Unavailable(_) | StoreError::Internal(_))) => {
                permit.failed();
            }
            (Some(permit), _) => permit.succeeded(),
            (None, _) => {}
        }
        answer
    }

    pub async fn ping(&self) -> Result<(), StoreError> {
        let action = self.bucket.head_bucket(Some(&self.credentials));
        self.send(Method::HEAD, action, &[], None).await.map(drop)
    }

    pub async fn put(
        &self,
        key: &ObjectKey,
        content_type: &str,
        size: u64,
        body: ObjectBody,
    ) -> Result<(), StoreError> {
        let action = self
            .bucket
            .put_object(Some(&self.credentials), key.as_str());
        let headers = [(CONTENT_TYPE, content_type)];
        self.send(Method::PUT, action, &headers, Some((size, body)))
            .await
            .map(drop)
    }

    pub async fn get(
        &self,
        key: &ObjectKey,
        range: Option<ByteRange>,
    ) -> Result<Result<Object, Unsatisfiable>, StoreError> {
        let action = self
            .bucket
            .get_object(Some(&self.credentials), key.as_str());
        let wanted = range.map(ByteRange::header);
        let headers = wanted.as_deref().map(|range| (RANGE, range));
        let answer = self
            .send(Method::GET, action, headers.as_slice(), None)
            .await?;
        let malformed = || StoreError::unavailable("the object store's answer has no length");
        let (size, range) = match answer.status {
            StatusCode::RANGE_NOT_SATISFIABLE => {
                // Not every store says with it how large the object is.
                let ObjectInfo { size } = self.head(key).await?;
                return Ok(Err(Unsatisfiable { size }));
            }
            StatusCode::PARTIAL_CONTENT => content_range(&answer.headers).ok_or_else(malformed)?,
            _ => {
                let size = number(&answer.headers, &CONTENT_LENGTH).ok_or_else(malformed)?;
                // A store that knows no ranges would be taken for one that does.
                match range {
                    Some(_) => {
                        return Err(StoreError::internal("the object store knows no ranges"));
                    }
                    None => (size, 0..size),
                }
            }
        };
        Ok(Ok(Object {
            size,
            body: answer.pieces(range.end - range.start).boxed(),
            range,
        }))
    }

    pub async fn head(&self, key: &ObjectKey) -> Result<ObjectInfo, StoreError> {
        let action = self
            .bucket
            .head_object(Some(&self.credentials), key.as_str());
        let answer = self.send(Method::HEAD, action, &[], None).await?;
        let malformed = || StoreError::unavailable("the object store's answer has no length");
        Ok(ObjectInfo {
            size: number(&answer.headers, &CONTENT_LENGTH).ok_or_else(malformed)?,
        })
    }

    pub async fn delete(&self, key: &ObjectKey) -> Result<(), StoreError> {
        let action = self
            .bucket
            .delete_object(Some(&self.credentials), key.as_str());
        match self.send(Method::DELETE, action, &[], None).await {
            Ok(_) | Err(StoreError::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub async fn rename(
        &self,
        from: &ObjectKey,
        to: &ObjectKey,
        content_type: &str,
    ) -> Result<(), StoreError> {
        let source = format!("/{}/{from}", self.bucket.name());
        let action = self.bucket.put_object(Some(&self.credentials), to.as_str());
        let headers = [
            (HeaderName::from_static(COPY_SOURCE), source.as_str()),
            (
                HeaderName::from_static("x-amz-metadata-directive"),
                "REPLACE",
            ),
            (CONTENT_TYPE, content_type),
        ];
        let answer = self.send(Method::PUT, action, &headers, None).await?;
        // A copy that fails half way is answered with 200 and an error in the body.
        let told = answer.text().await?;
        if !told.contains("<CopyObjectResult") {
            return Err(StoreError::unavailable(
                "the object store couldn't copy an object",
            ));
        }
        self.delete(from).await
    }

    pub fn presign_put(
        &self,
        key: &ObjectKey,
        content_type: &str,
        size: u64,
        valid_for: Duration,
    ) -> PresignedUpload {
        let mut action = self
            .public_bucket
            .put_object(Some(&self.credentials), key.as_str());
        let headers = action.headers_mut();
        headers.insert("content-length", size.to_string());
        headers.insert("content-type", content_type.to_owned());
        PresignedUpload {
            url: action.sign(valid_for),
            headers: vec![("Content-Type".to_owned(), content_type.to_owned())],
        }
    }
}

/// Without the credentials, which are in every signature.
impl fmt::Debug for S3Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Objects")
            .field("bucket", &self.bucket.base_url().as_str())
            .finish_non_exhaustive()
    }
}

fn number(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

/// The size of the whole, and which part of it was sent.
fn content_range(headers: &HeaderMap) -> Option<(u64, std::ops::Range<u64>)> {
    let text = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    let (range, size) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    let size = size.parse().ok()?;
    (first <= last && last < size).then_some((size, first..last + 1))
}
