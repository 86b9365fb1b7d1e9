//! Requests to push services. Browsers' addresses are given by users, so a request goes to a public server over TLS and
//! nowhere else, whatever a name resolves to; redirects aren't followed. One connection for each request: few go to the
//! same server.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::{Arc, LazyLock},
    time::Duration,
};

use ::http::{Method, Request, header::RETRY_AFTER};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use ipnet::IpNet;
use parking_lot::Mutex;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::OnceCell,
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use crate::http_client::{self, Sender};

/// Bytes of an answer.
const BODY_MAX: usize = 16 * 1_024;

/// How long it may take until a connection is there, TLS included, and then until the answer is.
const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(10);

/// How long the answer's body may take once its status is known.
const BODY: Duration = Duration::from_secs(2);

/// Networks that aren't public.
static PRIVATE: LazyLock<Vec<IpNet>> = LazyLock::new(|| {
    [
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",
        "::/96",
        "64:ff9b::/32",
        "100::/64",
        "2001::/23",
        "2001:db8::/32",
        "2002::/16",
        "fc00::/6",
        "fe80::/9",
    ]
    .iter()
    .filter_map(|network| network.parse().ok())
    .collect()
});

/// True if an address is one of the public Internet.
fn is_public(address: IpAddr) -> bool {
    let address = address.to_canonical();
    !PRIVATE.iter().any(|network| network.contains(&address))
        && !address.is_multicast()
        && !address.is_unspecified()
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    /// The address may not be asked.
    #[error("the address isn't public")]
    Forbidden,
    /// Nothing was sent.
    #[error("{0}")]
    NotConnected(&'static str),
    /// Nothing was tried: for so long its addresses are left alone.
    #[error("its service failed too often just now")]
    LeftAlone(Duration),
    /// Nothing was sent, as there was no connection in time: to this address, unless the name didn't lead to one.
    #[error("no connection in time")]
    NotInTime(Option<SocketAddr>),
    /// It was sent, perhaps whole, to this address.
    #[error("no answer")]
    NoAnswer(SocketAddr),
}

/// Makes requests.
pub(super) struct Client {
    /// Also plain HTTP, and addresses that aren't public.
    private_addresses: bool,
    ca_file: Option<PathBuf>,
    tls: OnceCell<Arc<ClientConfig>>,
}

impl Client {
    pub(super) fn new(private_addresses: bool, ca_file: Option<PathBuf>) -> Self {
        Self {
            private_addresses,
            ca_file,
            tls: OnceCell::new(),
        }
    }

    /// True if an address may be asked, as far as it shows.
    pub(super) fn allows(&self, url: &Url) -> bool {
        let is_scheme = match url.scheme() {
            "https" => true,
            "http" => self.private_addresses,
            _ => false,
        };
        let is_host = match url.host() {
            Some(Host::Ipv4(address)) => self.private_addresses || is_public(address.into()),
            Some(Host::Ipv6(address)) => self.private_addresses || is_public(address.into()),
            Some(Host::Domain(name)) => {
                self.private_addresses || (name.contains('.') && !name.ends_with(".localhost"))
            }
            None => false,
        };
        is_scheme && is_host && url.username().is_empty() && url.password().is_none()
    }

    /// Connects to where a URL leads, unless that is an address for which `left_alone` has a time. Nothing of a request is
    /// sent yet.
    pub(super) async fn connect(
        &self,
        url: &Url,
        left_alone: impl Fn(SocketAddr) -> Option<Duration>,
    ) -> Result<Connection, HttpError> {
        if !self.allows(url) {
            return Err(HttpError::Forbidden);
        }
        let last = Mutex::new(None);
        let connecting = async {
            let (tcp, address) = self.reach(url, &left_alone, &last).await?;
            if url.scheme() == "http" {
                return Ok((open(tcp).await?, address));
            }
            let config = self.tls().await?;
            let (host, _) = http_client::host_and_port(url);
            let name = ServerName::try_from(host);
            let name = name.map_err(|_| HttpError::NotConnected("the host has no name"))?;
            let tls = TlsConnector::from(config).connect(name, tcp).await;
            let tls = tls.map_err(|_| HttpError::NotConnected("TLS failed"))?;
            Ok((open(tls).await?, address))
        };
        let connected = timeout(CONNECT, connecting).await;
        let late = |_| HttpError::NotInTime(*last.lock());
        let ((sender, connection), address) = connected.map_err(late)??;
        Ok(Connection {
            sender,
            _connection: connection,
            address,
            url: url.clone(),
        })
    }

    /// To the first public address of the host that accepts a connection. The last one that was tried is noted.
    async fn reach(
        &self,
        url: &Url,
        left_alone: impl Fn(SocketAddr) -> Option<Duration>,
        last: &Mutex<Option<SocketAddr>>,
    ) -> Result<(TcpStream, SocketAddr), HttpError> {
        let (host, port) = http_client::host_and_port(url);
        let found = tokio::net::lookup_host((host.as_str(), port)).await;
        let found = found.map_err(|_| HttpError::NotConnected("the host isn't known"))?;
        let allowed: Vec<SocketAddr> = found
            .filter(|address| self.private_addresses || is_public(address.ip()))
            .collect();
        if allowed.is_empty() {
            return Err(HttpError::Forbidden);
        }
        let mut shortest = None;
        for address in allowed {
            if let Some(left) = left_alone(address) {
                shortest = Some(shortest.map_or(left, |other| left.min(other)));
                continue;
            }
            *last.lock() = Some(address);
            if let Ok(tcp) = TcpStream::connect(address).await {
                return Ok((tcp, address));
            }
        }
        Err(shortest.map_or(
            HttpError::NotConnected("the host refuses connections"),
            HttpError::LeftAlone,
        ))
    }

    async fn tls(&self) -> Result<Arc<ClientConfig>, HttpError> {
        let load = || async {
            let trusted = http_client::trust(self.ca_file.clone()).await;
            trusted.map_err(|_| HttpError::NotConnected("no trusted authorities"))
        };
        self.tls.get_or_try_init(load).await.cloned()
    }
}

/// HTTP on a stream; it ends with the tasks.
async fn open<S>(stream: S) -> Result<(Sender, JoinSet<()>), HttpError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let opened = http_client::open(stream).await;
    opened.map_err(|_| HttpError::NotConnected("the connection broke off"))
}

