//! From MessagePack, as the official emitter writes it, to what the emitter's own server would make of it: JSON, with
//! binary data beside it.
//!
//! What must stay true: nothing that is written here can be taken for a placeholder of binary data but the
//! placeholders, or a client would refuse the whole packet and close its connection.

use std::fmt::Write;

use bytes::Bytes;
use rmpv::Value;

use crate::publish::emitter_counts::Fault;

/// Pieces of binary data in one event. With its text they have to fit a polling payload, of which the official Python
/// client takes 16 packets.
const ATTACHMENTS_MAX: usize = 10;

/// MessagePack's own type of moments.
const TIMESTAMP: i8 = -1;

/// What `notepack.io` before version 3 wrote moments and `undefined` as.
const EARLIER: i8 = 0;

/// JSON text and what doesn't fit into it, bounded together.
pub(super) struct Json {
    pub(super) text: String,
    pub(super) attachments: Vec<Bytes>,
    bytes: usize,
    bound: usize,
}

impl Json {
    /// With at most `bound` bytes of text and attachments.
    pub(super) fn new(bound: usize) -> Self {
        Self {
            text: String::new(),
            attachments: Vec::new(),
            bytes: 0,
            bound,
        }
    }

    /// Appends a value. Its depth is bounded by who read it.
    pub(super) fn value(&mut self, value: Value) -> Result<(), Fault> {
        match value {
            Value::Nil => self.text.push_str("null"),
            Value::Boolean(value) => self.display(value),
            Value::Integer(value) => self.display(value),
            Value::F32(value) => self.float(value.into()),
            Value::F64(value) => self.float(value),
            Value::String(value) => {
                let value = value.into_str().ok_or(Fault::Malformed)?;
                self.string(&value);
            }
            Value::Binary(bytes) => self.attachment(bytes)?,
            Value::Array(values) => self.list(values)?,
            Value::Map(fields) => self.object(fields)?,
            Value::Ext(kind, bytes) => self.extension(kind, &bytes)?,
        }
        if self.text.len() + self.bytes > self.bound {
            return Err(Fault::TooLarge);
        }
        Ok(())
    }

    fn list(&mut self, values: Vec<Value>) -> Result<(), Fault> {
        self.text.push('[');
        for (index, value) in values.into_iter().enumerate() {
            if index > 0 {
                self.text.push(',');
            }
            self.value(value)?;
        }
        self.text.push(']');
        Ok(())
    }

    fn object(&mut self, fields: Vec<(Value, Value)>) -> Result<(), Fault> {
        self.text.push('{');
        for (index, (name, value)) in fields.into_iter().enumerate() {
            if index > 0 {
                self.text.push(',');
            }
            match name {
                Value::String(name) => match name.as_str() {
                    Some("_placeholder") | None => return Err(Fault::Malformed),
                    Some(name) => self.string(name),
                },
                _ => return Err(Fault::Malformed),
            }
            self.text.push(':');
            self.value(value)?;
        }
        self.text.push('}');
        Ok(())
    }

