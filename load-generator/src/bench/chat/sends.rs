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

/// Members of each of the senders' rooms; every message is delivered to all of them.
pub const ROOM: usize = 10;
/// Digits at the start of a body that number the message.
const NUMBER_DIGITS: usize = 10;
/// What is in front of a body in a delivery.
const BODY_PREFIX: &[u8] = b"\"body\":\"";
/// The body of a message.
const BODY: &str = "Shall we meet at the café on the corner at half past seven?";
/// How long acks and deliveries may take after the last send.
const DRAIN_TIME: Duration = Duration::from_secs(60);
/// How long a delivery too many is waited for.
const AFTERWARDS: Duration = Duration::from_millis(200);

/// How messages are sent.
#[derive(Clone, Copy, Debug)]
pub struct Sending {
    /// Messages of each sender that wait for their acks, in the closed loop.
    pub in_flight: usize,
    /// Messages in a second, at the steady rate.
    pub rate: u32,
    /// What the clients do while nothing comes.
    pub wait: Wait,
}

/// What was seen.
pub struct Outcome {
    /// Messages sent and acked.
    pub acked: usize,
    elapsed: Duration,
    latency: Histogram<u64>,
    deliveries: Histogram<u64>,
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

    /// A quantile of the time to the deliveries on another instance than the sender's, in milliseconds.
    pub fn delivery_milliseconds(&self, quantile: f64) -> f64 {
        self.deliveries.value_at_quantile(quantile) as f64 / 1e6
    }
}

/// The frame of a `message:send`. `client_id` and `room` need no escaping.
pub fn message_frame(room: &str, client_id: &str, ack: u64) -> Vec<u8> {
    let message = format!(
        "{{\"roomId\":\"{room}\",\"clientId\":\"{client_id}\",\"body\":\"{ack:0NUMBER_DIGITS$} {BODY}\"}}"
    );
    packet::event_frame("message:send", &[&message], Some(ack))
}

/// Messages and their acks and deliveries; the number of a message is also the id of its ack.
struct Sends<'a> {
    sending: &'a Sending,
    rooms: &'a [String],
    /// Makes this run's `clientId`s its own.
    name: &'a str,
    /// The sender of each message, and when it was due.
    due: Vec<(ClientId, Instant)>,
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
    /// The time to deliveries on another instance than the sender's.
    crossing: Histogram<u64>,
    wrong: Result<()>,
}

/// The place of a client's instance where clients are on two in turn. So half of a room is on each.
pub fn instance_in_turn(client: ClientId) -> usize {
    client % 2
}

/// Every client of the rooms sends its next message when one is acked.
///
/// # Errors
/// A refusal, a lost connection, and [`Error::Count`] when a message wasn't delivered exactly once to each member.
pub fn closed_loop(
    engine: &mut Engine,
    sending: &Sending,
    rooms: &[String],
    time: Duration,
    name: &str,
) -> Result<Outcome> {
    let mut sends = Sends::new(sending, rooms, name)?;
    let begun = Instant::now();
    for _ in 0..sending.in_flight {
        sends.free.extend(0..sends.had.len());
    }
    while begun.elapsed() < time {
        for sender in std::mem::take(&mut sends.free) {
            sends.send(engine, sender, Instant::now())?;
        }
        sends.turn(engine, sending.wait)?;
    }
    sends.finish(engine, begun)
}

/// The clients, one after the other, send so many messages a second, whatever happens to the acks.
///
/// # Errors
/// As [`closed_loop`].
pub fn steady(
    engine: &mut Engine,
    sending: &Sending,
    rooms: &[String],
    time: Duration,
    name: &str,
) -> Result<Outcome> {
    let mut sends = Sends::new(sending, rooms, name)?;
    let interval = Duration::from_secs(1) / sending.rate;
    let total = (time.as_secs_f64() / interval.as_secs_f64()) as u32;
    let begun = Instant::now();
    let mut next = 0;
    while next < total {
        let due = begun + interval * next;
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            sends.send(engine, next as usize % sends.had.len(), due)?;
            next += 1;
        } else {
            let wait = match sending.wait {
                Wait::Poll => Wait::Poll,
                Wait::Sleep(longest) => Wait::Sleep(longest.min(left)),
            };
            sends.turn(engine, wait)?;
        }
    }
    sends.finish(engine, begun)
}

