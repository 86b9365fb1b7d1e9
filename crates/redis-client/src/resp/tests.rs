use proptest::prelude::*;
use redis::Value;

use super::*;

/// The frames of `bytes`, given to the scanner in pieces of `step` bytes, as values; pushes by their debug text.
fn frames(bytes: &[u8], step: usize) -> Result<Vec<String>, Malformed> {
    let (mut start, mut end) = (0, 0);
    let mut scanner = Scanner::default();
    let mut frames = Vec::new();
    while end < bytes.len() {
        end = (end + step).min(bytes.len());
        while let Some(length) = scanner.scan(&bytes[start..end])? {
            frames.push(format!("{:?}", decode(&bytes[start..start + length])?));
            start += length;
            if start == end {
                break;
            }
        }
    }
    Ok(frames)
}

fn one(bytes: &[u8]) -> Result<Frame<'_>, Malformed> {
    match Scanner::default().scan(bytes)? {
        Some(length) if length == bytes.len() => decode(bytes),
        _ => Err(Malformed),
    }
}

/// Answers as a server may write them.
fn answer() -> impl Strategy<Value = Vec<u8>> {
    let line = "[ -~]{0,12}";
    let blob = |kind: char| {
        proptest::collection::vec(any::<u8>(), 0..300).prop_map(move |bytes| {
            let mut out = format!("{kind}{}\r\n", bytes.len()).into_bytes();
            out.extend_from_slice(&bytes);
            out.extend_from_slice(b"\r\n");
            out
        })
    };
    let leaf = prop_oneof![
        line.prop_map(|text| format!("+{text}\r\n").into_bytes()),
        line.prop_map(|text| format!("-ERR {text}\r\n").into_bytes()),
        Just(b"-MOVED 3999 127.0.0.1:6381\r\n".to_vec()),
        any::<i64>().prop_map(|number| format!(":{number}\r\n").into_bytes()),
        (-1000.0..1000.0).prop_map(|number: f64| format!(",{number}\r\n").into_bytes()),
        Just(b"_\r\n".to_vec()),
        Just(b"$-1\r\n".to_vec()),
        Just(b"*-1\r\n".to_vec()),
        any::<bool>().prop_map(|yes| format!("#{}\r\n", if yes { 't' } else { 'f' }).into_bytes()),
        line.prop_map(|text| format!("={}\r\ntxt:{text}\r\n", text.len() + 4).into_bytes()),
        line.prop_map(|text| format!("!{}\r\nERR {text}\r\n", text.len() + 4).into_bytes()),
        "[1-9][0-9]{20,30}".prop_map(|digits| format!("({digits}\r\n").into_bytes()),
        blob('$'),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        (
            proptest::sample::select(vec!['*', '~', '%']),
            proptest::collection::vec(inner, 0..6),
        )
            .prop_map(|(kind, mut items)| {
                if kind == '%' && items.len() % 2 == 1 {
                    items.pop();
                }
                let count = if kind == '%' {
                    items.len() / 2
                } else {
                    items.len()
                };
                let mut out = format!("{kind}{count}\r\n").into_bytes();
                out.extend(items.concat());
                out
            })
    })
}

proptest! {
    #[test]
    fn answers_are_read_as_the_library_reads_them(answers in proptest::collection::vec(answer(), 1..5), step in 1..200usize) {
        let expected: Vec<String> = answers
            .iter()
            .map(|bytes| format!("{:?}", Frame::Reply(redis::parse_redis_value(bytes).unwrap())))
            .collect();
        prop_assert_eq!(frames(&answers.concat(), step), Ok(expected));
    }

    #[test]
    fn no_bytes_break_it(bytes in proptest::collection::vec(any::<u8>(), 0..200), step in 1..50usize) {
        // Any result will do: what is proved is that none panics, loops or asks for much memory.
        drop(frames(&bytes, step));
    }

    #[test]
    fn broken_answers_break_nothing(mut bytes in answer(), index: prop::sample::Index, byte: u8) {
        let index = index.index(bytes.len());
        bytes[index] = byte;
        drop(frames(&bytes, 7));
    }

    #[test]
    fn commands_are_written_as_the_library_writes_them(parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..1200), 1..5)) {
        let mut out = Vec::new();
        encode(&mut out, &parts.iter().map(Vec::as_slice).collect::<Vec<_>>());
        prop_assert_eq!(out, redis::pack_command(&parts));
    }
}

#[test]
fn pushes_are_told_apart() {
    assert_eq!(
        one(b">3\r\n$8\r\nsmessage\r\n$2\r\nab\r\n$0\r\n\r\n"),
        Ok(Frame::Message {
            channel: b"ab",
            payload: b""
        })
    );
    assert_eq!(
        one(b">4\r\n$8\r\npmessage\r\n$2\r\na*\r\n$2\r\nab\r\n$1\r\nx\r\n"),
        Ok(Frame::PatternMessage {
            pattern: b"a*",
            channel: b"ab",
            payload: b"x"
        })
    );
    assert_eq!(
        one(b">3\r\n$10\r\nssubscribe\r\n$1\r\na\r\n:1\r\n"),
        Ok(Frame::Subscribed {
            kind: Kind::Shard,
            name: b"a"
        })
    );
    assert_eq!(
        one(b">3\r\n$12\r\npunsubscribe\r\n$1\r\na\r\n:0\r\n"),
        Ok(Frame::Unsubscribed {
            kind: Kind::Pattern,
            name: b"a"
        })
    );
    assert_eq!(
        one(b">2\r\n+invalidate\r\n*1\r\n$1\r\nk\r\n"),
        Ok(Frame::OtherPush)
    );
}

#[test]
fn what_is_too_much_is_refused_before_it_is_stored() {
    assert_eq!(Scanner::default().scan(b"$99999999999\r\n"), Err(Malformed));
    assert_eq!(
        Scanner::default().scan(format!("${MAX_FRAME}\r\n").as_bytes()),
        Err(Malformed)
    );
    assert_eq!(
        Scanner::default().scan(&vec![b'+'; MAX_LINE + 1]),
        Err(Malformed)
    );
    assert_eq!(
        one("*1\r\n".repeat(MAX_DEPTH + 2).as_bytes()),
        Err(Malformed)
    );
    // Attributes are read over.
    assert_eq!(
        one(b"|1\r\n+ttl\r\n:3\r\n:7\r\n"),
        Ok(Frame::Reply(Value::Int(7)))
    );
}
