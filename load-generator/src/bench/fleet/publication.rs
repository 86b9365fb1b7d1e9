//! Publishing on one instance to subscribers on another: one publication in flight a room.
//!
//! The next goes out when every member has the last, so that deliveries need no numbers: each member must have as many
//! as were published to its room.

use std::time::{Duration, Instant};

use serde_json::json;

use super::instances::Kind;
use crate::{
    bench::chat::{MESSAGE_NEW, sends},
    client::Event,
    engine::{ClientId, Deadline, Engine, Wait},
    error::{Error, Result},
    fan_out::{self, Rooms},
    packet,
};

/// Clients that publish, all on A: client `n` publishes to room `n`, and is in it.
pub const PUBLISHERS: usize = 100;
/// Clients that only listen, all on B: the first `size` of them are in the first room, and so on.
pub const SUBSCRIBERS: usize = 1_000;
/// The time of a slice.
const SLICE_TIME: Duration = Duration::from_secs(120);
/// How long a delivery too many is waited for.
const AFTERWARDS: Duration = Duration::from_millis(20);
/// A bound only: a delivery ends the turn.
pub const TURN: Wait = Wait::Sleep(Duration::from_millis(100));

/// What is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Publication {
    /// `message:send`: kept in MongoDB before it is delivered.
    Durable,
    /// `typing:set`: kept nowhere. What compares with Node's.
    Volatile,
    /// An event, through Node's plain adapter.
    NodePlain,
    /// An event, through Node's sharded adapter.
    NodeSharded,
}

impl Publication {
    /// In the order in which a slice takes them.
    pub const ALL: [Self; 4] = [
        Self::Volatile,
        Self::NodeSharded,
        Self::NodePlain,
        Self::Durable,
    ];

    /// The fleet that it is published in.
    pub fn kind(self) -> Kind {
        match self {
            Self::Durable | Self::Volatile => Kind::Tertulia,
            Self::NodePlain => Kind::NodePlain,
            Self::NodeSharded => Kind::NodeSharded,
        }
    }

    /// What a table calls it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Durable => "Tertulia, durable message",
            Self::Volatile => "Tertulia, `typing:set`",
            Self::NodePlain => "Node, plain adapter",
            Self::NodeSharded => "Node, sharded adapter",
        }
    }

    fn prefix(self) -> &'static [u8] {
        match self {
            Self::Durable => MESSAGE_NEW,
            Self::Volatile => b"2[\"typing:changed\",",
            Self::NodePlain | Self::NodeSharded => b"2[\"event\",",
        }
    }

    /// Publication `number` to `room`; `run` makes the names of messages this run's own.
    fn frame(self, room: &str, run: u64, number: u64) -> Vec<u8> {
        match self {
            Self::Durable => sends::message_frame(room, &format!("p{run}-{number}"), number),
            Self::Volatile => {
                let set = json!({ "roomId": room, "on": number.is_multiple_of(2) });
                packet::event_frame("typing:set", &[&set.to_string()], None)
            }
            Self::NodePlain | Self::NodeSharded => {
                let arguments = [&*json!(room).to_string(), &*fan_out::payload(number)];
                packet::event_frame("publish", &arguments, None)
            }
        }
    }
}

/// The rooms of `rooms.size` subscribers: which room a client is in, if any.
pub fn room_of(rooms: Rooms, client: ClientId) -> Option<usize> {
    let room = match client.checked_sub(PUBLISHERS) {
        None => client,
        Some(subscriber) => subscriber / rooms.size,
    };
    (room < rooms.count).then_some(room)
}

struct Count {
    rooms: Rooms,
    prefix: &'static [u8],
    had: Vec<usize>,
    /// For each room, the members that don't have its publication yet.
    missing: Vec<usize>,
    finished: Vec<usize>,
    wrong: Result<()>,
}

