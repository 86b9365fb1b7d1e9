//! Streams to the broker, plain or with TLS, which end when who has asked for them is gone.

use std::{
    io,
    net::SocketAddr,
    os::fd::{AsFd, AsRawFd},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use async_rs::{Runtime, Tokio, traits::Reactor, util::RuntimeParts};
use futures_io::{AsyncRead, AsyncWrite};
use futures_util::{FutureExt, Stream};
use lapin::{Connection, ConnectionProperties, tcp::AsyncTcpStream, uri::AMQPUri};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{net::TcpStream, runtime::Handle, sync::oneshot, time::timeout};
use tokio_rustls::TlsConnector;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

use super::BrokerError;

/// How long connecting may take, with everything that is said before the first channel.
const CONNECT: Duration = Duration::from_secs(10);

/// How long a connection is closed for before it is cut.
const CLOSE: Duration = Duration::from_secs(2);

/// A connection, which is cut when this is dropped: a broker that hangs would keep it otherwise for as long as it hangs.
pub(super) struct Link {
    pub(super) connection: Connection,
    _cut: oneshot::Sender<()>,
}

impl Link {
    pub(super) async fn open(
        uri: &AMQPUri,
        tls: Option<Arc<ClientConfig>>,
        name: &str,
    ) -> Result<Self, BrokerError> {
        let (cut, is_cut) = oneshot::channel();
        let is_cut = is_cut.shared();
        // lapin works on a thread of its own, which has no runtime.
        let tokio = Tokio::default().with_handle(Handle::current());
        let runtime = Runtime::new(RuntimeParts::new(tokio.clone(), Streams(tokio)));
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let connect = async move |uri: AMQPUri, _| {
            let connected = connect(&uri, tls.as_ref()).await;
            let io = connected.map_err(|error| lapin::ErrorKind::IOError(Arc::new(error)))?;
            let is_cut = is_cut.clone();
            // The sender sends nothing: it is dropped.
            let is_cut = Box::pin(is_cut.map(drop));
            Ok(AsyncTcpStream::Plain(BrokerStream { io, is_cut }))
        };
        let connecting = Connection::connector(uri.clone(), runtime, connect, properties);
        let connected = timeout(CONNECT, connecting).await;
        let connection = connected.map_err(|_| BrokerError::Silent)??;
        Ok(Self {
            connection,
            _cut: cut,
        })
    }

    pub(super) async fn close(self) {
        let closing = self.connection.close(200, "OK".into());
        if let Ok(Err(error)) = timeout(CLOSE, closing).await {
            tracing::debug!(%error, "a connection to the broker wasn't closed");
        }
    }
}

async fn connect(
    uri: &AMQPUri,
    tls: Option<&Arc<ClientConfig>>,
) -> io::Result<Compat<Box<dyn Io>>> {
    let authority = &uri.authority;
    let tcp = TcpStream::connect((authority.host.as_str(), authority.port)).await?;
    tcp.set_nodelay(true)?;
    let io: Box<dyn Io> = match tls.filter(|_| uri.scheme == lapin::uri::AMQPScheme::AMQPS) {
        None => Box::new(tcp),
        Some(config) => {
            let name = ServerName::try_from(authority.host.clone()).map_err(io::Error::other)?;
            let connector = TlsConnector::from(config.clone());
            Box::new(connector.connect(name, tcp).await?)
        }
    };
    Ok(io.compat())
}

trait Io: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin {}

impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin> Io for T {}

/// A stream that fails once it is cut.
pub(super) struct BrokerStream {
    io: Compat<Box<dyn Io>>,
    is_cut: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl BrokerStream {
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.is_cut.poll_unpin(context) {
            Poll::Ready(()) => Err(io::ErrorKind::ConnectionAborted.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl AsyncRead for BrokerStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl AsyncWrite for BrokerStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.io).poll_write_vectored(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.io).poll_close(context)
    }
}

/// tokio's clocks, and streams as they are here.
#[derive(Debug, Clone)]
struct Streams(Tokio);

impl Reactor for Streams {
    type TcpStream = BrokerStream;
    type Sleep = <Tokio as Reactor>::Sleep;

    fn register<H: io::Read + io::Write + AsFd + AsRawFd + Send + 'static>(
        &self,
        socket: H,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        self.0.register(socket)
    }

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        self.0.sleep(duration)
    }

    fn interval(&self, duration: Duration) -> impl Stream<Item = Instant> + Send + 'static {
        self.0.interval(duration)
    }

    fn tcp_connect_addr(
        &self,
        _: SocketAddr,
    ) -> impl Future<Output = io::Result<BrokerStream>> + Send + 'static {
        // `connect` does it, which knows of TLS.
        std::future::ready(Err(io::ErrorKind::Unsupported.into()))
    }
}
