//! What requests to other servers have in common: each has a connection of its own, with hyper and rustls, which the program has
//! anyway. A client with a pool, redirects and cookies would only be more to bound.

use std::{path::PathBuf, sync::Arc};

use bytes::Bytes;
use http::{
    Method, Request,
    header::{HOST, USER_AGENT},
    request,
};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::JoinSet,
};
use url::{Position, Url};

/// Bytes of an answer's head.
const HEAD_MAX: usize = 16 * 1_024;

/// Sends a request on a connection.
pub type Sender = http1::SendRequest<Full<Bytes>>;

/// HTTP on a stream. The connection ends with the tasks.
pub async fn open<S>(stream: S) -> hyper::Result<(Sender, JoinSet<()>)>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD_MAX)
        .handshake(TokioIo::new(stream))
        .await?;
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to another server broke off");
        }
    });
    Ok((sender, tasks))
}

/// The beginning of a request.
pub fn request(method: Method, url: &Url) -> request::Builder {
    Request::builder()
        .method(method)
        .uri(&url[Position::BeforePath..Position::AfterQuery])
        .header(HOST, &url[Position::BeforeHost..Position::AfterPort])
        .header(USER_AGENT, concat!("tertulia/", env!("CARGO_PKG_VERSION")))
}

/// The host of a URL as it is looked up and as its certificate names it, and the port.
pub fn host_and_port(url: &Url) -> (String, u16) {
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_matches(['[', ']']).to_owned();
    (host, url.port_or_known_default().unwrap_or(443))
}

/// Trusts the system's authorities, and those of a file.
///
/// # Errors
/// What is wrong with the file, which is named.
pub async fn trust(ca_file: Option<PathBuf>) -> Result<Arc<ClientConfig>, String> {
    // Reads files.
    tokio::task::spawn_blocking(move || tls::trust_system_and(ca_file.as_deref()))
        .await
        .map_err(|error| error.to_string())?
        .map(Arc::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_address_is_looked_up_without_its_brackets() {
        for (url, expected) in [
            ("https://[2606:4700::1111]/x", ("2606:4700::1111", 443)),
            ("http://example.org:8080/", ("example.org", 8_080)),
        ] {
            let (host, port) = host_and_port(&url.parse().unwrap());
            assert_eq!((host.as_str(), port), expected);
        }
    }
}
