//! Publishes to rooms and counts every delivery.
//!
//! The load is closed: a room has a fixed number of publishes in flight, and the next one goes out when a publish has
//! reached all members. Each payload begins with the number of its publish, so that a delivery that is lost, repeated
//! or misdirected is found, and its latency is known.

use std::{
    ops::Range,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::{
    client::Event,
    engine::{ClientId, Deadline, Engine, Wait},
    error::{Error, Result},
    packet,
};

/// The payload of every publish, in bytes: a short chat message with its few fields.
pub const PAYLOAD_BYTES: usize = 100;
/// Digits at the start of a payload that number the publish.
const NUMBER_DIGITS: usize = 10;
/// What every delivery begins with, as all JSON writers without blanks put it.
const DELIVERY_PREFIX: &[u8] = b"2[\"event\",\"";
/// How long a delivery too many is waited for.
const AFTERWARDS: Duration = Duration::from_millis(50);

/// Rooms of one size: the first `size` clients are in the first room, the next in the second, and so on.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Rooms {
    /// Members of each room.
    pub size: usize,
    /// Number of rooms.
    pub count: usize,
}

impl Rooms {
    /// As many rooms of that size as `clients` fill.
    pub fn filling(size: usize, clients: usize) -> Self {
        Self {
            size,
            count: clients / size,
        }
    }

    /// All clients that are in one of the rooms.
    pub fn members(self) -> Range<ClientId> {
        0..self.size * self.count
    }

    /// The name of the room of this client, as a JSON string.
    pub fn name_of(self, client: ClientId) -> String {
        self.name(client / self.size)
    }

    fn name(self, room: usize) -> String {
        format!("\"room-{}-{room}\"", self.size)
    }

    /// Lets every member join its room.
    ///
    /// # Errors
    /// As [`crate::connect::ask_each`].
    pub fn join(self, engine: &mut Engine, deadline: Deadline) -> Result<()> {
        let join = |client, ack| packet::event_frame("join", &[&self.name_of(client)], Some(ack));
        crate::connect::ask_each(engine, self.members(), deadline, join, |_, _| Ok(()))
    }
}

/// How much is published.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Load {
    /// Publishes in flight in each room; each comes from another member.
    pub in_flight: usize,
    /// Rooms in use at the same time, from the first.
    pub rooms: usize,
    /// Publishes to each of them.
    pub publishes: usize,
}

/// What was seen.
#[derive(Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// Deliveries; exactly the expected number.
    pub deliveries: u64,
    /// From the first publish to the last delivery.
    pub elapsed: Duration,
    /// From a publish to each of its deliveries, median.
    pub latency_p50: Duration,
    /// The same, 99th percentile.
    pub latency_p99: Duration,
    /// Deliveries that a member had at another place of its room's order than the member that was there first: 0 where
    /// everybody sees one order.
    pub out_of_order: u64,
    /// The share of the time in which the clients had something to do, 0 to 1.
    pub clients_busy: f64,
}

struct Publish {
    room: usize,
    /// The place among the room's publishes in flight, which is also the member that sends it.
    place: usize,
    sent: Instant,
    missing: usize,
}

/// Counts the deliveries of a run.
struct Count {
    rooms: Rooms,
    /// The number of the first publish: numbers are not used twice on one engine.
    first: u64,
    publishes: Vec<Publish>,
    /// For each member, how many deliveries it had.
    members: Vec<usize>,
    /// For each room, its publishes in the order in which the member that is ahead had them.
    orders: Vec<Vec<usize>>,
    finished: Vec<usize>,
    deliveries: u64,
    out_of_order: u64,
    latency: Histogram<u64>,
}

