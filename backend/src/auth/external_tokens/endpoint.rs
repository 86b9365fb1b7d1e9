//! Where an issuer publishes its keys: one request every few minutes.

use std::{io, path::PathBuf, time::Duration};

use bytes::Bytes;
use http::{Method, StatusCode, header::ACCEPT};
use http_body_util::{BodyExt, Full, Limited};
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use url::Url;

use crate::http_client;

/// Bytes of a set of keys: a hundred with their certificates.
const BODY_MAX: usize = 256 * 1_024;

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
        let (host, port) = http_client::host_and_port(&self.url);
        let tcp = connect(&host, port).await?;
        if self.url.scheme() == "http" {
            return self.ask(tcp).await;
        }
        let name = ServerName::try_from(host).map_err(io::Error::other)?;
        let config = http_client::trust(self.ca_file.clone()).await;
        let config = config.map_err(FetchError::Authorities)?;
        let tls = TlsConnector::from(config).connect(name, tcp).await?;
        self.ask(tls).await
    }

    async fn ask<S>(&self, stream: S) -> Result<Bytes, FetchError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        // Ends with this request, whatever becomes of it.
        let (mut sender, _connection) = http_client::open(stream).await?;
        let request = http_client::request(Method::GET, &self.url)
            .header(ACCEPT, "application/jwk-set+json, application/json")
            .body(Full::default())
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
