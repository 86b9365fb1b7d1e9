//! Mentions in a message: the members whom its sender gives by their ids, and those whose usernames are in its text after
//! an `@`. A client knows only some members of a large room; the store knows them all.

use protocol::{SendMessage, UserId, limits::MENTIONS_MAX};
use storage::{MessageStore, StoreError};

/// Letters of a username (see `protocol::bounds`).
const NAME_MIN: usize = 3;
const NAME_MAX: usize = 32;

/// True if the room's members have to be read to decide a message's mentions.
pub fn has_any(message: &SendMessage) -> bool {
    !message.mentions.is_empty() || message.body.contains('@')
}

/// Sets a message's mentions to the mentioned members of the room: those given first, then those in the text. Users who
/// aren't members can't be mentioned.
///
/// # Errors
/// Those of the store. In a room that doesn't exist nobody is mentioned; sending reports the rest.
pub async fn decide(store: &MessageStore, message: &mut SendMessage) -> Result<(), StoreError> {
    let given = std::mem::take(&mut message.mentions);
    let names = names_in(&message.body);
    if given.is_empty() && names.is_empty() {
        return Ok(());
    }
    let members = match store.members_among(&message.room_id, &given, &names).await {
        Err(StoreError::NotFound) => return Ok(()),
        members => members?,
    };
    let by_id = given
        .iter()
        .filter_map(|id| members.iter().find(|member| member.user.id == *id));
    let by_name = names.iter().filter_map(|name| {
        members
            .iter()
            .find(|member| member.user.username.eq_ignore_ascii_case(name))
    });
    let mut mentioned: Vec<UserId> = Vec::new();
    for member in by_id.chain(by_name) {
        if mentioned.len() < MENTIONS_MAX && !mentioned.contains(&member.user.id) {
            mentioned.push(member.user.id.clone());
        }
    }
    message.mentions = mentioned;
    Ok(())
}

/// The usernames that a text mentions, each once, in lower case: after an `@` that isn't part of a word, and neither in
/// code nor in a URL. At most [`MENTIONS_MAX`].
fn names_in(body: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let mut rest = body;
    let mut before = None;
    while let Some(next) = rest.chars().next() {
        if names.len() == MENTIONS_MAX {
            break;
        }
        let mut length = next.len_utf8();
        if next == '`' {
            length = code(rest).unwrap_or(length);
        } else if let Some(address) = address(rest) {
            length = address;
        } else if next == '@' && !before.is_some_and(joins_words) {
            let name = name(&rest[1..]);
            length += name.len();
            let name = name.trim_end_matches(['.', '-']);
            if name.len() >= NAME_MIN {
                let name = name.to_ascii_lowercase();
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        before = rest[..length].chars().next_back();
        rest = &rest[length..];
    }
    names
}

fn joins_words(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_' || letter == '@'
}

/// The letters of a username at the beginning of a text, as many as one may have.
fn name(text: &str) -> &str {
    let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    let length = text
        .bytes()
        .take(NAME_MAX)
        .take_while(|byte| is_of_name(*byte))
        .count();
    &text[..length]
}

/// The length of the code that begins here, if it ends: a block, or a part of a line.
fn code(text: &str) -> Option<usize> {
    const FENCE: &str = "```";
    if let Some(inner) = text.strip_prefix(FENCE) {
        return inner.find(FENCE).map(|end| end + 2 * FENCE.len());
    }
    let end = text[1..].find(['`', '\n'])? + 1;
    (end > 1 && text[end..].starts_with('`')).then_some(end + 1)
}

/// The length of the address that begins here.
fn address(text: &str) -> Option<usize> {
    let is_one = ["https://", "http://", "mailto:"]
        .iter()
        .any(|scheme| text.starts_with(scheme));
    let ends = |letter: char| letter.is_whitespace() || "<>\"'`".contains(letter);
    is_one.then(|| text.find(ends).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_behind_an_at_sign() {
        for (body, expected) in [
            ("@ana, look: @Bruno.", vec!["ana", "bruno"]),
            ("@ana @ANA", vec!["ana"]),
            ("(@a.b_c-d)", vec!["a.b_c-d"]),
            ("¿@ana? ñ@eve", vec!["ana", "eve"]),
            ("@an ana@example.org @@ana _@ana", vec![]),
            ("`@ana` and `@eve", vec!["eve"]),
            ("```\n@ana\n``` @bob ```\n@eve", vec!["bob", "eve"]),
            (
                "https://example.org/@ana mailto:@bob <https://x.y/>@eve",
                vec!["eve"],
            ),
            ("@", vec![]),
            ("👋@ana", vec!["ana"]),
        ] {
            assert_eq!(names_in(body), expected, "{body}");
        }
        let long = format!("@{}", "x".repeat(40));
        assert_eq!(names_in(&long), ["x".repeat(32)]);
        let many: String = (100..200).map(|n| format!("@user{n} ")).collect();
        assert_eq!(names_in(&many).len(), MENTIONS_MAX);
    }
}
