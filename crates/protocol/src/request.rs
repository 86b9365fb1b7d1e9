//! From bytes to a request that may be acted on. Every refusal names the field by its wire name
//! and never quotes its value, which may be a password or a message.

use serde::Deserializer;
use serde::de::DeserializeOwned;

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

/// Reads a request from any self-describing format, such as a query string or a JSON value, and
/// validates it.
pub fn read<'de, T: Request, D: Deserializer<'de>>(deserializer: D) -> Result<T, Invalid> {
    let request: T = serde_path_to_error::deserialize(deserializer).map_err(|error| {
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

/// What was expected, without what was found instead.
fn explain(reason: &str) -> String {
    let reason = reason
        .rsplit_once(" at line ")
        .map_or(reason, |(reason, _)| reason);
    match reason.rsplit_once("expected ") {
        Some((_, "u64" | "u32")) => "expected a whole number, 0 or more".to_owned(),
        Some((_, expected)) if expected.starts_with("struct ") => "expected an object".to_owned(),
        Some((_, expected)) => format!("expected {expected}"),
        None => reason.to_owned(),
    }
}
