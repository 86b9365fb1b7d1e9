//! What the official emitter publishes: MessagePack of `[uid, { type, data: [name, …arguments], nsp }, { rooms, except,
//! flags }]`.
//!
//! What must stay true: reading takes memory and depth in proportion to a bound, whatever the bytes are.

use protocol::{PublicTopic, limits::PUBLISH_DATA_MAX, published_event};
use rmpv::{Value, decode::read_value_with_max_depth};

use super::json::Json;
use crate::publish::{Publication, emitter_counts::Fault};

/// Bytes of a message: what it may carry, in text that is longer than as JSON, and the names of many rooms.
const MESSAGE_MAX: usize = 4 * PUBLISH_DATA_MAX;

/// Lists in lists, of which three are the message's own; more than `POST publish` takes.
const DEPTH_MAX: u16 = 150;

/// Rooms that one message names, and as many that it leaves out.
const ROOMS_MAX: usize = 100;

/// The `uid` of an emitter. Servers that share events by the official adapter have random ones; theirs are for their
/// own clients.
const EMITTER: &str = "emitter";

/// Socket.IO's type of a packet that is an event.
const EVENT: u64 = 2;

/// Reads a message of the channels of `namespace`.
pub(super) fn read(namespace: &str, message: &[u8]) -> Result<Publication, Fault> {
    if message.len() > MESSAGE_MAX {
        return Err(Fault::TooLarge);
    }
    let mut rest = message;
    let value = read_value_with_max_depth(&mut rest, DEPTH_MAX.into());
    let mut parts = match value {
        Ok(Value::Array(parts)) if rest.is_empty() => parts.into_iter(),
        _ => return Err(Fault::Malformed),
    };
    match parts.next() {
        Some(Value::String(uid)) if uid.as_str() == Some(EMITTER) => {}
        Some(Value::String(_)) => return Err(Fault::NoEmitter),
        _ => return Err(Fault::Malformed),
    }
    let (mut packet, mut options) = (map(parts.next())?, map(parts.next())?);
    let of_namespace = matches!(take(&mut packet, "nsp"), Some(Value::String(name)) if name.as_str() == Some(namespace));
    let is_event = take(&mut packet, "type").and_then(|kind| kind.as_u64()) == Some(EVENT);
    if !of_namespace || !is_event {
        return Err(Fault::Malformed);
    }
    let any_of = rooms(take(&mut options, "rooms"))?;
    let except = rooms(take(&mut options, "except"))?;
    let mut data = match take(&mut packet, "data") {
        Some(Value::Array(data)) => data.into_iter(),
        _ => return Err(Fault::Malformed),
    };
    let event = match data.next() {
        Some(Value::String(name)) => name.into_str().ok_or(Fault::Malformed)?,
        _ => return Err(Fault::Malformed),
    };
    published_event(&event).map_err(|_| Fault::Forbidden)?;
    let mut json = Json::new(PUBLISH_DATA_MAX);
    for (index, argument) in data.enumerate() {
        if index > 0 {
            json.text.push(',');
        }
        json.value(argument)?;
    }
    Ok(Publication {
        namespace: namespace.to_owned(),
        any_of,
        except,
        event,
        arguments: json.text,
        attachments: json.attachments,
    })
}

/// What a room of the emitter is here: a room of the chat by its id, or a public topic by its name.
pub(super) fn topic(room: &str) -> Option<PublicTopic> {
    if room.contains(':') {
        room.parse().ok()
    } else {
        room.parse().ok().map(PublicTopic::Room)
    }
}

fn rooms(list: Option<Value>) -> Result<Vec<PublicTopic>, Fault> {
    let rooms = match list {
        Some(Value::Array(rooms)) => rooms,
        Some(Value::Nil) | None => Vec::new(),
        Some(_) => return Err(Fault::Malformed),
    };
    if rooms.len() > ROOMS_MAX {
        return Err(Fault::TooLarge);
    }
    let topics = rooms.iter().map(|room| match room {
        Value::String(name) => {
            topic(name.as_str().ok_or(Fault::Malformed)?).ok_or(Fault::Forbidden)
        }
        Value::Integer(number) => topic(&number.to_string()).ok_or(Fault::Forbidden),
        _ => Err(Fault::Malformed),
    });
    topics.collect()
}

type Fields = Vec<(Value, Value)>;

fn map(value: Option<Value>) -> Result<Fields, Fault> {
    match value {
        Some(Value::Map(fields)) => Ok(fields),
        _ => Err(Fault::Malformed),
    }
}

