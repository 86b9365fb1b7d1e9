//! Asking a server from outside whether it is ready.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// More than the status line.
const ANSWER: usize = 64;

/// Where a server on this machine is asked that listens on `host`.
///
/// # Errors
/// If the port is any free one, which only the server knows.
pub fn address(host: IpAddr, port: u16) -> io::Result<SocketAddr> {
    if port == 0 {
        let why = "PORT is 0: which port the server has isn't known";
        return Err(io::Error::other(why));
    }
    let host = match host {
        IpAddr::V4(all) if all.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(all) if all.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        host => host,
    };
    Ok(SocketAddr::new(host, port))
}

/// Asks `/health/ready`, for at most `patience`.
///
/// # Errors
/// If nobody answers, too late, or with anything but 200.
pub async fn ask(server: SocketAddr, patience: Duration) -> io::Result<()> {
    let late = |_| io::Error::other(format!("no answer in {patience:?}"));
    timeout(patience, ask_once(server)).await.map_err(late)?
}

async fn ask_once(server: SocketAddr) -> io::Result<()> {
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

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn a_server_on_all_addresses_is_asked_on_this_machine() {
        let asked = |host: &str, port| {
            let address = address(host.parse().unwrap(), port);
            address.map(|address| address.to_string()).ok()
        };
        assert_eq!(asked("0.0.0.0", 4000).unwrap(), "127.0.0.1:4000");
        assert_eq!(asked("::", 4000).unwrap(), "[::1]:4000");
        assert_eq!(asked("192.0.2.1", 80).unwrap(), "192.0.2.1:80");
        assert_eq!(asked("127.0.0.1", 0), None);
    }

    #[tokio::test]
    async fn only_a_server_that_is_ready_is() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = listener.local_addr().unwrap();
        let answers = tokio::spawn(async move {
            let mut open = Vec::new();
            for answer in [
                "HTTP/1.1 200 OK\r\n\r\n",
                "HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\n\r\n",
                "SSH-2.0-server\r\n",
                "",
            ] {
                let (mut stream, _) = listener.accept().await.unwrap();
                // Closed with something unread, the connection would be reset.
                let mut request = [0; 256];
                assert!(stream.read(&mut request).await.unwrap() > 0);
                stream.write_all(answer.as_bytes()).await.unwrap();
                if answer.is_empty() {
                    // It hangs.
                    open.push(stream);
                }
            }
            std::future::pending::<()>().await;
        });
        let patience = Duration::from_secs(10);
        ask(server, patience).await.unwrap();
        for expected in ["HTTP/1.1 503 Service Unavailable", "SSH-2.0-server"] {
            let refused = ask(server, patience).await.unwrap_err().to_string();
            assert_eq!(refused, expected);
        }
        let refused = ask(server, Duration::from_millis(50)).await.unwrap_err();
        assert_eq!(refused.to_string(), "no answer in 50ms");
        answers.abort();
    }
}
