//! What emails say, in each language. A text and a page say the same.

use protocol::Language::{self, En, Es};

use super::Email;
use crate::html::escaped;

/// Notifications that a digest names; the others are counted.
pub const NAMED: usize = 10;

/// The parts of an email.
struct Parts {
    subject: String,
    greeting: String,
    paragraphs: Vec<String>,
    /// Its words and where it leads.
    button: (String, String),
    footer: String,
}

/// Something that was missed.
pub struct Missed {
    /// Who and where.
    pub title: String,
    /// The beginning of what was written.
    pub body: String,
}

/// What somebody has missed.
pub struct Digest {
    /// The first ones.
    pub missed: Vec<Missed>,
    /// How many there are in all.
    pub count: usize,
}

/// Asks whether an address is the user's. It may go to a stranger, so it holds nothing that its sender has written freely.
pub(super) fn verification(language: Language, to: &str, username: &str, link: String) -> Email {
    let parts = match language {
        En => Parts {
            subject: "Confirm your e-mail address".to_owned(),
            greeting: format!("Hello {username},"),
            paragraphs: vec![
                "please confirm that this is your e-mail address. The link is valid for three days.".to_owned(),
            ],
            button: ("Confirm the address".to_owned(), link),
            footer: "If you haven't given this address to Tertulia, ignore this email.".to_owned(),
        },
        Es => Parts {
            subject: "Confirma tu dirección de correo".to_owned(),
            greeting: format!("Hola, {username}:"),
            paragraphs: vec![
                "confirma que esta es tu dirección de correo. El enlace vale durante tres días.".to_owned(),
            ],
            button: ("Confirmar la dirección".to_owned(), link),
            footer: "Si no has dado esta dirección a Tertulia, no hagas caso de esta carta.".to_owned(),
        },
    };
    message(language, to, username, parts, None)
}

/// Tells who had an address that it isn't their account's any more.
pub(super) fn address_changed(language: Language, to: &str, username: &str, home: &str) -> Email {
    let parts = match language {
        En => Parts {
            subject: "The address of your account was changed".to_owned(),
            greeting: format!("Hello {username},"),
            paragraphs: vec![
                format!(
                    "this isn't the e-mail address of your account {username} any more: somebody who knows your password has changed or removed it."
                ),
                "If that wasn't you, change your password now, and ask the people who run this server for help.".to_owned(),
            ],
            button: ("Open Tertulia".to_owned(), home.to_owned()),
            footer: "This address gets no more emails about the account.".to_owned(),
        },
        Es => Parts {
            subject: "La dirección de tu cuenta ha cambiado".to_owned(),
            greeting: format!("Hola, {username}:"),
            paragraphs: vec![
                format!(
                    "esta ya no es la dirección de correo de tu cuenta {username}: alguien que conoce tu contraseña la ha cambiado o quitado."
                ),
                "Si no has sido tú, cambia ahora tu contraseña y pide ayuda a quienes llevan este servidor.".to_owned(),
            ],
            button: ("Abrir Tertulia".to_owned(), home.to_owned()),
            footer: "A esta dirección no llegarán más cartas sobre la cuenta.".to_owned(),
        },
    };
    message(language, to, username, parts, None)
}

/// Leads to where a password is chosen anew.
pub(super) fn reset(
    language: Language,
    to: &str,
    name: &str,
    username: &str,
    link: String,
) -> Email {
    let parts = match language {
        En => Parts {
            subject: "Choose a new password".to_owned(),
            greeting: format!("Hello {name},"),
            paragraphs: vec![
                format!(
                    "somebody has asked for a new password for your account {username}. The link is valid for an hour and can be used once."
                ),
                "Your present password stays as it is unless you choose another one.".to_owned(),
            ],
            button: ("Choose a new password".to_owned(), link),
            footer: "If that wasn't you, ignore this email.".to_owned(),
        },
        Es => Parts {
            subject: "Elige una contraseña nueva".to_owned(),
            greeting: format!("Hola, {name}:"),
            paragraphs: vec![
                format!(
                    "alguien ha pedido una contraseña nueva para tu cuenta {username}. El enlace vale durante una hora y se puede usar una vez."
                ),
                "Tu contraseña actual sigue siendo válida si no eliges otra.".to_owned(),
            ],
            button: ("Elegir una contraseña nueva".to_owned(), link),
            footer: "Si no has sido tú, no hagas caso de esta carta.".to_owned(),
        },
    };
    message(language, to, name, parts, None)
}

