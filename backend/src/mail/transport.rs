//! How emails leave.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use circuit_breaker::Breaker;
use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor, message::Mailbox, transport::smtp,
};
use tokio::time::timeout;

use super::Email;
use crate::{config::MailConfig, private_file};

/// How long it may take until a connection is there, and for all of an email: the library bounds no single answer.
const CONNECT: Duration = Duration::from_secs(10);
const EMAIL: Duration = Duration::from_secs(30);

/// Files that are kept without SMTP; the oldest go.
const FILES: usize = 1_000;

/// Why an email didn't leave.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// The address isn't one that mail can be sent to.
    #[error("the address can't be written to")]
    Address,
    /// The server refuses the email for good.
    #[error("the server refuses it with {0}")]
    Refused(String),
    /// Later it may leave.
    #[error("the server can't be reached, or puts it off: {0}")]
    Later(String),
    /// The circuit is open after earlier failures.
    #[error("the server failed too often just now")]
    Open,
    /// The directory.
    #[error("the directory of mails can't be written: {0}")]
    Directory(#[from] io::Error),
}

impl MailError {
    /// True if trying again may succeed.
    pub fn is_temporary(&self) -> bool {
        !matches!(self, Self::Address | Self::Refused(_))
    }
}

enum Way {
    Smtp {
        transport: Box<AsyncSmtpTransport<Tokio1Executor>>,
        breaker: Arc<Breaker>,
    },
    Directory(PathBuf),
}

/// Sends emails.
pub struct Mail {
    from: Mailbox,
    way: Way,
    sent: AtomicU64,
    failed: AtomicU64,
}

impl Mail {
    /// By SMTP if the configuration names a server, whose circuit is `breaker`.
    pub fn new(config: &MailConfig, breaker: impl FnOnce() -> Arc<Breaker>) -> Self {
        let way = match &config.smtp {
            Some(smtp) => Way::Smtp {
                transport: Box::new(smtp.transport(CONNECT)),
                breaker: breaker(),
            },
            None => {
                let path = config.directory.display();
                tracing::info!(%path, "SMTP_URL isn't set: mails are written to files");
                Way::Directory(config.directory.clone())
            }
        };
        Self {
            from: config.from.clone(),
            way,
            sent: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }

    /// Emails that left, and attempts that failed.
    pub fn counts(&self) -> (u64, u64) {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (read(&self.sent), read(&self.failed))
    }

    /// Sends an email, of which a second copy has the same message id.
    ///
    /// # Errors
    /// If it didn't leave, or that isn't known.
    pub async fn send(&self, email: &Email, id: &str) -> Result<(), MailError> {
        let sent = self.transmit(email, id).await;
        let count = if sent.is_ok() {
            &self.sent
        } else {
            &self.failed
        };
        count.fetch_add(1, Ordering::Relaxed);
        sent
    }

    async fn transmit(&self, email: &Email, id: &str) -> Result<(), MailError> {
        let message = email.message(&self.from, id)?;
        match &self.way {
            Way::Smtp { transport, breaker } => {
                let permit = breaker.acquire().map_err(|_| MailError::Open)?;
                let late = || MailError::Later("no answer in time".to_owned());
                let sent = match timeout(EMAIL, transport.send(message)).await {
                    Ok(sent) => sent.map(drop).map_err(|error| mail_error(&error)),
                    Err(_) => Err(late()),
                };
                match &sent {
                    // It answered.
                    Ok(()) | Err(MailError::Refused(_)) => permit.succeeded(),
                    Err(_) => permit.failed(),
                }
                sent
            }
            Way::Directory(directory) => {
                let (directory, id) = (directory.clone(), id.to_owned());
                let writing = move || write(&directory, &id, &message);
                let written = tokio::task::spawn_blocking(writing).await;
                Ok(written.map_err(io::Error::other)??)
            }
        }
    }
}

/// Without the server's words, which may hold the address.
fn mail_error(error: &smtp::Error) -> MailError {
    match (error.is_permanent(), error.status()) {
        (true, Some(code)) => MailError::Refused(code.to_string()),
        (_, Some(code)) => MailError::Later(code.to_string()),
        (_, None) if error.is_timeout() => MailError::Later("no answer in time".to_owned()),
        (_, None) => MailError::Later("no connection, or it broke off".to_owned()),
    }
}

fn write(directory: &Path, id: &str, message: &Message) -> io::Result<()> {
    let name: String = id
        .chars()
        .map(|character| {
            if character.is_ascii_alphanumeric() {
                character
            } else {
                '-'
            }
        })
        .take(100)
        .collect();
    let files = files(directory)?;
    let end = format!("-{name}.eml");
    if files
        .iter()
        .any(|file| file.to_string_lossy().ends_with(&end))
    {
        // The same email again.
        return Ok(());
    }
    let at = protocol::Timestamp::now().unix_ms();
    private_file::put(directory, &format!("{at:014}{end}"), &message.formatted())?;
    let extra = (files.len() + 1).saturating_sub(FILES);
    for path in files.iter().take(extra) {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// The emails in a directory, the oldest first.
fn files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let entries = match fs::read_dir(directory) {
        // Until there is a first one.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(files),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "eml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