    fn attachment(&mut self, bytes: Vec<u8>) -> Result<(), Fault> {
        let number = self.attachments.len();
        if number == ATTACHMENTS_MAX {
            return Err(Fault::TooLarge);
        }
        self.bytes += bytes.len();
        self.attachments.push(bytes.into());
        self.text.push_str(r#"{"_placeholder":true,"num":"#);
        self.display(number);
        self.text.push('}');
        Ok(())
    }

    fn extension(&mut self, kind: i8, bytes: &[u8]) -> Result<(), Fault> {
        let (seconds, nanoseconds) = match (kind, bytes) {
            (EARLIER, [0]) => {
                self.text.push_str("null");
                return Ok(());
            }
            (EARLIER, &[a, b, c, d, e, f, g, h]) => {
                let ms = i64::from_be_bytes([a, b, c, d, e, f, g, h]);
                (
                    ms.div_euclid(1_000),
                    ms.rem_euclid(1_000) as u32 * 1_000_000,
                )
            }
            (TIMESTAMP, &[a, b, c, d]) => (u32::from_be_bytes([a, b, c, d]).into(), 0),
            (TIMESTAMP, &[a, b, c, d, e, f, g, h]) => {
                let both = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
                ((both & 0x3_ffff_ffff) as i64, (both >> 34) as u32)
            }
            (TIMESTAMP, &[n, o, p, q, a, b, c, d, e, f, g, h]) => (
                i64::from_be_bytes([a, b, c, d, e, f, g, h]),
                u32::from_be_bytes([n, o, p, q]),
            ),
            _ => return Err(Fault::Malformed),
        };
        let moment = moment(seconds, nanoseconds).ok_or(Fault::Malformed)?;
        self.string(&moment);
        Ok(())
    }

    fn float(&mut self, value: f64) {
        match serde_json::Number::from_f64(value) {
            Some(number) => self.display(number),
            // As JavaScript does.
            None => self.text.push_str("null"),
        }
    }

    fn string(&mut self, value: &str) {
        self.display(serde_json::Value::from(value));
    }

    fn display(&mut self, value: impl std::fmt::Display) {
        let written = write!(self.text, "{value}");
        debug_assert!(written.is_ok(), "writing to a String can't fail");
    }
}

/// A moment as JavaScript's `toISOString` writes it; `None` outside of the years 0 to 9999.
fn moment(seconds: i64, nanoseconds: u32) -> Option<String> {
    const DAY: i64 = 86_400;
    let (year, month, day) = date(seconds.div_euclid(DAY));
    if !(0..=9_999).contains(&year) || nanoseconds >= 1_000_000_000 {
        return None;
    }
    let rest = seconds.rem_euclid(DAY);
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    let ms = nanoseconds / 1_000_000;
    Some(format!(
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z"
    ))
}

/// Year, month and day, so many days after 1970-01-01, by the Gregorian calendar. From H. Hinnant, "chrono-Compatible
/// Low-Level Date Algorithms", `civil_from_days`: years begin in March, in eras of 400.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days.saturating_add(719_468);
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: Value) -> Result<String, Fault> {
        let mut json = Json::new(1_000);
        json.value(value)?;
        Ok(json.text)
    }

    fn ext(kind: i8, bytes: &[u8]) -> Result<String, Fault> {
        text(Value::Ext(kind, bytes.to_vec()))
    }

    #[test]
    fn values_are_those_of_json() {
        for (value, expected) in [
            (Value::Nil, "null"),
            (true.into(), "true"),
            (u64::MAX.into(), "18446744073709551615"),
            (i64::MIN.into(), "-9223372036854775808"),
            (1.5.into(), "1.5"),
            (1e300.into(), "1e+300"),
            (f64::NAN.into(), "null"),
            (f64::INFINITY.into(), "null"),
            (
                "a\"\\\n\u{2028}\0é".into(),
                "\"a\\\"\\\\\\n\u{2028}\\u0000é\"",
            ),
            (
                Value::Array(vec![1.into(), Value::Array(Vec::new())]),
                "[1,[]]",
            ),
            (
                Value::Map(vec![
                    ("a\"".into(), 1.into()),
                    ("__proto__".into(), Value::Nil),
                ]),
                r#"{"a\"":1,"__proto__":null}"#,
            ),
        ] {
            assert_eq!(text(value).unwrap(), expected);
        }
    }

    #[test]
    fn binary_data_stands_beside() {
        let mut json = Json::new(1_000);
        let binary = |byte| Value::Binary(vec![byte; 3]);
        json.value(Value::Array(vec![
            binary(1),
            Value::Map(vec![("b".into(), binary(2))]),
        ]))
        .unwrap();
        assert_eq!(
            json.text,
            r#"[{"_placeholder":true,"num":0},{"b":{"_placeholder":true,"num":1}}]"#
        );
        assert_eq!(
            json.attachments,
            [Bytes::from_static(&[1; 3]), Bytes::from_static(&[2; 3])]
        );
        let many = |count| Json::new(1_000).value(Value::Array(vec![binary(0); count]));
        assert_eq!(many(ATTACHMENTS_MAX), Ok(()));
        assert_eq!(many(ATTACHMENTS_MAX + 1), Err(Fault::TooLarge));
    }

    #[test]
    fn text_and_binary_data_have_one_bound() {
        let write = |text: usize, binary: usize| {
            let values = vec!["x".repeat(text).into(), Value::Binary(vec![0; binary])];
            Json::new(1_000).value(Value::Array(values))
        };
        let placeholder = r#"["",{"_placeholder":true,"num":0}]"#.len();
        assert_eq!(write(500, 500 - placeholder), Ok(()));
        assert_eq!(write(501, 500 - placeholder), Err(Fault::TooLarge));
        assert_eq!(write(500, 501 - placeholder), Err(Fault::TooLarge));
    }

    #[test]
    fn what_json_doesnt_have_is_refused() {
        let forged = vec![
            ("_placeholder".into(), true.into()),
            ("num".into(), 7.into()),
        ];
        let broken = Value::String(
            rmpv::decode::read_value(&mut &[0xa1, 0xff][..])
                .map(|value| match value {
                    Value::String(text) => text,
                    _ => panic!("no text"),
                })
                .unwrap(),
        );
        for value in [
            Value::Map(forged),
            Value::Map(vec![(1.into(), 1.into())]),
            Value::Map(vec![(broken.clone(), 1.into())]),
            broken,
            Value::Ext(1, vec![0]),
            Value::Ext(TIMESTAMP, vec![0; 5]),
        ] {
            assert_eq!(text(value), Err(Fault::Malformed));
        }
    }

    #[test]
    fn moments_are_written_as_javascript_does() {
        let be = |value: u64| value.to_be_bytes();
        let with_ms = (250_000_000 << 34) | 1_769_850_000;
        assert_eq!(
            ext(-1, &be(with_ms)).unwrap(),
            "\"2026-01-31T09:00:00.250Z\""
        );
        assert_eq!(ext(-1, &[0; 4]).unwrap(), "\"1970-01-01T00:00:00.000Z\"");
        assert_eq!(ext(-1, &[0xff; 4]).unwrap(), "\"2106-02-07T06:28:15.000Z\"");
        // Before the epoch; 1900 was no leap year, 2000 was one.
        let early = [&[0; 4][..], &(-1i64).to_be_bytes()].concat();
        assert_eq!(ext(-1, &early).unwrap(), "\"1969-12-31T23:59:59.000Z\"");
        assert_eq!(date(-25_509), (1900, 2, 28));
        assert_eq!(date(-25_508), (1900, 3, 1));
        assert_eq!(date(11_016), (2000, 2, 29));
        assert_eq!(
            ext(0, &be(1_769_850_000_250)).unwrap(),
            "\"2026-01-31T09:00:00.250Z\""
        );
        assert_eq!(
            ext(0, &(-250i64).to_be_bytes()).unwrap(),
            "\"1969-12-31T23:59:59.750Z\""
        );
        assert_eq!(ext(0, &[0]).unwrap(), "null");
        for bytes in [&[0xff; 8][..], &[0x7f; 12]] {
            assert_eq!(ext(-1, bytes), Err(Fault::Malformed));
        }
    }
}
