//! One round: all servers run at once, each with all its connections, and every step is taken by one after the other.
//!
//! Only one of them ever has something to do. Steps are short slices, so that whatever else slows the machine down
//! for a while slows all of them alike: a ratio compares what was measured within a second or two.

use std::{path::Path, thread};

use super::{
    Failure, Plan,
    contestant::Contestant,
    rival::Rival,
    samples::{Metric, Moment, Samples},
};
use crate::{
    cpu::Cores,
    error::Result,
    fan_out::{Load, Rooms},
};

/// The room in which every connection has its one message before memory is measured again.
const USED_ROOM: usize = 1_000;
const ROOM_SIZES: [usize; 3] = [10, USED_ROOM, 10_000];
const IN_FLIGHT: [usize; 2] = [1, 8];
/// Small rooms are used side by side until this many members listen, so that the server is as busy as with one large
/// room.
const ACTIVE_MEMBERS: usize = 1_000;
/// Connections opened in a slice; all connections of a run are a multiple of it, and so fill the larger rooms.
pub const CONNECTS: usize = 1_000;
/// Deliveries of a slice, at least.
const DELIVERIES: usize = 20_000;
/// Publishes of a slice for each in flight, at least: its beginning and end are not to weigh.
const TURNS: usize = 4;
/// Slices of one kind of fan-out, at least.
const SLICES: usize = 3;

/// Those that are still in the round.
struct Field<'a> {
    rivals: Vec<Rival>,
    round: usize,
    failures: &'a mut Vec<Failure>,
}

impl Field<'_> {
    /// Takes a step with each in turn; whoever fails is out of the round.
    fn each(&mut self, mut step: impl FnMut(&mut Rival) -> Result<()>) {
        self.rivals.retain_mut(|rival| match step(rival) {
            Ok(()) => true,
            Err(error) => {
                let error = rival.explain(error);
                self.failures
                    .push(Failure::new(rival.contestant, self.round, &error));
                false
            }
        });
    }
}

/// Measures one round.
pub fn measure(
    contestants: &[Contestant],
    cores: Cores,
    plan: &Plan,
    round: usize,
    samples: &mut Samples,
    failures: &mut Vec<Failure>,
) {
    let mut field = Field {
        rivals: Vec::new(),
        round,
        failures,
    };
    for &contestant in contestants {
        match Rival::start(contestant, cores, Path::new(super::WORK_DIRECTORY)) {
            Ok(rival) => field.rivals.push(rival),
            Err(error) => field.failures.push(Failure::new(contestant, round, &error)),
        }
    }
    field.each(Rival::warm_up);
    thread::sleep(plan.idle);
    field.each(Rival::note_memory);
    measure_connections(&mut field, plan, samples);
    for size in ROOM_SIZES
        .into_iter()
        .filter(|&size| size <= plan.connections)
    {
        measure_fan_out(&mut field, plan, size, samples);
    }
    field.each(Rival::close);
}

fn measure_connections(field: &mut Field<'_>, plan: &Plan, samples: &mut Samples) {
    let round = field.round;
    for slice in 0..plan.connections / CONNECTS {
        field.each(|rival| rival.open(CONNECTS, Moment { round, slice }, samples));
    }
    thread::sleep(plan.idle);
    field.each(|rival| rival.record_memory(plan.connections, Metric::IdleBytes, round, samples));

    let rooms = Rooms::filling(USED_ROOM, plan.connections);
    field.each(|rival| rival.join(rooms));
    let one_each = Load {
        in_flight: 1,
        rooms: rooms.count,
        publishes: 1,
    };
    field.each(|rival| rival.publish(rooms, one_each));
    thread::sleep(plan.idle);
    field.each(|rival| rival.record_memory(plan.connections, Metric::UsedBytes, round, samples));
}

fn measure_fan_out(field: &mut Field<'_>, plan: &Plan, size: usize, samples: &mut Samples) {
    let rooms = Rooms::filling(size, plan.connections);
    if size != USED_ROOM {
        field.each(|rival| rival.join(rooms));
    }
    let active = (ACTIVE_MEMBERS / size).clamp(1, rooms.count);
    for in_flight in IN_FLIGHT {
        let publishes = (DELIVERIES / (size * active)).max(TURNS * in_flight);
        let load = Load {
            in_flight,
            rooms: active,
            publishes,
        };
        let slices = (plan.deliveries / (publishes * size * active)).max(SLICES);
        let warm_up = Load {
            publishes: in_flight,
            ..load
        };
        field.each(|rival| rival.publish(rooms, warm_up));
        for slice in 0..slices {
            let moment = Moment {
                round: field.round,
                slice,
            };
            field.each(|rival| rival.measure_publish(rooms, load, moment, samples));
        }
    }
}
