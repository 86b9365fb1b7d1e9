//! An issuer that publishes its keys over HTTP or HTTPS, well or badly.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use super::keys::Key;

pub const NAME: &str = "https://issuer.example/";
pub const AUDIENCE: &str = "https://chat.example";

/// How it answers.
#[derive(Clone)]
pub enum Answer {
    Keys(Value),
    Status(u16),
    /// A body without end.
    Endless,
    /// Nothing, and the connection stays open.
    Silence,
    /// The connection closes.
    Close,
}

/// A running issuer; it ends with the test.
pub struct Issuer {
    url: String,
    answer: Arc<Mutex<Answer>>,
    requests: Arc<AtomicUsize>,
}

impl Issuer {
    /// Over HTTP, with these keys.
    pub async fn start(keys: &[&Key]) -> Self {
        Self::start_on(keys, None).await
    }

    /// Over HTTPS, with a certificate of [`authority`].
    pub async fn start_tls(keys: &[&Key]) -> Self {
        let certificate = CertificateDer::from_pem_slice(include_bytes!("issuer.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_slice(include_bytes!("issuer.key")).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        Self::start_on(keys, Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn start_on(keys: &[&Key], tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}/keys?v=1", listener.local_addr().unwrap());
        let issuer = Self {
            url,
            answer: Arc::new(Mutex::new(Answer::Close)),
            requests: Arc::default(),
        };
        issuer.publish(keys);
        let (answer, requests) = (issuer.answer.clone(), issuer.requests.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                requests.fetch_add(1, Ordering::SeqCst);
                let (answer, tls) = (answer.lock().clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, answer).await,
                        // A client that doesn't trust it goes away.
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => serve(stream, answer).await,
                            Err(error) => Err(error),
                        },
                    }
                });
            }
        });
        issuer
    }

    pub fn publish(&self, keys: &[&Key]) {
        let keys: Vec<Value> = keys.iter().map(|key| key.jwk()).collect();
        self.answer(Answer::Keys(json!({ "keys": keys })));
    }

    pub fn answer(&self, answer: Answer) {
        *self.answer.lock() = answer;
    }

    /// Requests so far.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// What a server has to know to accept its tokens.
    pub fn variables(&self) -> Vec<(&str, &str)> {
        vec![
            ("EXTERNAL_TOKENS_JWKS_URL", &self.url),
            ("EXTERNAL_TOKENS_ISSUER", NAME),
            ("EXTERNAL_TOKENS_AUDIENCE", AUDIENCE),
        ]
    }
}

/// The file of the authority that the issuer's certificate is of.
pub fn authority() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/server/external_tokens/authority.pem")
}

async fn serve<S>(mut stream: S, answer: Answer) -> std::io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let is_right = request.starts_with(b"GET /keys?v=1 HTTP/1.1\r\n");
    let (status, body) = match answer {
        Answer::Keys(keys) if is_right => (200, keys.to_string()),
        Answer::Keys(_) => (404, String::new()),
        Answer::Status(status) => (status, String::new()),
        Answer::Endless => {
            let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
            stream.write_all(head.as_bytes()).await?;
            let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
            // Until the other side has had enough.
            loop {
                stream.write_all(chunk.as_bytes()).await?;
            }
        }
        Answer::Silence => {
            tokio::time::sleep(Duration::from_secs(3_600)).await;
            return Ok(());
        }
        Answer::Close => return Ok(()),
    };
    let head = format!(
        "HTTP/1.1 {status} -\r\nContent-Length: {}\r\nLocation: /keys?v=1\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}
