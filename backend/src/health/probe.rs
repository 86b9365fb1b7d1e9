//! Asking a server from outside whether it is ready.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// More than the status line.
const ANSWER: usize = 64;

/// Asks `/health/ready`.
///
/// # Errors
/// If nobody answers, or with anything but 200.
pub async fn ask(server: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect(server).await?;
    let request = "GET /health/ready HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER as u64).read_to_end(&mut answer).await?;
    if answer.starts_with(b"HTTP/1.1 200 ") {
        Ok(())
    } else {
        let line = answer.split(|b| *b == b'\r').next().unwrap_or_default();
        Err(io::Error::other(String::from_utf8_lossy(line).into_owned()))
    }
}
