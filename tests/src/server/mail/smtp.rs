//! A server that takes mail, for one test: as much of SMTP as a client needs.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

pub struct Server {
    pub address: SocketAddr,
    refusals: Arc<Mutex<Vec<String>>>,
    emails: tokio::sync::Mutex<mpsc::UnboundedReceiver<String>>,
}

impl Server {
    /// One that answers the first emails with these refusals.
    pub async fn start(refusals: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let refusals: Vec<String> = refusals.iter().rev().map(|it| (*it).to_owned()).collect();
        let refusals = Arc::new(Mutex::new(refusals));
        let (taken, emails) = mpsc::unbounded_channel();
        let known = refusals.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (refusals, taken) = (refusals.clone(), taken.clone());
                tokio::spawn(async move { serve(stream, &refusals, &taken).await });
            }
        });
        Self {
            address,
            refusals: known,
            emails: emails.into(),
        }
    }

    /// Answers the next emails so, and keeps none of them.
    pub fn refuse(&self, refusals: &[&str]) {
        let refusals = refusals.iter().rev().map(|it| (*it).to_owned());
        self.refusals.lock().unwrap().extend(refusals);
    }

    /// Waits until it has answered so many.
    pub async fn has_refused(&self) {
        while !self.refusals.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The next email.
    pub async fn message(&self) -> String {
        self.emails.lock().await.recv().await.unwrap()
    }
}

async fn serve(
    stream: TcpStream,
    refusals: &Mutex<Vec<String>>,
    taken: &mpsc::UnboundedSender<String>,
) -> Option<()> {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 test\r\n").await.ok()?;
    let mut line = String::new();
    loop {
        line.clear();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let command = line.trim().to_ascii_uppercase();
        let answer = match command.split([' ', ':']).next().unwrap_or_default() {
            "EHLO" => "250-test\r\n250 8BITMIME".to_owned(),
            "QUIT" => {
                stream.write_all(b"221 bye\r\n").await.ok()?;
                return Some(());
            }
            "DATA" => {
                stream.write_all(b"354 go on\r\n").await.ok()?;
                let message = data(&mut stream).await?;
                let refusal = refusals.lock().unwrap().pop();
                match refusal {
                    Some(refusal) => refusal,
                    None => {
                        taken.send(message).ok()?;
                        "250 taken".to_owned()
                    }
                }
            }
            _ => "250 fine".to_owned(),
        };
        stream
            .write_all(format!("{answer}\r\n").as_bytes())
            .await
            .ok()?;
    }
}

async fn data(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut message = String::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        if line == ".\r\n" {
            return Some(message);
        }
        message.push_str(line.strip_prefix('.').unwrap_or(&line));
    }
}
