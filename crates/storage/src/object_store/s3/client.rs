//! Requests to a bucket: a few connections that are kept, times for everything, no redirects and no memory of bodies.

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use http::header::{CONTENT_LENGTH, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, BodyStream, Empty, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client as Pool, Error as SendError};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::timeout;
use url::Url;

use super::super::{Bytes, ObjectBody};
use crate::StoreError;
use crate::error::cause;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(3);

/// How long an answer may take to begin once the request has been sent, and how long it may pause then.
const PATIENCE: Duration = Duration::from_secs(10);

/// A request's own time, in addition to [`PATIENCE`]: a second for so many bytes of its body.
const SLOWEST: u64 = 64 * 1024;

/// Connections that wait for the next request.
const IDLE_CONNECTIONS: usize = 16;

/// Bytes that are read of an answer that isn't an object.
const TEXT_MAX: usize = 64 * 1024;

type RequestBody = UnsyncBoxBody<Bytes, StoreError>;

/// Sends requests. No I/O happens when it is made, but for the files of authorities.
pub struct Client {
    pool: Pool<HttpsConnector<HttpConnector>, RequestBody>,
    /// [`PATIENCE`], but for tests of what never answers.
    pub(super) patience: Duration,
}

/// An answer that isn't a failure; a range that can't be had is none.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    body: Incoming,
    patience: Duration,
}

impl Client {
    pub fn new(ca_file: Option<&Path>) -> Result<Self, String> {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_connect_timeout(Some(CONNECT));
        http.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls::trust_system_and(ca_file)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        let pool = Pool::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(20))
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .build(connector);
        Ok(Self {
            pool,
            patience: PATIENCE,
        })
    }

    /// Sends a request. `NotFound` is the store's own answer, `Unavailable` none that helps; if the body broke off, its own
    /// error.
    pub async fn send(
        &self,
        method: Method,
        url: &Url,
        headers: HeaderMap,
        body: Option<(u64, ObjectBody)>,
    ) -> Result<Answer, StoreError> {
        let mut request = Request::builder().method(&method).uri(url.as_str());
        let mut time = self.patience;
        if let Some(sent) = request.headers_mut() {
            sent.extend(headers);
            sent.insert(USER_AGENT, HeaderValue::from_static("tertulia"));
            let length = body.as_ref().map(|(size, _)| *size);
            if let Some(length) = length.or((method == Method::PUT).then_some(0)) {
                sent.insert(CONTENT_LENGTH, length.into());
                time += Duration::from_secs(length / SLOWEST);
            }
        }
        // What the sender's own body reports would be hidden in hyper's error.
        let broken = Arc::new(parking_lot::Mutex::new(None));
        let request = request
            .body(request_body(body, broken.clone()))
            .map_err(|_| StoreError::internal("a request can't be made"))?;
        let sent = timeout(time, self.pool.request(request)).await;
        let broken = broken.lock().take();
        if let Some(error) = broken {
            return Err(error);
        }
        let answer = match sent {
            Err(_) => {
                return Err(StoreError::unavailable(
                    "the object store doesn't answer in time",
                ));
            }
            Ok(Err(error)) => return Err(unavailable(error)),
            Ok(Ok(answer)) => answer,
        };
        let (head, body) = answer.into_parts();
        let answer = Answer {
            status: head.status,
            headers: head.headers,
            body,
            patience: self.patience,
        };
        match answer.status {
            StatusCode::NOT_FOUND => Err(StoreError::NotFound),
            StatusCode::RANGE_NOT_SATISFIABLE => Ok(answer),
            status if status.is_success() => Ok(answer),
            status => {
                let code = answer.error_code(&method).await;
                tracing::warn!(%method, %status, code, "the object store refused a request");
                Err(StoreError::Unavailable(cause(format!(
                    "the object store answered {status} {code}"
                ))))
            }
        }
    }
}

impl Answer {
    /// The body, of which exactly so many bytes are expected.
    pub fn pieces(self, expected: u64) -> impl Stream<Item = Result<Bytes, StoreError>> + Send {
        let patience = self.patience;
        let pieces = BodyStream::new(self.body).filter_map(|frame| async move {
            match frame {
                Ok(frame) => frame.into_data().ok().map(Ok),
                Err(error) => Some(Err(StoreError::Unavailable(cause(error)))),
            }
        });
        stream::try_unfold(
            (Box::pin(pieces), expected),
            move |(mut pieces, left)| async move {
                let next = next_piece(&mut pieces, patience).await?;
                match next {
                    None if left == 0 => Ok(None),
                    Some(piece) if piece.len() as u64 <= left => {
                        let left = left - piece.len() as u64;
                        Ok(Some((piece, (pieces, left))))
                    }
                    _ => Err(StoreError::unavailable("an object broke off")),
                }
            },
        )
    }

    /// The body as text.
    pub async fn text(self) -> Result<String, StoreError> {
        let body = Limited::new(self.body, TEXT_MAX).collect();
        match timeout(self.patience, body).await {
            Ok(Ok(body)) => Ok(String::from_utf8_lossy(&body.to_bytes()).into_owned()),
            _ => Err(StoreError::unavailable(
                "the object store's answer broke off",
            )),
        }
    }

    /// The code of an error, which is the one thing of it that is short and holds nothing secret.
    async fn error_code(self, method: &Method) -> String {
        if method == Method::HEAD {
            return String::new();
        }
        let text = self.text().await.unwrap_or_default();
        let code = text
            .split_once("<Code>")
            .and_then(|(_, rest)| rest.split_once("</Code>"))
            .map_or("", |(code, _)| code);
        let is_code = code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if is_code {
            code.to_owned()
        } else {
            String::new()
        }
    }
}

async fn next_piece<S>(
    pieces: &mut Pin<Box<S>>,
    patience: Duration,
) -> Result<Option<Bytes>, StoreError>
where
    S: Stream<Item = Result<Bytes, StoreError>>,
{
    match timeout(patience, pieces.next()).await {
        Ok(next) => next.transpose(),
        Err(_) => Err(StoreError::unavailable(
            "the object store sends nothing more",
        )),
    }
}

/// A body whose own error ends up in `broken`, and which has exactly its bytes.
fn request_body(
    body: Option<(u64, ObjectBody)>,
    broken: Arc<parking_lot::Mutex<Option<StoreError>>>,
) -> RequestBody {
    let Some((size, body)) = body else {
        return Empty::new().map_err(|never| match never {}).boxed_unsync();
    };
    let exact = stream::try_unfold((body, size), |(mut body, left)| async move {
        match body.next().await.transpose()? {
            None if left == 0 => Ok(None),
            Some(piece) if piece.len() as u64 <= left => {
                let left = left - piece.len() as u64;
                Ok(Some((piece, (body, left))))
            }
            _ => Err(StoreError::invalid("size", "there are more or fewer bytes")),
        }
    });
    let frames = exact.map(move |piece| match piece {
        Ok(piece) => Ok(Frame::data(piece)),
        Err(error) => {
            *broken.lock() = Some(error.clone());
            Err(error)
        }
    });
    BodyExt::boxed_unsync(StreamBody::new(frames))
}

fn unavailable(error: SendError) -> StoreError {
    StoreError::Unavailable(cause(error))
}
