//! Mail: the server that takes it, who it is from, and where its links lead.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use lettre::{AsyncSmtpTransport, Tokio1Executor, message::Mailbox};
use protocol::Secret;
use url::Url;

use super::reader::Reader;

/// Mail's settings.
#[derive(Debug, Clone)]
pub struct MailConfig {
    /// `SMTP_URL`: without it letters are written to files.
    pub smtp: Option<SmtpConfig>,
    /// `MAIL_FROM`.
    pub from: Mailbox,
    /// Where letters are written without a server.
    pub directory: PathBuf,
    /// `PUBLIC_URL`: the address of this server for people.
    pub public_url: Url,
}

/// A server that takes mail.
#[derive(Debug, Clone)]
pub struct SmtpConfig {
    url: Secret,
}

impl SmtpConfig {
    fn new(url: &str) -> Option<Self> {
        let url = Secret::from(url);
        let host = Url::parse(url.expose()).ok()?;
        host.host_str().filter(|host| !host.is_empty())?;
        AsyncSmtpTransport::<Tokio1Executor>::from_url(url.expose()).ok()?;
        Some(Self { url })
    }

    /// A connection for each letter.
    pub fn transport(&self, patience: Duration) -> AsyncSmtpTransport<Tokio1Executor> {
        let builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(self.url.expose());
        let builder = builder.unwrap_or_else(|_| {
            // What was read once can be read again.
            AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous("localhost")
        });
        builder.timeout(Some(patience)).build()
    }
}

impl Reader<'_> {
    pub(super) fn mail(&mut self, data_dir: &Path, port: u16) -> MailConfig {
        let smtp = self.text("SMTP_URL").and_then(|url| {
            let smtp = SmtpConfig::new(&url);
            if smtp.is_none() {
                let expected =
                    "smtps://[user:password@]host[:port], or smtp://… with ?tls=required";
                let () = self.wrong("SMTP_URL", expected);
            }
            smtp
        });
        if smtp.is_some() && self.text("MAIL_FROM").is_none() {
            let () = self.wrong("MAIL_FROM", "an address, since SMTP_URL is set");
        }
        let from = self.text("MAIL_FROM");
        let from = from.unwrap_or_else(|| "Tertulia <tertulia@localhost>".to_owned());
        let mailbox = from.parse().unwrap_or_else(|_| {
            let () = self.wrong("MAIL_FROM", "an address such as Chat <chat@example.org>");
            placeholder()
        });
        MailConfig {
            smtp,
            from: mailbox,
            directory: data_dir.join("mail"),
            public_url: self.public_url(port),
        }
    }

    fn public_url(&mut self, port: u16) -> Url {
        let given = self.text("PUBLIC_URL");
        let text = given.unwrap_or_else(|| format!("http://localhost:{port}"));
        let url: Option<Url> = text.parse().ok().filter(|url: &Url| {
            ["http", "https"].contains(&url.scheme())
                && url.host_str().is_some()
                && url.query().is_none()
                && url.fragment().is_none()
                && url.username().is_empty()
        });
        url.unwrap_or_else(|| {
            let () = self.wrong("PUBLIC_URL", "an address such as https://chat.example.org");
            #[expect(clippy::expect_used, reason = "a constant")]
            let url = "http://localhost".parse().expect("an address");
            url
        })
    }
}

#[expect(clippy::expect_used, reason = "a constant")]
fn placeholder() -> Mailbox {
    "tertulia@localhost".parse().expect("an address")
}
