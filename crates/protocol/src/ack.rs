//! The answer to a client event: `{ "ok": true, … }` with the fields of its body beside `ok`, or
//! `{ "ok": false, "error": { … } }`.

use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::error::{ErrorBody, ErrorCode};
use crate::request::Invalid;

/// The answer to a client event. `T` is a struct with named fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ack<T> {
    /// Done; what the client learns from it.
    Ok(T),
    /// Refused; nothing was changed.
    Refused(ErrorBody),
}

impl<T> Ack<T> {
    /// A refusal that is retryable if its code is.
    pub fn refused(code: ErrorCode, message: impl Into<std::borrow::Cow<'static, str>>) -> Self {
        Self::Refused(ErrorBody::new(code, message))
    }

    /// The body, or the error.
    pub fn into_result(self) -> Result<T, ErrorBody> {
        match self {
            Self::Ok(body) => Ok(body),
            Self::Refused(error) => Err(error),
        }
    }
}

impl<T, E: Into<ErrorBody>> From<Result<T, E>> for Ack<T> {
    fn from(result: Result<T, E>) -> Self {
        match result {
            Ok(body) => Self::Ok(body),
            Err(error) => Self::Refused(error.into()),
        }
    }
}

impl<T> From<ErrorBody> for Ack<T> {
    fn from(error: ErrorBody) -> Self {
        Self::Refused(error)
    }
}

impl<T> From<Invalid> for Ack<T> {
    fn from(invalid: Invalid) -> Self {
        Self::Refused(invalid.into())
    }
}

impl<T: Serialize> Serialize for Ack<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Done<'a, T> {
            ok: bool,
            #[serde(flatten)]
            body: &'a T,
        }
        #[derive(Serialize)]
        struct Refused<'a> {
            ok: bool,
            error: &'a ErrorBody,
        }
        match self {
            Self::Ok(body) => Done { ok: true, body }.serialize(serializer),
            Self::Refused(error) => Refused { ok: false, error }.serialize(serializer),
        }
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Ack<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Answer {
            ok: bool,
            error: Option<ErrorBody>,
            #[serde(flatten)]
            body: Map<String, Value>,
        }
        let answer = Answer::deserialize(deserializer)?;
        match (answer.ok, answer.error) {
            (true, None) => T::deserialize(Value::Object(answer.body))
                .map(Self::Ok)
                .map_err(D::Error::custom),
            (false, Some(error)) => Ok(Self::Refused(error)),
            _ => Err(D::Error::custom(
                "expected `error` exactly when `ok` is false",
            )),
        }
    }
}