impl<'a> Sends<'a> {
    fn new(sending: &'a Sending, rooms: &'a [String], name: &'a str) -> Result<Self> {
        Ok(Self {
            sending,
            rooms,
            name,
            due: Vec::new(),
            acked: 0,
            last_ack: Instant::now(),
            free: Vec::new(),
            sent: vec![0; rooms.len()],
            had: vec![0; rooms.len() * ROOM],
            deliveries: 0,
            latency: new_histogram()?,
            crossing: new_histogram()?,
            wrong: Ok(()),
        })
    }

    fn send(&mut self, engine: &mut Engine, sender: ClientId, due: Instant) -> Result<()> {
        let number = self.due.len();
        let room = sender / ROOM;
        self.due.push((sender, due));
        self.sent[room] += 1;
        let client_id = format!("{}-{number}", self.name);
        engine.send(
            sender,
            &message_frame(&self.rooms[room], &client_id, number as u64),
        )
    }

    fn turn(&mut self, engine: &mut Engine, wait: Wait) -> Result<()> {
        engine.turn(wait, |client, event| self.take(client, &event))?;
        std::mem::replace(&mut self.wrong, Ok(()))
    }

    fn take(&mut self, client: ClientId, event: &Event<'_>) {
        if is_message(event) {
            self.had[client] += 1;
            self.deliveries += 1;
            self.take_delivery(client, event);
        } else if let Event::Packet(packet) = event
            && let Packet::Ack(number, answer) = packet::parse(packet)
            && self.wrong.is_ok()
        {
            self.wrong = self.take_ack(client, number, answer);
        }
    }

    fn take_delivery(&mut self, client: ClientId, event: &Event<'_>) {
        let Event::Packet(packet) = event else { return };
        let Some((sender, due)) = message_number(packet).and_then(|number| self.due.get(number))
        else {
            self.wrong = Err(Error::Count("a message that was not sent now".into()));
            return;
        };
        if instance_in_turn(*sender) != instance_in_turn(client) {
            self.crossing
                .saturating_record(due.elapsed().as_nanos() as u64);
        }
    }

    fn take_ack(&mut self, client: ClientId, number: u64, answer: &[u8]) -> Result<()> {
        check_ok(answer)?;
        let due = usize::try_from(number)
            .ok()
            .and_then(|number| self.due.get(number));
        let (_, due) = due.ok_or_else(|| Error::Count(format!("an ack {number} of nothing")))?;
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
            self.turn(engine, self.sending.wait)?;
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
            deliveries: self.crossing,
        })
    }
}

/// The number of a message that is delivered.
fn message_number(packet: &[u8]) -> Option<usize> {
    let body = packet
        .windows(BODY_PREFIX.len())
        .position(|window| window == BODY_PREFIX)?
        + BODY_PREFIX.len();
    let number = packet::digits_to_number(packet.get(body..body + NUMBER_DIGITS)?)?;
    usize::try_from(number).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENDING: Sending = Sending {
        in_flight: 1,
        rate: 1,
        wait: Wait::Poll,
    };

    #[test]
    fn acks_and_deliveries_are_counted() {
        let rooms = vec!["room".to_owned()];
        let mut sends = Sends::new(&SENDING, &rooms, "test").unwrap();
        sends.due.push((0, Instant::now()));
        sends.take(
            3,
            &Event::Packet(b"2[\"message:new\",{\"body\":\"0000000000 x\"}]"),
        );
        sends.take(3, &Event::Packet(b"2[\"typing:changed\",{}]"));
        sends.take(0, &Event::Packet(b"30[{\"ok\":true}]"));
        assert_eq!(sends.crossing.len(), 1);
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
            let mut sends = Sends::new(&SENDING, &rooms, "test").unwrap();
            sends.due.push((0, Instant::now()));
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
        assert_eq!(event[1]["body"], format!("0000000007 {BODY}"));
    }
}
