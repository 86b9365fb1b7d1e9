//! Checks of fields. Each error says what is expected, in agreement with the generated documents, and
//! never repeats the value.

use serde::{Deserialize, Deserializer};

use crate::limits::{
    AVATAR_URL_MAX, CLIENT_ID_MAX, CONTENT_TYPE_MAX, DISPLAY_NAME_MAX, EMAIL_MAX, EMOJI_MAX,
    FILE_NAME_MAX, MESSAGE_BODY_MAX, PAGE_NUMBER_MAX, PASSWORD_MAX, PASSWORD_MIN, ROOM_NAME_MAX,
    SEARCH_QUERY_MAX, SEQ_MAX, USERNAME_MAX, USERNAME_MIN,
};
use crate::request::Invalid;
use crate::secret::Secret;

/// The characters of a username: ASCII, so that no two look alike.
pub(crate) const USERNAME_PATTERN: &str = "^[A-Za-z0-9_.-]+$";

/// White space, as the inside of a character class: what trimming removes.
macro_rules! space {
    () => {
        r"\t-\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
    };
}

/// Control characters and line separators, likewise.
macro_rules! control {
    () => {
        r"\u0000-\u001f\u007f-\u009f\u2028\u2029"
    };
}

/// Characters that change the direction of the surrounding text, likewise. Balanced isolates are refused as well.
macro_rules! turning {
    () => {
        r"\u202a-\u202e\u2066-\u2069"
    };
}

/// Invisible characters, likewise. Those beyond the basic plane are literal, as the dialects escape them differently.
macro_rules! invisible {
    () => {
        concat!(
            r"\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f",
            r"\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8",
            "\u{1bca0}-\u{1bca3}\u{1d173}-\u{1d17a}\u{e0000}-\u{e0fff}"
        )
    };
}

/// Patterns equivalent to the checks, for text as it is sent: surrounding white space is allowed where it is trimmed. In the
/// syntax that the dialects of JavaScript, Python and Rust share.
macro_rules! trimmed_pattern {
    ($($inside:expr),*) => { concat!("^[", space!(), "]*", $($inside,)* "[", space!(), "]*$") };
}

/// One line.
pub(crate) const LINE_PATTERN: &str = concat!("^[^", control!(), "]+$");

/// One line, trimmed.
pub(crate) const TRIMMED_PATTERN: &str = trimmed_pattern!(
    "[^",
    control!(),
    space!(),
    "](?:[^",
    control!(),
    "]*[^",
    control!(),
    space!(),
    "])?"
);

/// A name: at least one visible character.
pub(crate) const NAME_PATTERN: &str = trimmed_pattern!(
    "[^",
    control!(),
    turning!(),
    "]*",
    r"[\p{L}\p{N}\p{P}\p{S}]",
    "[^",
    control!(),
    turning!(),
    "]*"
);

/// An e-mail address.
pub(crate) const EMAIL_PATTERN: &str = trimmed_pattern!(
    "[^",
    control!(),
    space!(),
    invisible!(),
    "]+@[^@",
    control!(),
    space!(),
    invisible!(),
    "]+"
);

/// A URL of a web page.
pub(crate) const URL_PATTERN: &str = trimmed_pattern!("https?://[^", control!(), space!(), "]+");

/// A message.
pub(crate) const BODY_PATTERN: &str =
    concat!("^[", space!(), "]*[^", r"\u0000", space!(), r"][^\u0000]*$");

/// A media type, without parameters.
pub(crate) const CONTENT_TYPE_PATTERN: &str = "^[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+$";

/// The type of an image that is taken.
pub(crate) const IMAGE_TYPE_PATTERN: &str = "^image/(jpeg|png|gif|webp)$";

/// The text of a message that may have none, since something is attached.
pub(crate) const OPTIONAL_BODY_PATTERN: &str = concat!("^[^", r"\u0000", "]*$");

/// A reaction.
pub(crate) const EMOJI_PATTERN: &str = concat!("^[^", control!(), space!(), "]+$");

/// The value of a header; surrounding white space is ignored.
pub(crate) const HEADER_PATTERN: &str = "^[!-~](?:[ -~]*[!-~])?$";

type Checked = Result<(), Invalid>;

pub(crate) fn characters(field: &str, text: &str, min: usize, max: usize) -> Checked {
    if (min..=max).contains(&text.chars().count()) {
        Ok(())
    } else {
        Err(Invalid::new(
            field,
            format!("expected {min} to {max} characters"),
        ))
    }
}