/// Tells what somebody has missed.
pub fn digest(
    language: Language,
    to: &str,
    name: &str,
    digest: &Digest,
    home: &str,
    unsubscribe: String,
) -> Email {
    let count = digest.count;
    let mut paragraphs: Vec<String> = digest
        .missed
        .iter()
        .take(NAMED)
        .map(|missed| match missed.body.is_empty() {
            true => missed.title.clone(),
            false => format!("{}: {}", missed.title, missed.body),
        })
        .collect();
    let more = count.saturating_sub(paragraphs.len());
    let parts = match language {
        En => {
            if more > 0 {
                paragraphs.push(format!("… and {more} more."));
            }
            Parts {
                subject: match count {
                    1 => "You have an unread notification".to_owned(),
                    _ => format!("You have {count} unread notifications"),
                },
                greeting: format!("Hello {name}, this is what you missed:"),
                paragraphs,
                button: ("Open Tertulia".to_owned(), home.to_owned()),
                footer: "You get this because you were away. To get no more such emails:"
                    .to_owned(),
            }
        }
        Es => {
            if more > 0 {
                paragraphs.push(format!("… y {more} más."));
            }
            Parts {
                subject: match count {
                    1 => "Tienes un aviso sin leer".to_owned(),
                    _ => format!("Tienes {count} avisos sin leer"),
                },
                greeting: format!("Hola, {name}, esto es lo que te has perdido:"),
                paragraphs,
                button: ("Abrir Tertulia".to_owned(), home.to_owned()),
                footer: "Recibes esta carta porque no estabas. Para no recibir más cartas así:"
                    .to_owned(),
            }
        }
    };
    message(language, to, name, parts, Some(unsubscribe))
}

fn message(
    language: Language,
    to: &str,
    name: &str,
    parts: Parts,
    unsubscribe: Option<String>,
) -> Email {
    let Parts {
        subject,
        greeting,
        paragraphs,
        button: (words, link),
        footer,
    } = parts;
    let end = unsubscribe.clone().unwrap_or_default();
    let mut text = format!("{greeting}\n\n");
    let mut html = String::new();
    for paragraph in &paragraphs {
        text.push_str(&format!("{paragraph}\n\n"));
        html.push_str(&format!("<p>{}</p>", escaped(paragraph)));
    }
    text.push_str(&format!("{words}: {link}\n\n-- \n{footer}\n{end}\n"));
    let end = match end.is_empty() {
        true => String::new(),
        false => format!(" <a href=\"{0}\">{0}</a>", escaped(&end)),
    };
    let html = format!(
        "<!doctype html><html lang=\"{}\"><head><meta charset=\"utf-8\"><title>{}</title></head>\
         <body style=\"font-family: sans-serif; max-width: 36em; margin: 2em auto; color: #222\">\
         <p>{}</p>{html}<p><a href=\"{}\" style=\"display: inline-block; padding: .6em 1.2em; background: #2456c8; \
         color: #fff; text-decoration: none; border-radius: .3em\">{}</a></p>\
         <p style=\"color: #666; font-size: .85em\">{}{end}</p></body></html>\n",
        language.code(),
        escaped(&subject),
        escaped(&greeting),
        escaped(&link),
        escaped(&words),
        escaped(&footer),
    );
    Email {
        to: to.to_owned(),
        name: name.to_owned(),
        subject,
        text,
        html,
        language,
        unsubscribe,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_names_some_and_counts_the_others() {
        let missed = (0..12)
            .map(|n| Missed {
                title: format!("ana · room {n}"),
                body: "<b>hello</b>".to_owned(),
            })
            .collect();
        let what = Digest { missed, count: 40 };
        for (language, words) in [(En, "… and 30 more."), (Es, "… y 30 más.")] {
            let message = digest(
                language,
                "bea@example.org",
                "Bea",
                &what,
                "https://chat.example.org",
                "https://chat.example.org/u?token=t".to_owned(),
            );
            assert!(message.subject.contains("40"));
            assert!(message.text.contains("ana · room 9: <b>hello</b>"));
            assert!(!message.text.contains("room 10") && message.text.contains(words));
            assert!(message.html.contains("&lt;b&gt;hello") && !message.html.contains("<b>"));
            assert!(message.text.contains("u?token=t"));
        }
    }
}
