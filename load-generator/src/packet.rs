//! The few Socket.IO packets of the default namespace that a load test writes and reads, as text.
//!
//! A packet here begins with its Socket.IO type; the Engine.IO type in front of it (`4`, message) is added when it
//! is framed. Binary attachments are not used.

use crate::frame;

/// A packet that came in, as far as a load test tells them apart.
#[derive(Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// An event; the JSON array of its name and arguments.
    Event(&'a [u8]),
    /// An ack: the id given with the event, and the JSON array of its arguments.
    Ack(u64, &'a [u8]),
    /// Anything else.
    Other,
}

/// Takes a packet apart; what is malformed is [`Packet::Other`].
pub fn parse(packet: &[u8]) -> Packet<'_> {
    match packet.split_first() {
        Some((b'2', event)) if event.first() == Some(&b'[') => Packet::Event(event),
        Some((b'3', ack)) => {
            let digits = ack.iter().take_while(|byte| byte.is_ascii_digit()).count();
            match digits_to_number(&ack[..digits]) {
                Some(id) => Packet::Ack(id, &ack[digits..]),
                None => Packet::Other,
            }
        }
        _ => Packet::Other,
    }
}

/// The number that these ASCII digits write; `None` without digits, with anything else, or above `u64`.
pub fn digits_to_number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// A client's frame that connects the default namespace, with `auth` (a JSON object) if given.
pub fn connect_frame(auth: Option<&str>) -> Vec<u8> {
    frame::client_text(format!("40{}", auth.unwrap_or_default()).as_bytes())
}

/// A client's frame with an event. `name` needs no escaping, `arguments` are JSON texts; `ack` asks for an ack with
/// that id.
pub fn event_frame(name: &str, arguments: &[&str], ack: Option<u64>) -> Vec<u8> {
    let ack = ack.map(|id| id.to_string()).unwrap_or_default();
    let mut text = format!("42{ack}[\"{name}\"");
    for argument in arguments {
        text.push(',');
        text.push_str(argument);
    }
    text.push(']');
    frame::client_text(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_told_apart() {
        assert_eq!(
            parse(b"2[\"event\",\"x\"]"),
            Packet::Event(b"[\"event\",\"x\"]")
        );
        assert_eq!(
            parse(b"317[{\"ok\":true}]"),
            Packet::Ack(17, b"[{\"ok\":true}]")
        );
        assert_eq!(parse(b"3[1]"), Packet::Other);
        assert_eq!(parse(b"0{\"sid\":\"x\"}"), Packet::Other);
        assert_eq!(parse(b""), Packet::Other);
    }

    #[test]
    fn numbers_are_bounded() {
        assert_eq!(digits_to_number(b"0000000042"), Some(42));
        assert_eq!(digits_to_number(b"18446744073709551616"), None);
        assert_eq!(digits_to_number(b"12a"), None);
        assert_eq!(digits_to_number(b""), None);
    }

    #[test]
    fn frames_carry_the_packet_as_text() {
        let bytes = event_frame("join", &["\"room\""], Some(7));
        assert_eq!(
            crate::frame::parse(&bytes).unwrap().unwrap().payload,
            b"427[\"join\",\"room\"]"
        );
        let bytes = connect_frame(Some("{\"token\":\"t\"}"));
        assert_eq!(
            crate::frame::parse(&bytes).unwrap().unwrap().payload,
            b"40{\"token\":\"t\"}"
        );
    }
}