/// One line of text, already trimmed.
fn line(field: &str, text: &str, max: usize) -> Checked {
    characters(field, text, 1, max)?;
    let breaks = |letter: char| letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}');
    if text.chars().any(breaks) {
        return Err(Invalid::new(field, "expected no control characters"));
    }
    Ok(())
}

/// One line that is shown beside other text, which it must not affect.
fn name(field: &str, text: &str, max: usize) -> Checked {
    line(field, text, max)?;
    let fault = if !text::has_visible(text) {
        "expected a visible character".to_owned()
    } else if text::turns_direction(text) {
        "expected no unclosed or overriding bidirectional control characters".to_owned()
    } else if text::piles_marks(text) {
        format!(
            "expected at most {} combining marks on a character",
            text::MARKS_MAX
        )
    } else {
        return Ok(());
    };
    Err(Invalid::new(field, fault))
}

pub(crate) fn username(field: &str, text: &str) -> Checked {
    characters(field, text, USERNAME_MIN, USERNAME_MAX)?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if text.bytes().all(allowed) {
        Ok(())
    } else {
        Err(Invalid::new(
            field,
            "expected letters a to z, digits, `_`, `.` and `-` only",
        ))
    }
}

pub(crate) fn password(field: &str, password: &Secret) -> Checked {
    // As it is hashed.
    let password = text::opaque(password.expose());
    characters(field, &password, PASSWORD_MIN, PASSWORD_MAX)
}

pub(crate) fn display_name(field: &str, text: &str) -> Checked {
    name(field, text, DISPLAY_NAME_MAX)
}

pub(crate) fn room_name(field: &str, text: &str) -> Checked {
    name(field, text, ROOM_NAME_MAX)
}

pub(crate) fn query(field: &str, text: &str) -> Checked {
    line(field, text, SEARCH_QUERY_MAX)
}

pub(crate) fn client_id(field: &str, text: &str) -> Checked {
    line(field, text, CLIENT_ID_MAX)
}

/// Enough to catch a slip of the hand; only a letter to it can prove an address.
pub(crate) fn email(field: &str, text: &str) -> Checked {
    line(field, text, EMAIL_MAX)?;
    let parts = text.rsplit_once('@');
    if parts.is_none_or(|(local, domain)| local.is_empty() || domain.is_empty())
        || text.chars().any(char::is_whitespace)
        || !text::visible_only(text)
    {
        return Err(Invalid::new(field, "expected an e-mail address"));
    }
    Ok(())
}

pub(crate) fn avatar_url(field: &str, text: &str) -> Checked {
    line(field, text, AVATAR_URL_MAX)?;
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    if rest.is_none_or(str::is_empty) || text.chars().any(char::is_whitespace) {
        return Err(Invalid::new(field, "expected an http or https URL"));
    }
    Ok(())
}

/// Kept as it was written, white space and line breaks included.
pub(crate) fn message_body(field: &str, text: &str) -> Checked {
    characters(field, text, 1, MESSAGE_BODY_MAX)?;
    if text.trim().is_empty() {
        return Err(Invalid::new(field, "expected more than white space"));
    }
    if text.contains('\0') {
        return Err(Invalid::new(field, "expected no NUL character"));
    }
    Ok(())
}

/// As [`message_body`], but for white space alone, or nothing.
pub(crate) fn optional_message_body(field: &str, text: &str) -> Checked {
    match text.trim().is_empty() {
        true => {
            characters(field, text, 0, MESSAGE_BODY_MAX)?;
            Ok(())
        }
        false => message_body(field, text),
    }
}

/// As it is sent; what of it is kept is decided where it is stored.
pub(crate) fn file_name(field: &str, text: &str) -> Checked {
    characters(field, text, 1, FILE_NAME_MAX)
}

pub(crate) fn content_type(field: &str, text: &str) -> Checked {
    let is_token = |part: &str| {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&byte);
        !part.is_empty() && part.bytes().all(is_allowed)
    };
    let parts = text.split_once('/');
    match parts.is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype))
        && text.len() <= CONTENT_TYPE_MAX
    {
        true => Ok(()),
        false => Err(Invalid::new(
            field,
            "expected a media type such as image/png",
        )),
    }
}

pub(crate) fn emoji(field: &str, text: &str) -> Checked {
    match text::emoji(text) {
        Some(_) => Ok(()),
        None => Err(Invalid::new(field, "expected one emoji")),
    }
}

