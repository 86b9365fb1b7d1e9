//! Durable sends: as fast as acks come back, and at a steady rate.
//!
//! At the steady rate a send's latency counts from the moment it was due, not from the moment it went out: a server
//! that stalls is charged for every message that had to wait.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::{check_ok, is_message};
use crate::{
    client::Event,
    engine::{ClientId, Deadline, Engine, Wait},
    error::{Error, Result},
    fan_out::new_histogram,
    packet::{self, Packet},
};

/// Connections that send.
pub const SENDERS: usize = 100;
/// Members of each of their rooms; every message is delivered to all of them.
pub const ROOM: usize = 10;
/// Messages in a second at the steady rate.
const STEADY_RATE: u32 = 1_000;
/// The body of a message.
const BODY: &str = "Shall we meet at the café on the corner at half past seven?";
/// How long acks and deliveries may take after the last send.
const DRAIN_TIME: Duration = Duration::from_secs(60);
/// How long a delivery too many is waited for.
const AFTERWARDS: Duration = Duration::from_millis(200);

/// What was seen.
pub struct Outcome {
    /// Messages sent and acked.
    pub acked: usize,
    elapsed: Duration,
    latency: Histogram<u64>,
}

impl Outcome {
    /// Acked messages in a second.
    pub fn rate(&self) -> f64 {
        self.acked as f64 / self.elapsed.as_secs_f64()
    }

    /// A quantile of the time to the ack, in milliseconds.
    pub fn milliseconds(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1e6
    }
}

/// The frame of a `message:send`. `client_id` and `room` need no escaping.
pub fn message_frame(room: &str, client_id: &str, ack: u64) -> Vec<u8> {
    let message =
        format!("{{\"roomId\":\"{room}\",\"clientId\":\"{client_id}\",\"body\":\"{BODY}\"}}");
    packet::event_frame("message:send", &[&message], Some(ack))
}

/// Messages and their acks and deliveries; the number of a message is also the id of its ack.
struct Sends<'a> {
    rooms: &'a [String],
    /// Makes this run's `clientId`s its own.
    name: &'a str,
    /// When each message was due.
    due: Vec<Instant>,
    acked: usize,
    last_ack: Instant,
    /// Senders whose message was acked.
    free: Vec<ClientId>,
    /// Messages sent to each room.
    sent: Vec<usize>,
    /// Messages each client had.
    had: Vec<usize>,
    deliveries: usize,
    latency: Histogram<u64>,
    wrong: Result<()>,
}

/// Every sender sends its next message when the last one is acked.
///
/// # Errors
/// A refusal, a lost connection, and [`Error::Count`] when a message wasn't delivered exactly once to each member.
pub fn closed_loop(
    engine: &mut Engine,
    rooms: &[String],
    time: Duration,
    name: &str,
) -> Result<Outcome> {
    let mut sends = Sends::new(rooms, name)?;
    let begun = Instant::now();
    sends.free = (0..SENDERS).collect();
    while begun.elapsed() < time {
        for sender in std::mem::take(&mut sends.free) {
            sends.send(engine, sender, Instant::now())?;
        }
        sends.turn(engine)?;
    }
    sends.finish(engine, begun)
}

/// The senders, one after the other, send [`STEADY_RATE`] messages a second, whatever happens to the acks.
///
/// # Errors
/// As [`closed_loop`].
pub fn steady(
    engine: &mut Engine,
    rooms: &[String],
    time: Duration,
    name: &str,
) -> Result<Outcome> {
    let mut sends = Sends::new(rooms, name)?;
    let interval = Duration::from_secs(1) / STEADY_RATE;
    let total = (time.as_secs_f64() / interval.as_secs_f64()) as u32;
    let begun = Instant::now();
    let mut next = 0;
    while next < total {
        let due = begun + interval * next;
        if due <= Instant::now() {
            sends.send(engine, next as usize % SENDERS, due)?;
            next += 1;
        } else {
            sends.turn(engine)?;
        }
    }
    sends.finish(engine, begun)
}

impl<'a> Sends<'a> {
    fn new(rooms: &'a [String], name: &'a str) -> Result<Self> {
        Ok(Self {
            rooms,
            name,
            due: Vec::new(),
            acked: 0,
            last_ack: Instant::now(),
            free: Vec::new(),
            sent: vec![0; rooms.len()],
            had: vec![0; SENDERS],
            deliveries: 0,
            latency: new_histogram()?,
            wrong: Ok(()),
        })
    }

