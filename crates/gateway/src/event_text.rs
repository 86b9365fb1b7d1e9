//! The JSON text of an event, `["name",argument,…]`, of which no part is copied.

use std::fmt;

use engineioxide_core::Str;
use serde::de::{Deserialize, Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;
use socketioxide_core::{Value, parser::Parse};
use socketioxide_parser_common::CommonParser;

/// The name of an event; `None` if it has none that can be read.
pub(crate) fn name(data: &Value) -> Option<Str> {
    if let Ok(name) = CommonParser.read_event(data) {
        return Some(Str::copy_from_slice(name));
    }
    // The library reads no name with an escape in it; python-socketio escapes all but ASCII. Whether what follows can be
    // read is for the application to say.
    let elements = data.as_str()?.trim_start().strip_prefix('[')?;
    let mut elements = serde_json::Deserializer::from_str(elements).into_iter::<String>();
    Some(elements.next()?.ok()?.into())
}

/// The first argument; `None` if there is none or the text isn't JSON.
pub(crate) fn first_argument(event: &str) -> Option<&str> {
    let Ends { first, .. } = serde_json::from_str(event).ok()?;
    first.map(RawValue::get)
}

/// The text after the name in `["name",…]`; `None` if that isn't JSON.
pub(crate) fn arguments(event: &str) -> Option<&str> {
    let Ends { name, .. } = serde_json::from_str(event).ok()?;
    let name = name?.get();
    let after = name.as_ptr() as usize - event.as_ptr() as usize + name.len();
    let rest = event[after..].trim_end().strip_suffix(']')?.trim();
    Some(rest.strip_prefix(',').unwrap_or(rest).trim_start())
}

/// Where the name and the first argument of an event stand, found in one pass over all of it without copying any.
struct Ends<'a> {
    name: Option<&'a RawValue>,
    first: Option<&'a RawValue>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Ends<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements;
        impl<'de> Visitor<'de> for Elements {
            type Value = Ends<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Ends<'de>, A::Error> {
                let ends = Ends {
                    name: elements.next_element()?,
                    first: elements.next_element()?,
                };
                while elements.next_element::<IgnoredAny>()?.is_some() {}
                Ok(ends)
            }
        }
        deserializer.deserialize_seq(Elements)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_stand_behind_the_name() {
        for (event, expected) in [
            (r#"["e"]"#, Some("")),
            (r#" [ "e" , 1 , {"a":[2]} ] "#, Some(r#"1 , {"a":[2]}"#)),
            (r#"["a\",b",[]]"#, Some("[]")),
            ("[]", None),
            (r#"["e",1"#, None),
            (r#"["e",nonsense]"#, None),
            (r#"{"e":1}"#, None),
        ] {
            assert_eq!(arguments(event), expected, "{event}");
        }
    }

    #[test]
    fn a_name_is_text_whatever_follows() {
        for (event, expected) in [
            (r#"["e",1]"#, Some("e")),
            (r#" [ "e" ]"#, Some("e")),
            (r#"["\u00e9",NaN]"#, Some("é")),
            (r#"["e",NaN]"#, Some("e")),
            (r#"["e""#, Some("e")),
            (r#"["bad\ud800",1]"#, None),
            ("[7,{}]", None),
            ("[null]", None),
            ("[[\"e\"]]", None),
            ("[]", None),
            ("{}", None),
            (r#""e""#, None),
            ("", None),
        ] {
            let data = Value::Str(event.into(), None);
            assert_eq!(name(&data).as_deref(), expected, "{event}");
        }
    }

    #[test]
    fn the_first_argument_is_text_of_the_event() {
        assert_eq!(first_argument(r#"["e",{"a": 1},2]"#), Some(r#"{"a": 1}"#));
        assert!(first_argument(r#"["e"]"#).is_none());
        // As deep as it likes: nothing is built of it.
        let deep = format!(r#"["e",1,{}{}]"#, "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(first_argument(&deep), Some("1"));
    }
}