fn take(fields: &mut Fields, name: &str) -> Option<Value> {
    let found = fields
        .iter()
        .position(|(key, _)| key.as_str() == Some(name))?;
    Some(fields.swap_remove(found).1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(fields: Vec<(&str, Value)>) -> Value {
        Value::Map(
            fields
                .into_iter()
                .map(|(name, value)| (name.into(), value))
                .collect(),
        )
    }

    fn list(texts: &[&str]) -> Value {
        Value::Array(texts.iter().map(|text| (*text).into()).collect())
    }

    fn packet(data: Vec<Value>) -> Value {
        object(vec![
            ("type", 2.into()),
            ("data", Value::Array(data)),
            ("nsp", "/".into()),
        ])
    }

    fn to(rooms: &[&str], except: &[&str]) -> Value {
        object(vec![
            ("rooms", list(rooms)),
            ("flags", object(Vec::new())),
            ("except", list(except)),
        ])
    }

    fn message(uid: &str, packet: Value, options: Value) -> Vec<u8> {
        let mut bytes = Vec::new();
        let parts = Value::Array(vec![uid.into(), packet, options]);
        rmpv::encode::write_value(&mut bytes, &parts).unwrap();
        bytes
    }

    fn fault(message: &[u8]) -> Fault {
        read("/", message).unwrap_err()
    }

    #[test]
    fn a_message_is_an_event_for_rooms() {
        let data = vec![
            "price".into(),
            object(vec![("a", 1.into())]),
            Value::Binary(vec![1, 2]),
        ];
        let rooms = ["r-1", "user:u", "order:o", "orders:live", "room:r-2"];
        let publication =
            read("/", &message("emitter", packet(data), to(&rooms, &["r-3"]))).unwrap();
        let names = |topics: &[PublicTopic]| -> Vec<String> {
            topics.iter().map(ToString::to_string).collect()
        };
        assert_eq!(
            names(&publication.any_of),
            ["room:r-1", "user:u", "order:o", "orders:live", "room:r-2"]
        );
        assert_eq!(names(&publication.except), ["room:r-3"]);
        assert_eq!(
            (&*publication.namespace, &*publication.event),
            ("/", "price")
        );
        assert_eq!(
            publication.arguments,
            r#"{"a":1},{"_placeholder":true,"num":0}"#
        );
        assert_eq!(publication.attachments.len(), 1);
        let bare = read(
            "/",
            &message("emitter", packet(vec!["e".into()]), to(&[], &[])),
        )
        .unwrap();
        assert!(bare.any_of.is_empty() && bare.arguments.is_empty());
    }

    #[test]
    fn what_isnt_allowed_is_refused() {
        let event = |name: &str| packet(vec![name.into(), 1.into()]);
        for name in [
            "message:new",
            "Message:New",
            "disconnect",
            "room:x",
            "",
            "m\u{435}ssage:new",
        ] {
            assert_eq!(
                fault(&message("emitter", event(name), to(&["r"], &[]))),
                Fault::Forbidden
            );
        }
        for room in [
            "admin:live",
            "session:s",
            "a b",
            "",
            "room:",
            "Room:r",
            "/orders,room:r",
        ] {
            assert_eq!(
                fault(&message("emitter", event("e"), to(&[room], &[]))),
                Fault::Forbidden
            );
            assert_eq!(
                fault(&message("emitter", event("e"), to(&["r"], &[room]))),
                Fault::Forbidden
            );
        }
        let many: Vec<String> = (0..=ROOMS_MAX).map(|room| room.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(
            fault(&message("emitter", event("e"), to(&many, &[]))),
            Fault::TooLarge
        );
        assert!(read("/", &message("emitter", event("e"), to(&many[1..], &[]))).is_ok());
        let large = |bytes| packet(vec!["e".into(), "x".repeat(bytes).into()]);
        assert!(
            read(
                "/",
                &message("emitter", large(PUBLISH_DATA_MAX - 2), to(&[], &[]))
            )
            .is_ok()
        );
        assert_eq!(
            fault(&message("emitter", large(PUBLISH_DATA_MAX), to(&[], &[]))),
            Fault::TooLarge
        );
        assert_eq!(fault(&vec![0; MESSAGE_MAX + 1]), Fault::TooLarge);
        // Another server's, by its adapter.
        assert_eq!(
            fault(&message("V1StGX", event("e"), to(&["r"], &[]))),
            Fault::NoEmitter
        );
        assert_eq!(
            read("/orders", &message("emitter", event("e"), to(&[], &[]))).unwrap_err(),
            Fault::Malformed
        );
    }

    #[test]
    fn nonsense_is_malformed() {
        let good = message(
            "emitter",
            packet(vec!["e".into(), list(&["a"])]),
            to(&["r"], &[]),
        );
        assert!(read("/", &good).is_ok());
        for length in 0..good.len() {
            assert_eq!(fault(&good[..length]), Fault::Malformed, "{length}");
        }
        let mut longer = good.clone();
        longer.push(0xc0);
        assert_eq!(fault(&longer), Fault::Malformed);
        // Whatever a byte is changed to, it is read or refused: a letter of the event's name may be another one.
        let mut read_anyway = 0;
        for place in 0..good.len() {
            for byte in 0..=u8::MAX {
                let mut changed = good.clone();
                changed[place] = byte;
                read_anyway += usize::from(read("/", &changed).is_ok());
            }
        }
        assert!(read_anyway > good.len());
        let deep = [vec![0x91; 100_000], vec![0xc0]].concat();
        assert_eq!(fault(&deep), Fault::Malformed);
        // Says that four billion follow.
        for announced in [
            [0xdd, 0xff, 0xff, 0xff, 0xff],
            [0xdf, 0xff, 0xff, 0xff, 0xff],
            [0xc6, 0xff, 0xff, 0xff, 0xff],
        ] {
            assert_eq!(fault(&announced), Fault::Malformed);
        }
        for wrong in [
            packet(vec![]),
            packet(vec![1.into()]),
            object(vec![
                ("type", 3.into()),
                ("data", list(&["e"])),
                ("nsp", "/".into()),
            ]),
            object(vec![
                ("type", 2.into()),
                ("data", "e".into()),
                ("nsp", "/".into()),
            ]),
            object(vec![("type", 2.into()), ("data", list(&["e"]))]),
            Value::Nil,
        ] {
            assert_eq!(
                fault(&message("emitter", wrong, to(&[], &[]))),
                Fault::Malformed
            );
        }
        for options in [
            Value::Nil,
            object(vec![("rooms", 1.into())]),
            object(vec![("rooms", Value::Array(vec![Value::Nil]))]),
        ] {
            assert_eq!(
                fault(&message("emitter", packet(vec!["e".into()]), options)),
                Fault::Malformed
            );
        }
    }
}
