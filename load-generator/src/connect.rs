//! Opens clients and lets them join rooms, a bounded number at a time.

use std::{collections::VecDeque, rc::Rc};

use crate::{
    client::Event,
    engine::{ClientId, Deadline, Engine, Wait},
    error::Result,
    packet::{self, Packet},
};

/// Connects in flight: enough to keep a server busy, far below every listen backlog (Node's is 511).
const CONNECTS_IN_FLIGHT: usize = 64;
const JOINS_IN_FLIGHT: usize = 64;

/// Opens `count` more clients and returns when every one has its namespace. `connect_frame` gives the frame with which
/// the client of that number connects.
///
/// # Errors
/// As [`Engine::open`] and [`Engine::turn`], and after the deadline.
pub fn open(
    engine: &mut Engine,
    count: usize,
    deadline: Deadline,
    mut connect_frame: impl FnMut(ClientId) -> Rc<[u8]>,
) -> Result<()> {
    let (mut opened, mut connected) = (0, 0);
    while connected < count {
        while opened < count && opened - connected < CONNECTS_IN_FLIGHT {
            let frame = connect_frame(engine.len());
            engine.open(frame)?;
            opened += 1;
        }
        engine.turn(Wait::Poll, |_, event| {
            if event == Event::Connected {
                connected += 1;
            }
        })?;
        deadline.check(|| format!("{connected} of {count} connects"))?;
    }
    Ok(())
}

/// Sends every client of `clients` one event and waits for all acks. `event_frame` gives the frame for a client and
/// the id its ack must have; `on_ack` sees the client and the JSON array of the ack.
///
/// # Errors
/// As [`Engine::turn`], what `on_ack` finds wrong, and after the deadline.
pub fn ask_each(
    engine: &mut Engine,
    clients: impl IntoIterator<Item = ClientId>,
    deadline: Deadline,
    mut event_frame: impl FnMut(ClientId, u64) -> Vec<u8>,
    mut on_ack: impl FnMut(ClientId, &[u8]) -> Result<()>,
) -> Result<()> {
    const ACK: u64 = 1;
    let mut waiting: VecDeque<ClientId> = clients.into_iter().collect();
    let count = waiting.len();
    let (mut in_flight, mut acked) = (0, 0);
    let mut wrong = Ok(());
    while acked < count {
        while in_flight < JOINS_IN_FLIGHT
            && let Some(client) = waiting.pop_front()
        {
            let frame = event_frame(client, ACK);
            engine.send(client, &frame)?;
            in_flight += 1;
        }
        engine.turn(Wait::Poll, |client, event| {
            if let Event::Packet(packet) = event
                && let Packet::Ack(ACK, answer) = packet::parse(packet)
            {
                in_flight -= 1;
                acked += 1;
                if wrong.is_ok() {
                    wrong = on_ack(client, answer);
                }
            }
        })?;
        std::mem::replace(&mut wrong, Ok(()))?;
        deadline.check(|| format!("{acked} of {count} acks"))?;
    }
    Ok(())
}