/// A connection for one request.
pub(super) struct Connection {
    sender: Sender,
    _connection: JoinSet<()>,
    address: SocketAddr,
    url: Url,
}

impl Connection {
    /// Whom it leads to.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Posts a body.
    pub(super) async fn post(
        mut self,
        headers: &[(&'static str, &str)],
        body: Vec<u8>,
    ) -> Result<Answer, HttpError> {
        let url = &self.url;
        let mut request = http_client::request(Method::POST, url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body)));
        let request = request.map_err(|_| HttpError::NotConnected("a header can't be written"))?;
        match timeout(ANSWER, self.ask(request)).await {
            Ok(answered) => answered,
            Err(_) => Err(HttpError::NoAnswer(self.address)),
        }
    }

    async fn ask(&mut self, request: Request<Full<Bytes>>) -> Result<Answer, HttpError> {
        let address = self.address;
        let answer = self.sender.send_request(request).await;
        let answer = answer.map_err(|error| match error.is_canceled() {
            true => HttpError::NotConnected("the connection broke off"),
            false => HttpError::NoAnswer(address),
        })?;
        let retry_after = answer
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.trim().parse().ok())
            .map(Duration::from_secs);
        let status = answer.status().as_u16();
        // The status alone says what became of it.
        let body = Limited::new(answer.into_body(), BODY_MAX).collect();
        let body = match timeout(BODY, body).await {
            Ok(Ok(body)) => body.to_bytes(),
            _ => Bytes::new(),
        };
        Ok(Answer {
            status,
            retry_after,
            body,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_servers_are_asked() {
        let client = Client::new(false, None);
        let allows = |url: &str| client.allows(&url.parse().unwrap());
        for url in [
            "https://updates.push.services.mozilla.com/wpush/v2/abc",
            "https://fcm.googleapis.com/fcm/send/abc?x=y",
            "https://8.8.8.8/send",
            "https://[2606:4700::1111]/send",
        ] {
            assert!(allows(url), "{url}");
        }
        for url in [
            "http://updates.push.services.mozilla.com/wpush/v2/abc",
            "https://localhost/send",
            "https://metadata/send",
            "https://a.localhost/send",
            "https://127.0.0.1/send",
            "https://0x7f000001/send",
            "https://2130706433/",
            "https://10.1.2.3/send",
            "https://169.254.169.254/latest",
            "https://192.168.0.1:8443/send",
            "https://[::1]/send",
            "https://[::ffff:127.0.0.1]/send",
            "https://[fd00::1]/send",
            "https://[fe80::1]/send",
            "https://user:secret@push.example.org/send",
            "ftp://push.example.org/send",
            "file:///etc/passwd",
        ] {
            assert!(!allows(url), "{url}");
        }
    }

    #[tokio::test]
    async fn a_name_that_leads_inside_is_not_followed() {
        let client = Client::new(false, None);
        let url: Url = "https://localhost.localdomain./".parse().unwrap();
        let asked = client.connect(&url, |_| None).await;
        assert!(matches!(
            asked.err(),
            Some(HttpError::Forbidden | HttpError::NotConnected("the host isn't known"))
        ));
        assert!(!is_public("::ffff:10.0.0.1".parse().unwrap()));
    }
}
