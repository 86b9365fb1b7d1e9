//! Where an issuer publishes its keys. One request every few minutes: a connection of its own for each, with hyper and
//! rustls, which the program has anyway. A client with a pool, redirects and cookies would only be more to bound.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    Request, StatusCode,
    header::{ACCEPT, HOST, USER_AGENT},
};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use url::{Host, Url};

/// Bytes of a set of keys: a hundred with their certificates.
const BODY_MAX: usize = 256 * 1_024;

/// Bytes of the answer's head.
const HEAD_MAX: usize = 16 * 1_024;

/// How long one address may take to accept a connection, so that there is time for another.
const CONNECT: Duration = Duration::from_millis(1_500);

/// Why a set of keys couldn't be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("no connection: {0}")]
    Connect(#[from] io::Error),
    #[error("no trusted authorities: {0}")]
    Authorities(String),
    #[error("no answer: {0}")]
    Http(#[from] hyper::Error),
    #[error("the status is {0}; redirects aren't followed")]
    Status(StatusCode),
    #[error("the answer breaks off, or has more than {BODY_MAX} bytes")]
    Body,
    #[error("the answer took too long")]
    TooSlow,
    #[error("the circuit is open after earlier failures")]
    Refused,
    #[error("the answer is no JSON Web Key Set")]
    NoKeySet,
}

/// Where the keys are.
pub(super) struct Endpoint {
    url: Url,
    /// Authorities beside those of the system.
    ca_file: Option<PathBuf>,
}

impl Endpoint {
    /// `url` has a host, which the configuration has made sure of.
    pub fn new(url: Url, ca_file: Option<PathBuf>) -> Self {
        Self { url, ca_file }
    }

    /// What is there. Takes as long as the other side likes.
    pub async fn get(&self) -> Result<Bytes, FetchError> {
        let port = self.url.port_or_known_default().unwrap_or(443);
        let host = match self.url.host() {
            Some(Host::Ipv6(address)) => address.to_string(),
            Some(host) => host.to_string(),
            None => String::new(),
        };
        let tcp = connect(&host, port).await?;
        if self.url.scheme() == "http" {
            return self.ask(tcp).await;
        }
        let name = ServerName::try_from(host).map_err(io::Error::other)?;
        let ca_file = self.ca_file.clone();
        // Reads files.
        let config = tokio::task::spawn_blocking(move || tls::trust_system_and(ca_file.as_deref()))
            .await
            .map_err(io::Error::other)?
            .map_err(FetchError::Authorities)?;
        let tls = TlsConnector::from(Arc::new(config))
            .connect(name, tcp)
            .await?;
        self.ask(tls).await
    }

    async fn ask<S>(&self, stream: S) -> Result<Bytes, FetchError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(HEAD_MAX)
            .handshake(TokioIo::new(stream))
            .await?;
        // Ends with this request, whatever becomes of it.
        let mut tasks = JoinSet::new();
        tasks.spawn(connection);
        let target = &self.url[url::Position::BeforePath..url::Position::AfterQuery];
        let authority = &self.url[url::Position::BeforeHost..url::Position::AfterPort];
        let request = Request::get(target)
            .header(HOST, authority)
            .header(ACCEPT, "application/jwk-set+json, application/json")
            .header(USER_AGENT, concat!("tertulia/", env!("CARGO_PKG_VERSION")))
            .body(Empty::<Bytes>::new())
            .map_err(io::Error::other)?;
        let answer = sender.send_request(request).await?;
        if answer.status() != StatusCode::OK {
            return Err(FetchError::Status(answer.status()));
        }
        let body = Limited::new(answer.into_body(), BODY_MAX).collect().await;
        Ok(body.map_err(|_| FetchError::Body)?.to_bytes())
    }
}

/// To the first of a name's addresses that accepts a connection: of several one may be unreachable.
async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in tokio::net::lookup_host((host, port)).await? {
        match timeout(CONNECT, TcpStream::connect(address)).await {
            Ok(Ok(tcp)) => return Ok(tcp),
            Ok(Err(error)) => failure = error,
            Err(_) => failure = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(failure)
}