    fn send(&mut self, engine: &mut Engine, sender: ClientId, due: Instant) -> Result<()> {
        let number = self.due.len();
        let room = sender / ROOM;
        self.due.push(due);
        self.sent[room] += 1;
        let client_id = format!("{}-{number}", self.name);
        engine.send(
            sender,
            &message_frame(&self.rooms[room], &client_id, number as u64),
        )
    }

    fn turn(&mut self, engine: &mut Engine) -> Result<()> {
        engine.turn(Wait::Poll, |client, event| self.take(client, &event))?;
        std::mem::replace(&mut self.wrong, Ok(()))
    }

    fn take(&mut self, client: ClientId, event: &Event<'_>) {
        if is_message(event) {
            self.had[client] += 1;
            self.deliveries += 1;
        } else if let Event::Packet(packet) = event
            && let Packet::Ack(number, answer) = packet::parse(packet)
            && self.wrong.is_ok()
        {
            self.wrong = self.take_ack(client, number, answer);
        }
    }

    fn take_ack(&mut self, client: ClientId, number: u64, answer: &[u8]) -> Result<()> {
        check_ok(answer)?;
        let due = usize::try_from(number)
            .ok()
            .and_then(|number| self.due.get(number));
        let due = due.ok_or_else(|| Error::Count(format!("an ack {number} of nothing")))?;
        self.last_ack = Instant::now();
        self.latency
            .saturating_record((self.last_ack - *due).as_nanos() as u64);
        self.acked += 1;
        self.free.push(client);
        Ok(())
    }

    /// Waits for the acks and deliveries that are missing, and checks that there are no more.
    fn finish(mut self, engine: &mut Engine, begun: Instant) -> Result<Outcome> {
        let total = self.due.len();
        let deadline = Deadline::after(DRAIN_TIME);
        while self.acked < total || self.deliveries < total * ROOM {
            self.turn(engine)?;
            let (acked, deliveries) = (self.acked, self.deliveries);
            deadline.check(|| {
                format!(
                    "{acked} of {total} acks, {deliveries} of {} deliveries",
                    total * ROOM
                )
            })?;
        }
        engine.idle(AFTERWARDS, |client, event| self.take(client, &event))?;
        self.wrong?;
        for (client, had) in self.had.iter().enumerate() {
            let sent = self.sent[client / ROOM];
            if *had != sent {
                return Err(Error::Count(format!(
                    "client {client} had {had} messages of {sent}"
                )));
            }
        }
        if self.acked != total {
            return Err(Error::Count(format!(
                "{} acks of {total} messages",
                self.acked
            )));
        }
        Ok(Outcome {
            acked: total,
            elapsed: self.last_ack - begun,
            latency: self.latency,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acks_and_deliveries_are_counted() {
        let rooms = vec!["room".to_owned()];
        let mut sends = Sends::new(&rooms, "test").unwrap();
        sends.due.push(Instant::now());
        sends.take(3, &Event::Packet(b"2[\"message:new\",{}]"));
        sends.take(3, &Event::Packet(b"2[\"typing:changed\",{}]"));
        sends.take(0, &Event::Packet(b"30[{\"ok\":true}]"));
        assert_eq!((sends.had[3], sends.deliveries, sends.acked), (1, 1, 1));
        assert_eq!(sends.free, [0]);
        sends.wrong.unwrap();
    }

    #[test]
    fn a_refusal_and_an_ack_of_nothing_are_failures() {
        let rooms = vec!["room".to_owned()];
        let refused: &[u8] =
            b"30[{\"ok\":false,\"error\":{\"code\":\"rate_limited\",\"message\":\"slow\"}}]";
        for ack in [refused, b"31[{\"ok\":true}]"] {
            let mut sends = Sends::new(&rooms, "test").unwrap();
            sends.due.push(Instant::now());
            sends.take(0, &Event::Packet(ack));
            assert!(sends.wrong.is_err());
            assert_eq!(sends.acked, 0);
        }
    }

    #[test]
    fn a_message_is_an_event_with_an_ack() {
        let bytes = message_frame("r1", "c1", 7);
        let text = crate::frame::parse(&bytes).unwrap().unwrap().payload;
        assert!(text.starts_with(b"427[\"message:send\","));
        let event: serde_json::Value = serde_json::from_slice(&text[3..]).unwrap();
        assert_eq!(event[1]["roomId"], "r1");
        assert_eq!(event[1]["clientId"], "c1");
        assert_eq!(event[1]["body"], BODY);
    }
}