/// Publishes `load` to `rooms`, polling. `next_number` numbers publishes over all runs on one engine.
///
/// # Errors
/// [`Error::Count`] for a delivery too many, to the wrong member, or of a publish not sent; [`Error::Deadline`] when
/// deliveries are missing at the end of the time; and as [`Engine::turn`].
pub fn run(
    engine: &mut Engine,
    rooms: Rooms,
    load: Load,
    next_number: &mut u64,
    deadline: Deadline,
) -> Result<Outcome> {
    let total = load.rooms * load.publishes;
    let members = load.rooms * rooms.size;
    let mut count = Count {
        rooms,
        first: *next_number,
        publishes: Vec::with_capacity(total),
        members: vec![0; members],
        orders: vec![Vec::with_capacity(load.publishes); load.rooms],
        finished: Vec::new(),
        deliveries: 0,
        out_of_order: 0,
        latency: new_histogram()?,
    };
    *next_number += total as u64;
    let in_flight = load.in_flight.min(load.publishes).min(rooms.size);
    let mut left = vec![load.publishes - in_flight; load.rooms];
    let busy_before = engine.busy();
    let begun = Instant::now();
    for place in 0..in_flight {
        for room in 0..load.rooms {
            count.publish(engine, room, place)?;
        }
    }
    let expected = (total * rooms.size) as u64;
    let mut wrong = Ok(());
    while count.deliveries < expected {
        engine.turn(Wait::Poll, |client, event| {
            if let (Event::Packet(packet), true) = (event, wrong.is_ok()) {
                wrong = count.deliver(client, packet, Instant::now());
            }
        })?;
        std::mem::replace(&mut wrong, Ok(()))?;
        for finished in std::mem::take(&mut count.finished) {
            let Publish { room, place, .. } = count.publishes[finished];
            if left[room] > 0 {
                left[room] -= 1;
                count.publish(engine, room, place)?;
            }
        }
        deadline.check(|| format!("{} of {expected} deliveries", count.deliveries))?;
    }
    let elapsed = begun.elapsed();
    let busy = engine.busy() - busy_before;
    // One too many would come now.
    engine.idle(AFTERWARDS, |client, event| {
        if let (Event::Packet(packet), true) = (event, wrong.is_ok()) {
            wrong = count.deliver(client, packet, Instant::now());
        }
    })?;
    wrong?;
    count.check_members(load.publishes)?;
    let quantile = |quantile| Duration::from_nanos(count.latency.value_at_quantile(quantile));
    Ok(Outcome {
        deliveries: count.deliveries,
        elapsed,
        latency_p50: quantile(0.5),
        latency_p99: quantile(0.99),
        out_of_order: count.out_of_order,
        clients_busy: busy.as_secs_f64() / elapsed.as_secs_f64(),
    })
}

impl Count {
    fn publish(&mut self, engine: &mut Engine, room: usize, place: usize) -> Result<()> {
        let number = self.first + self.publishes.len() as u64;
        let sent = Instant::now();
        self.publishes.push(Publish {
            room,
            place,
            sent,
            missing: self.rooms.size,
        });
        let frame =
            packet::event_frame("publish", &[&self.rooms.name(room), &payload(number)], None);
        engine.send(room * self.rooms.size + place, &frame)
    }

    fn deliver(&mut self, client: ClientId, packet: &[u8], now: Instant) -> Result<()> {
        let wrong = |what: &str| {
            Err(Error::Count(format!(
                "client {client}: {what}: {}",
                packet.escape_ascii()
            )))
        };
        let Some(number) = delivered_number(packet) else {
            return wrong("not a delivery");
        };
        let index = number.checked_sub(self.first).map(|index| index as usize);
        let Some((index, publish)) =
            index.and_then(|index| Some((index, self.publishes.get_mut(index)?)))
        else {
            return wrong("a delivery that was not published now");
        };
        let room = publish.room;
        if client / self.rooms.size != room {
            return wrong("a delivery of another room");
        }
        if publish.missing == 0 {
            return wrong("a delivery too many");
        }
        publish.missing -= 1;
        if publish.missing == 0 {
            self.finished.push(index);
        }
        self.deliveries += 1;
        self.latency
            .saturating_record((now - publish.sent).as_nanos() as u64);
        let (had, order) = (&mut self.members[client], &mut self.orders[room]);
        match order.get(*had) {
            None => order.push(index),
            Some(first) => self.out_of_order += u64::from(*first != index),
        }
        *had += 1;
        Ok(())
    }

