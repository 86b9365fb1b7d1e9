//! An email, and the message that it becomes.

use std::time::SystemTime;

use lettre::{
    Address, Message,
    message::{
        Mailbox, MultiPart,
        header::{HeaderName, HeaderValue},
    },
};
use protocol::Language;

use super::MailError;

/// Characters of a line of the head.
const LINE_MAX: usize = 2_048;

/// What is written to somebody.
pub struct Email {
    /// The address.
    pub to: String,
    /// The name of who it is to.
    pub name: String,
    /// The subject.
    pub subject: String,
    /// As plain text.
    pub text: String,
    /// As a page.
    pub html: String,
    /// The language of both.
    pub language: Language,
    /// Where one click ends such emails; none for what the user has asked for.
    pub unsubscribe: Option<String>,
}

impl Email {
    /// The message; the same `id` gives the same message id, by which a second copy is recognised.
    ///
    /// # Errors
    /// If the address isn't one that mail can be sent to.
    pub(super) fn message(&self, from: &Mailbox, id: &str) -> Result<Message, MailError> {
        let address: Address = self.to.parse().map_err(|_| MailError::Address)?;
        let host = from.email.domain();
        let mut builder = Message::builder()
            .from(from.clone())
            .to(Mailbox::new(Some(line(&self.name)), address))
            .subject(line(&self.subject))
            .date(SystemTime::now())
            .message_id(Some(format!("<{id}@{host}>")))
            .raw_header(raw("Auto-Submitted", "auto-generated"))
            .raw_header(raw("Content-Language", self.language.code()));
        if let Some(url) = &self.unsubscribe {
            builder = builder
                .raw_header(raw("List-Unsubscribe", &format!("<{url}>")))
                .raw_header(raw("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"));
        }
        let parts = MultiPart::alternative_plain_html(self.text.clone(), self.html.clone());
        builder.multipart(parts).map_err(|_| MailError::Address)
    }
}

fn raw(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), line(value))
}

/// One line, whatever was given: a line break would begin another header.
fn line(text: &str) -> String {
    let plain = text.chars().map(|character| match character.is_control() {
        true => ' ',
        false => character,
    });
    let is_break = |character: &char| matches!(character, '\u{2028}' | '\u{2029}');
    plain.filter(|it| !is_break(it)).take(LINE_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn email() -> Email {
        Email {
            to: "bea@example.org".to_owned(),
            name: "Bea".to_owned(),
            subject: "Hello".to_owned(),
            text: "plain".to_owned(),
            html: "<p>page</p>".to_owned(),
            language: Language::Es,
            unsubscribe: Some("https://chat.example.org/u?token=abc".to_owned()),
        }
    }

    fn head(email: &Email) -> String {
        let from = "Tertulia <chat@example.org>".parse().unwrap();
        let message = email.message(&from, "m-1").unwrap().formatted();
        let text = String::from_utf8(message).unwrap();
        text.split("\r\n\r\n").next().unwrap().to_owned()
    }

    #[test]
    fn an_email_says_who_it_is_from_and_how_to_end_it() {
        let head = head(&email());
        for line in [
            "From: \"Tertulia\" <chat@example.org>",
            "To: \"Bea\" <bea@example.org>",
            "Subject: Hello",
            "Message-ID: <m-1@example.org>",
            "Auto-Submitted: auto-generated",
            "List-Unsubscribe: <https://chat.example.org/u?token=abc>",
            "List-Unsubscribe-Post: List-Unsubscribe=One-Click",
            "Content-Language: es",
        ] {
            let plain = line.replace('"', "");
            assert!(head.replace('"', "").contains(&plain), "{line}\n{head}");
        }
        assert!(head.contains("multipart/alternative"));
    }

    #[test]
    fn nothing_that_people_write_becomes_a_header() {
        let forged = "x\r\nBcc: eve@example.org\r\n\r\nforged";
        let mut email = email();
        forged.clone_into(&mut email.subject);
        forged.clone_into(&mut email.name);
        let head = head(&email);
        assert!(!head.to_lowercase().contains("\nbcc"), "{head}");
        for address in [
            "bea@example.org\r\nBcc: eve@example.org",
            "bea@example.org, eve@example.org",
            "bea",
            "",
        ] {
            address.clone_into(&mut email.to);
            let from = "chat@example.org".parse().unwrap();
            assert!(email.message(&from, "m").is_err(), "{address}");
        }
    }
}
