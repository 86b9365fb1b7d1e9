//! From bytes to a checked request. Every refusal names the field by its wire name and never quotes
//! its value, which may be a password or a message.

use serde::Deserializer;
use serde::de::{DeserializeOwned, Visitor};

use crate::error::{ErrorBody, ErrorCode};

/// What a client sends. Unknown fields are ignored, so that newer clients can talk to older
/// servers; wrong types are refused.
pub trait Request: DeserializeOwned {
    /// Checks every bound that the type alone doesn't.
    fn validate(&self) -> Result<(), Invalid>;
}

/// A field that is missing, of the wrong type or out of its bounds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct Invalid {
    /// The field by its wire name, such as `members[2]`; `payload` for the whole.
    pub field: String,
    /// What is expected of it.
    pub message: String,
}

impl Invalid {
    /// Says what is expected of a field.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            message: message.into(),
        }
    }
}

impl From<Invalid> for ErrorBody {
    fn from(invalid: Invalid) -> Self {
        Self::new(ErrorCode::Invalid, invalid.to_string())
    }
}

/// Reads a request from JSON text and validates it.
pub fn read_json<T: Request>(json: &[u8]) -> Result<T, Invalid> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let request = read(&mut deserializer)?;
    deserializer
        .end()
        .map_err(|error| Invalid::new("payload", explain(&error.to_string())))?;
    Ok(request)
}

/// Reads a request from the query of a URL, without its `?`, and validates it.
pub fn read_query<T: Request>(query: &str) -> Result<T, Invalid> {
    read(serde_urlencoded::Deserializer::new(form_urlencoded::parse(
        query.as_bytes(),
    )))
}

/// Reads a request from anything that deserializes, such as a JSON value, and validates it.
pub fn read<'de, T: Request, D: Deserializer<'de>>(deserializer: D) -> Result<T, Invalid> {
    let request: T =
        serde_path_to_error::deserialize(ObjectOnly(deserializer)).map_err(|error| {
            let path = error.path().to_string();
            locate(&path, &error.into_inner().to_string())
        })?;
    request.validate()?;
    Ok(request)
}

/// A missing or repeated field is reported by serde at the object that lacks it, with the field's
/// name in the text only.
fn locate(path: &str, reason: &str) -> Invalid {
    let root = path == ".";
    let lacking = reason
        .strip_prefix("missing field `")
        .map(|rest| (rest, "is required"));
    let repeated = reason
        .strip_prefix("duplicate field `")
        .map(|rest| (rest, "is given twice"));
    if let Some((rest, message)) = lacking.or(repeated)
        && let Some((field, _)) = rest.split_once('`')
    {
        let field = if root {
            field.to_owned()
        } else {
            format!("{path}.{field}")
        };
        return Invalid::new(field, message);
    }
    Invalid::new(if root { "payload" } else { path }, explain(reason))
}

const WHOLE_NUMBER: &str = "expected a whole number, 0 or more";

/// What was expected, without what was found instead. Serde quotes the value only in texts that
/// end in what was expected.
fn explain(reason: &str) -> String {
    let (found, text) = match reason.rsplit_once("expected ") {
        Some((_, expected)) => (true, expected),
        None => (false, reason),
    };
    let text = text.rsplit_once(" at line ").map_or(text, |(text, _)| text);
    match text {
        // How the standard library refuses the digits of a query.
        "invalid digit found in string"
        | "cannot parse integer from empty string"
        | "number too large to fit in target type" => WHOLE_NUMBER.to_owned(),
        _ if !found => text.to_owned(),
        "u64" | "u32" => WHOLE_NUMBER.to_owned(),
        "a sequence" => "expected a list".to_owned(),
        "a map" => "expected an object".to_owned(),
        _ if text.starts_with("struct ") => "expected an object".to_owned(),
        _ => format!("expected {text}"),
    }
}

/// Takes a struct from an object only: derived types would also take a list of their fields' values.
struct ObjectOnly<D>(D);

impl<'de, D: Deserializer<'de>> Deserializer<'de> for ObjectOnly<D> {
    type Error = D::Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(visitor)
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_any(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
