//! Mail: the server that takes it, who it is from, and where its links lead.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use lettre::{
    AsyncSmtpTransport, Tokio1Executor,
    message::Mailbox,
    transport::smtp::{
        AsyncSmtpTransportBuilder,
        client::{Certificate, Tls, TlsParameters},
    },
};
use protocol::Secret;
use url::Url;

use super::reader::Reader;

/// Mail's settings.
#[derive(Debug, Clone)]
pub struct MailConfig {
    /// `SMTP_URL`: without it emails are written to files.
    pub smtp: Option<SmtpConfig>,
    /// `MAIL_FROM`.
    pub from: Mailbox,
    /// Where emails are written without a server.
    pub directory: PathBuf,
    /// `PUBLIC_URL`: the address of this server for people.
    pub public_url: Url,
}

/// A server that takes mail.
#[derive(Debug, Clone)]
pub struct SmtpConfig {
    url: Secret,
    /// Of `TLS_CA_FILE`: authorities that are trusted beside the system's, in PEM.
    authorities: Option<Vec<u8>>,
}

impl SmtpConfig {
    fn new(url: &str, authorities: Option<Vec<u8>>) -> Option<Self> {
        let smtp = Self {
            url: Secret::from(url),
            authorities,
        };
        smtp.builder()?;
        Some(smtp)
    }

    /// A connection for each email.
    pub fn transport(&self, patience: Duration) -> AsyncSmtpTransport<Tokio1Executor> {
        let builder = self.builder().unwrap_or_else(|| {
            // What was read once can be read again.
            AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous("localhost")
        });
        builder.timeout(Some(patience)).build()
    }

    fn builder(&self) -> Option<AsyncSmtpTransportBuilder> {
        let url = Url::parse(self.url.expose()).ok()?;
        let host = url.host_str().filter(|host| !host.is_empty())?;
        let builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(self.url.expose()).ok()?;
        let Some(pem) = &self.authorities else {
            return Some(builder);
        };
        let wanted = url.query_pairs().find(|(name, _)| name == "tls");
        let wanted = wanted.map(|(_, value)| value);
        let tls = |make: fn(TlsParameters) -> Tls| {
            let trusted = Certificate::from_pem(pem).ok()?;
            let parameters = TlsParameters::builder(host.to_owned()).add_root_certificate(trusted);
            Some(make(parameters.build().ok()?))
        };
        let tls = match (url.scheme(), wanted.as_deref()) {
            ("smtps", _) => tls(Tls::Wrapper)?,
            (_, Some("required")) => tls(Tls::Required)?,
            (_, Some("opportunistic")) => tls(Tls::Opportunistic)?,
            _ => return Some(builder),
        };
        Some(builder.tls(tls))
    }
}

impl Reader<'_> {
    pub(super) fn mail(
        &mut self,
        data_dir: &Path,
        port: u16,
        tls_ca_file: Option<&Path>,
    ) -> MailConfig {
        let smtp = self.text("SMTP_URL").and_then(|url| {
            // One that can't be read is a mistake that was noted.
            let authorities = tls_ca_file.and_then(|file| std::fs::read(file).ok());
            let smtp = SmtpConfig::new(&url, authorities);
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
        if smtp.is_some() && self.text("PUBLIC_URL").is_none() {
            let expected = "where links in emails lead, since SMTP_URL is set";
            let () = self.wrong("PUBLIC_URL", expected);
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

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn a_server_that_takes_mail_needs_a_sender_and_where_links_lead() {
        let read = |variables: &[(&str, &str)]| {
            let lookup = |name: &str| {
                let found = variables.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| (*value).to_owned())
            };
            Config::read(lookup).map_err(|errors| errors.to_string())
        };
        let smtp = ("SMTP_URL", "smtps://mail.example.org");
        let from = ("MAIL_FROM", "chat@example.org");
        let public = ("PUBLIC_URL", "https://chat.example.org");
        assert!(read(&[]).unwrap().mail.smtp.is_none());
        assert!(read(&[smtp, from, public]).unwrap().mail.smtp.is_some());
        for (given, missing) in [([smtp, from], "PUBLIC_URL"), ([smtp, public], "MAIL_FROM")] {
            let errors = read(&given).unwrap_err();
            assert!(errors.contains(&format!("{missing}: ")), "{errors}");
        }
    }
}
