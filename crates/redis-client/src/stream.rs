//! The byte stream to one server, plain or TLS.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::url::Host;

pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Connects. Over TLS the server's certificate must be for the host's name, by an authority of `ca_file` or, without
    /// one, of the system.
    pub(crate) async fn connect(
        host: &Host,
        tls: bool,
        ca_file: Option<&Path>,
    ) -> Result<Self, String> {
        let tcp = TcpStream::connect((host.name.as_str(), host.port))
            .await
            .map_err(|error| error.to_string())?;
        // What is sent is already batched; waiting for more would only delay it.
        tcp.set_nodelay(true).map_err(|error| error.to_string())?;
        if !tls {
            return Ok(Self::Plain(tcp));
        }
        let name = ServerName::try_from(host.name.clone()).map_err(|error| error.to_string())?;
        // Built at every connect: the files may have changed, and connects are rare.
        let stream = TlsConnector::from(Arc::new(tls::trust_file_or_system(ca_file)?))
            .connect(name, tcp)
            .await
            .map_err(|error| error.to_string())?;
        Ok(Self::Tls(Box::new(stream)))
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}