/// Publishes `publishes` times to each of `rooms`, whose names are `names`, and returns the time it took. `run` is a number of
/// its own.
///
/// # Errors
/// [`Error::Count`] when a member had too many or another's, [`Error::Deadline`] when one had too few.
pub fn run(
    engine: &mut Engine,
    publication: Publication,
    rooms: Rooms,
    names: &[String],
    publishes: usize,
    run: u64,
) -> Result<Duration> {
    let mut count = Count {
        rooms,
        prefix: publication.prefix(),
        had: vec![0; engine.len()],
        missing: vec![0; rooms.count],
        finished: (0..rooms.count).collect(),
        wrong: Ok(()),
    };
    let mut left = vec![publishes; rooms.count];
    let mut unfinished = rooms.count * publishes;
    let mut number = 0;
    let deadline = Deadline::after(SLICE_TIME);
    let begun = Instant::now();
    loop {
        for room in std::mem::take(&mut count.finished) {
            if left[room] > 0 {
                left[room] -= 1;
                // The publisher is a member too.
                count.missing[room] = rooms.size + 1;
                engine.send(room, &publication.frame(&names[room], run, number))?;
                number += 1;
            }
        }
        engine.turn(TURN, |client, event| count.take(client, &event))?;
        std::mem::replace(&mut count.wrong, Ok(()))?;
        unfinished -= count.finished.len();
        if unfinished == 0 {
            break;
        }
        deadline.check(|| format!("{unfinished} publications are not everywhere"))?;
    }
    let elapsed = begun.elapsed();
    engine.idle(AFTERWARDS, |client, event| count.take(client, &event))?;
    count.wrong?;
    let members = (0..engine.len()).filter(|&client| room_of(rooms, client).is_some());
    for client in members {
        if count.had[client] != publishes {
            return Err(Error::Count(format!(
                "client {client} had {} of {publishes}",
                count.had[client]
            )));
        }
    }
    Ok(elapsed)
}

impl Count {
    fn take(&mut self, client: ClientId, event: &Event<'_>) {
        let Event::Packet(packet) = event else { return };
        // A refusal is found as well: acks are answers to sends.
        if let packet::Packet::Ack(_, answer) = packet::parse(packet)
            && self.wrong.is_ok()
        {
            self.wrong = crate::bench::chat::check_ok(answer);
        }
        if !packet.starts_with(self.prefix) {
            return;
        }
        self.had[client] += 1;
        match room_of(self.rooms, client) {
            Some(room) if self.missing[room] > 0 => {
                self.missing[room] -= 1;
                if self.missing[room] == 0 {
                    self.finished.push(room);
                }
            }
            _ => {
                self.wrong = Err(Error::Count(format!(
                    "client {client} had a publication too many"
                )));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOMS: Rooms = Rooms { size: 10, count: 3 };

    #[test]
    fn publishers_and_subscribers_have_their_rooms() {
        let of = |client| room_of(ROOMS, client);
        assert_eq!((of(0), of(2), of(3)), (Some(0), Some(2), None));
        assert_eq!(
            (of(PUBLISHERS), of(PUBLISHERS + 10), of(PUBLISHERS + 30)),
            (Some(0), Some(1), None)
        );
    }

    #[test]
    fn one_delivery_too_many_is_wrong() {
        let mut count = Count {
            rooms: ROOMS,
            prefix: Publication::Volatile.prefix(),
            had: vec![0; PUBLISHERS + 30],
            missing: vec![2, 0, 0],
            finished: Vec::new(),
            wrong: Ok(()),
        };
        let delivery = Event::Packet(b"2[\"typing:changed\",{}]");
        count.take(0, &delivery);
        count.take(PUBLISHERS, &Event::Packet(b"2[\"event\",1]"));
        count.take(PUBLISHERS, &delivery);
        assert_eq!(count.finished, [0]);
        assert!(count.wrong.is_ok());
        count.take(PUBLISHERS, &delivery);
        assert!(count.wrong.is_err());
    }
}