/// What may have been put to a message as an emoji, whenever that was.
pub(crate) fn former_emoji(field: &str, text: &str) -> Checked {
    if !(1..=EMOJI_MAX).contains(&text.len()) {
        return Err(Invalid::new(
            field,
            format!("expected 1 to {EMOJI_MAX} bytes"),
        ));
    }
    if text
        .chars()
        .any(|character| character.is_control() || character.is_whitespace())
    {
        return Err(Invalid::new(
            field,
            "expected no white space or control characters",
        ));
    }
    Ok(())
}

/// The place of an event in a room's log; the first is 1.
pub(crate) fn seq(field: &str, seq: u64) -> Checked {
    if (1..=SEQ_MAX).contains(&seq) {
        Ok(())
    } else {
        Err(Invalid::new(field, format!("expected 1 to {SEQ_MAX}")))
    }
}

/// The last `seq` that a client has seen; 0 is none.
pub(crate) fn seen(field: &str, seq: u64) -> Checked {
    if seq <= SEQ_MAX {
        Ok(())
    } else {
        Err(Invalid::new(field, format!("expected 0 to {SEQ_MAX}")))
    }
}

/// The number of a numbered page.
pub(crate) fn page(page: Option<u32>) -> Checked {
    if page.is_none_or(|page| (1..=PAGE_NUMBER_MAX).contains(&page)) {
        Ok(())
    } else {
        Err(Invalid::new(
            "page",
            format!("expected 1 to {PAGE_NUMBER_MAX}"),
        ))
    }
}

pub(crate) fn limit(limit: Option<u32>, max: u32) -> Checked {
    if limit.is_none_or(|limit| (1..=max).contains(&limit)) {
        Ok(())
    } else {
        Err(Invalid::new("limit", format!("expected 1 to {max}")))
    }
}

pub(crate) fn at_most<T>(field: &str, items: &[T], max: usize) -> Checked {
    if items.len() <= max {
        Ok(())
    } else {
        Err(Invalid::new(field, format!("expected at most {max}")))
    }
}

/// Runs a check on a field that may be absent.
pub(crate) fn given<T: AsRef<str>>(
    field: &str,
    value: Option<&T>,
    check: fn(&str, &str) -> Checked,
) -> Checked {
    value.map_or(Ok(()), |value| check(field, value.as_ref()))
}

/// Reads text without the white space around it.
pub(crate) fn trimmed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let mut text = String::deserialize(deserializer)?;
    text.truncate(text.trim_end().len());
    text.drain(..text.len() - text.trim_start().len());
    Ok(text)
}

/// Reads a name that people see, without the white space around it.
pub(crate) fn shown<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(text::composed(&trimmed(deserializer)?))
}

/// Reads an optional name that people see, without the white space around it.
pub(crate) fn shown_option<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    Ok(trimmed_option(deserializer)?.map(|name| text::composed(&name)))
}

/// Reads a username in the form in which it is kept.
pub(crate) fn username_form<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<String, D::Error> {
    Ok(text::username(&String::deserialize(deserializer)?))
}

/// Reads an emoji in its full spelling.
pub(crate) fn emoji_form<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let written = String::deserialize(deserializer)?;
    Ok(text::emoji(&written).map_or(written, str::to_owned))
}

/// Reads an optional e-mail address in the form in which it is kept.
pub(crate) fn email_option<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    Ok(trimmed_option(deserializer)?.map(email_form))
}

/// Reads an e-mail address of which `null` means "remove" and absence "leave as it is".
pub(crate) fn removable_email<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<String>>, D::Error> {
    email_option(deserializer).map(Some)
}

/// Reads an e-mail address.
pub(crate) fn required_email<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<String, D::Error> {
    trimmed(deserializer).map(email_form)
}

fn email_form(address: String) -> String {
    match address.rsplit_once('@') {
        Some((local, domain)) if !address.is_ascii() || domain.contains("xn--") => {
            format!("{}@{}", text::composed(local), text::domain(domain))
        }
        _ => address,
    }
}

/// Reads optional text without the white space around it.
pub(crate) fn trimmed_option<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    struct Trimmed(#[serde(deserialize_with = "trimmed")] String);
    Ok(Option::<Trimmed>::deserialize(deserializer)?.map(|Trimmed(text)| text))
}

/// Reads a field of which `null` means "remove" and absence "leave as it is".
pub(crate) fn removable<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<String>>, D::Error> {
    trimmed_option(deserializer).map(Some)
}

/// The same of any type.
pub(crate) fn removable_value<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Reads a list that may be given as `null`, as every other optional field may.
pub(crate) fn list<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