    /// With every publish delivered as often as its room has members, this finds one that a member had twice.
    fn check_members(&self, expected: usize) -> Result<()> {
        match self.members.iter().position(|had| *had != expected) {
            Some(client) => Err(Error::Count(format!(
                "client {client} had {} deliveries instead of {expected}",
                self.members[client]
            ))),
            None => Ok(()),
        }
    }
}

/// A histogram of nanoseconds up to a minute, to three digits.
///
/// # Errors
/// Never with these bounds.
pub fn new_histogram() -> Result<Histogram<u64>> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3)
        .map_err(|error| Error::Usage(error.to_string()))
}

/// The payload of a publish, as a JSON string.
pub fn payload(number: u64) -> String {
    let filler = PAYLOAD_BYTES - NUMBER_DIGITS;
    format!(
        "\"{number:0width$}{:x<filler$}\"",
        "",
        width = NUMBER_DIGITS
    )
}

fn delivered_number(packet: &[u8]) -> Option<u64> {
    let payload = packet.strip_prefix(DELIVERY_PREFIX)?;
    (packet.len() == DELIVERY_PREFIX.len() + PAYLOAD_BYTES + 2)
        .then(|| packet::digits_to_number(&payload[..NUMBER_DIGITS]))
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(number: u64) -> Vec<u8> {
        format!("2[\"event\",{}]", payload(number)).into_bytes()
    }

    /// Two rooms of two members, one publish in each, numbered from 5.
    fn count() -> Count {
        let publish = |room| Publish {
            room,
            place: 0,
            sent: Instant::now(),
            missing: 2,
        };
        Count {
            rooms: Rooms { size: 2, count: 2 },
            first: 5,
            publishes: vec![publish(0), publish(1)],
            members: vec![0; 4],
            orders: vec![Vec::new(); 2],
            finished: Vec::new(),
            deliveries: 0,
            out_of_order: 0,
            latency: new_histogram().unwrap(),
        }
    }

    #[test]
    fn a_payload_has_its_size_and_gives_its_number_back() {
        assert_eq!(payload(42).len(), PAYLOAD_BYTES + 2);
        assert_eq!(delivered_number(&delivery(42)), Some(42));
        assert_eq!(delivered_number(b"2[\"event\",\"42\"]"), None);
        assert_eq!(delivered_number(b"2[\"other\"]"), None);
    }

    #[test]
    fn exact_deliveries_are_counted() {
        let mut count = count();
        for (client, number) in [(0, 5), (1, 5), (2, 6), (3, 6)] {
            count
                .deliver(client, &delivery(number), Instant::now())
                .unwrap();
        }
        assert_eq!(count.finished, [0, 1]);
        assert_eq!(count.latency.len(), 4);
        count.check_members(1).unwrap();
    }

    #[test]
    fn wrong_deliveries_are_found() {
        let now = Instant::now();
        assert!(
            count().deliver(2, &delivery(5), now).is_err(),
            "another room's"
        );
        assert!(
            count().deliver(0, &delivery(4), now).is_err(),
            "an earlier run's"
        );
        assert!(
            count().deliver(0, &delivery(7), now).is_err(),
            "not published"
        );
        assert!(
            count().deliver(0, b"2[\"other\",1]", now).is_err(),
            "another event"
        );
        let mut count = count();
        count.deliver(0, &delivery(5), now).unwrap();
        count.deliver(0, &delivery(5), now).unwrap();
        assert!(
            count.check_members(1).is_err(),
            "one member twice, the other never"
        );
        assert!(count.deliver(1, &delivery(5), now).is_err(), "too many");
    }
}
