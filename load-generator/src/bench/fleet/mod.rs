//! A fleet beside another: what a message costs on its way from one instance to another, and how many durable ones go.
//!
//! Everything shares this machine, its Redis and its replica set, and nothing is pinned: clients sleep while nothing
//! comes. CPU is the kernel's account of each process.

mod figures;
mod instances;
mod party;
mod publication;
mod stack;

use std::{
    fs,
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use clap::Args;

use self::{
    figures::{Bystander, FleetFigures, FleetMetric, Process},
    instances::Kind,
    party::{Party, SENDERS},
    publication::{Publication, TURN},
    stack::Stack,
};
use super::{WORK_DIRECTORY, chat::sends, contestant::Contestant, machine, samples::Moment};
use crate::{
    cpu::{self, Cores},
    engine::Engine,
    error::{Doing, Error, Result},
    fan_out::Rooms,
    report::publish,
};

/// The rooms of each kind of fan-out: all subscribers are in some of them.
const ROOMS: [Rooms; 2] = [
    Rooms {
        size: 1_000,
        count: 1,
    },
    Rooms {
        size: 10,
        count: 100,
    },
];
/// Messages of each sender that wait for their acks.
const IN_FLIGHT: [usize; 2] = [1, 4];
/// Durable messages in a second at the steady rate.
const STEADY_RATE: u32 = 500;
/// Publications to each room before any is measured, to warm up what compiles at run time.
const WARM_UP: usize = 3;

/// What `bench-fleet` is told.
#[derive(Args, Debug)]
pub struct Options {
    /// Rounds; every round starts every fleet anew.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// A short run to see that all works: one round, a tenth of the deliveries.
    #[arg(long, conflicts_with = "rounds")]
    quick: bool,
    /// A file for the report, which is printed as well.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// The amounts of a run.
struct Plan {
    slices: usize,
    /// Deliveries on B in a slice.
    deliveries: usize,
    /// The time of each measurement of sends.
    sending: Duration,
}

/// Measures in the current directory, which must be the root of the repository.
///
/// # Errors
/// [`Error::Usage`] when the services don't run, and whatever stops a round: a figure that can't be compared is none.
pub fn run(options: &Options) -> Result<()> {
    let plan = Plan {
        slices: if options.quick { 1 } else { 3 },
        deliveries: if options.quick { 4_000 } else { 40_000 },
        sending: Duration::from_secs(if options.quick { 2 } else { 10 }),
    };
    let rounds = if options.quick { 1 } else { options.rounds };
    let stack = Stack::find()?;
    fs::create_dir_all(WORK_DIRECTORY).doing(|| format!("creating {WORK_DIRECTORY}"))?;
    cpu::raise_open_files()?;
    let unpinned = Cores {
        server: None,
        clients: None,
    };
    let mut facts = machine::describe(unpinned)?;
    for contestant in [Contestant::Tertulia, Contestant::Node] {
        facts.push(format!(
            "{}: {}",
            contestant.title(),
            machine::version(contestant)
        ));
    }
    facts.push(format!(
        "{rounds} rounds; publications: {} slices of about {} deliveries, one publication in flight a room; \
         {SENDERS} senders in rooms of {}, half of each room on A and half on B, {} s; steady rate: {STEADY_RATE}/s",
        plan.slices,
        plan.deliveries,
        sends::ROOM,
        plan.sending.as_secs()
    ));

    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let run = since.map_or(0, |since| since.as_secs());
    let mut figures = FleetFigures::default();
    for round in 0..rounds as usize {
        eprintln!("round {} of {rounds}", round + 1);
        let name = format!("bench_fleet_{run}_{round}");
        measure_round(&stack, &plan, &name, round, &mut figures)?;
    }
    facts.push(format!("load after the run: {}", load()?));

    let sizes = ROOMS.map(|rooms| (rooms.size, rooms.count));
    let mut report = String::from("# A fleet\n\n");
    for fact in &facts {
        report.push_str(&format!("- {fact}\n"));
    }
    report.push_str("\nFigures are medians over the rounds (least – most).\n");
    report.push_str(&figures::tables(&figures, &sizes, &IN_FLIGHT));
    publish(&report, options.out.as_deref())
}

fn load() -> Result<f64> {
    let text = fs::read_to_string("/proc/loadavg").doing(|| "reading the load".into())?;
    let first = text.split_ascii_whitespace().next();
    first
        .and_then(|load| load.parse().ok())
        .ok_or_else(|| Error::Server(format!("the load is not understood: {text}")))
}

fn measure_round(
    stack: &Stack,
    plan: &Plan,
    name: &str,
    round: usize,
    figures: &mut FleetFigures,
) -> Result<()> {
    let mut parties = Vec::new();
    for kind in [Kind::Tertulia, Kind::NodeSharded, Kind::NodePlain] {
        let name = format!("{name}_{kind:?}").to_lowercase();
        parties.push(Party::start(kind, stack, &name, &ROOMS)?);
    }
    let mut runs = 0;
    for shape in 0..ROOMS.len() {
        for slice in 0..=plan.slices {
            for publication in Publication::ALL {
                // Whoever waits answers its pings.
                for party in &mut parties {
                    party.engine.idle(Duration::from_millis(1), |_, _| {})?;
                }
                let kind = publication.kind();
                let Some(party) = parties.iter_mut().find(|party| party.kind == kind) else {
                    continue;
                };
                runs += 1;
                let Some(slice) = slice.checked_sub(1) else {
                    let (rooms, names) = &party.rooms[shape];
                    publication::run(&mut party.engine, publication, *rooms, names, WARM_UP, runs)?;
                    continue;
                };
                let moment = Moment { round, slice };
                let record = |metric, value| figures.record(publication, metric, moment, value);
                measure_publication(stack, plan, party, (publication, shape, runs), record)
                    .map_err(|error| party.instances.explain(error))?;
            }
        }
    }
    parties.truncate(1);
    for party in &mut parties {
        let record = |metric, value| {
            let moment = Moment { round, slice: 0 };
            figures.record(Publication::Durable, metric, moment, value);
        };
        measure_sends(stack, plan, party, record)
            .map_err(|error| party.instances.explain(error))?;
    }
    Ok(())
}

fn measure_publication(
    stack: &Stack,
    plan: &Plan,
    party: &mut Party,
    (publication, shape, run): (Publication, usize, u64),
    mut record: impl FnMut(FleetMetric, f64),
) -> Result<()> {
    let (rooms, names) = &party.rooms[shape];
    let publishes = plan.deliveries / (rooms.size * rooms.count);
    let before = Account::of(stack, party)?;
    let elapsed = publication::run(
        &mut party.engine,
        publication,
        *rooms,
        names,
        publishes,
        run,
    )?;
    let used = Account::of(stack, party)?.since(&before);
    let deliveries = (publishes * rooms.size * rooms.count) as f64;
    let micros = |time: Duration| time.as_secs_f64() * 1e6 / deliveries;
    let size = rooms.size;
    record(
        FleetMetric::DeliveryRate(size),
        deliveries / elapsed.as_secs_f64(),
    );
    record(FleetMetric::PublisherCpu(size), micros(used.instances[0]));
    record(FleetMetric::SubscriberCpu(size), micros(used.instances[1]));
    record(FleetMetric::RedisCpu(size), micros(used.redis));
    if publication == Publication::Durable {
        record(FleetMetric::MongodbCpu(size), micros(used.mongodb));
    }
    Ok(())
}

fn measure_sends(
    stack: &Stack,
    plan: &Plan,
    party: &mut Party,
    mut record: impl FnMut(FleetMetric, f64),
) -> Result<()> {
    let (mut engine, rooms) = party.senders()?;
    let sending = |in_flight| sends::Sending {
        in_flight,
        rate: STEADY_RATE,
        wait: TURN,
    };
    let warm_up = plan.sending / 5;
    sends::closed_loop(&mut engine, &sending(1), &rooms, warm_up, "warm-up")?;
    // Before the database is loaded to its limit: it goes on writing to its disk for a minute after that.
    measure_steady(stack, plan, party, (&mut engine, &rooms), &mut record)?;
    for in_flight in IN_FLIGHT {
        let before = Account::of(stack, party)?;
        let name = format!("closed-{in_flight}");
        let sent = sends::closed_loop(
            &mut engine,
            &sending(in_flight),
            &rooms,
            plan.sending,
            &name,
        )?;
        let used = Account::of(stack, party)?.since(&before);
        let micros = |time: Duration| time.as_secs_f64() * 1e6 / sent.acked as f64;
        record(FleetMetric::AckRate(in_flight), sent.rate());
        record(FleetMetric::AckP50(in_flight), sent.milliseconds(0.5));
        record(FleetMetric::AckP99(in_flight), sent.milliseconds(0.99));
        let two = used.instances[0] + used.instances[1];
        for (process, time) in [
            (Process::Instances, two),
            (Process::Redis, used.redis),
            (Process::Mongodb, used.mongodb),
        ] {
            record(FleetMetric::MessageCpu(in_flight, process), micros(time));
        }
        party.engine.idle(Duration::from_millis(1), |_, _| {})?;
    }
    Ok(())
}

/// At the steady rate: how soon messages are there, and what an instance has of them that isn't the sender's.
fn measure_steady(
    stack: &Stack,
    plan: &Plan,
    party: &mut Party,
    (engine, rooms): (&mut Engine, &[String]),
    mut record: impl FnMut(FleetMetric, f64),
) -> Result<()> {
    let sending = sends::Sending {
        in_flight: 1,
        rate: STEADY_RATE,
        wait: TURN,
    };
    record(FleetMetric::Load, load()?);
    for busy in [false, true] {
        let before = Traffic::of(stack, party)?;
        let begun = std::time::Instant::now();
        if busy {
            let sent = sends::steady(engine, &sending, rooms, plan.sending, "steady")?;
            record(FleetMetric::SteadyAckP99, sent.milliseconds(0.99));
            record(FleetMetric::CrossingP50, sent.delivery_milliseconds(0.5));
            record(FleetMetric::CrossingP99, sent.delivery_milliseconds(0.99));
        } else {
            engine.idle(plan.sending, |_, _| {})?;
        }
        let seconds = begun.elapsed().as_secs_f64();
        let after = Traffic::of(stack, party)?;
        for (who, place) in [(Bystander::B, 1), (Bystander::C, 2)] {
            let cpu = after.cpu[place].saturating_sub(before.cpu[place]);
            let bytes = after.bytes[place].saturating_sub(before.bytes[place]);
            record(
                FleetMetric::CpuRate(who, busy),
                cpu.as_secs_f64() * 1e3 / seconds,
            );
            record(FleetMetric::RedisBytes(who, busy), bytes as f64 / seconds);
        }
        party.engine.idle(Duration::from_millis(1), |_, _| {})?;
    }
    Ok(())
}

/// CPU time used so far.
struct Account {
    instances: Vec<Duration>,
    redis: Duration,
    mongodb: Duration,
}

impl Account {
    fn of(stack: &Stack, party: &Party) -> Result<Self> {
        Ok(Self {
            instances: party.instances.cpu()?,
            redis: stack.redis_cpu()?,
            mongodb: stack.mongodb_cpu()?,
        })
    }

    fn since(&self, before: &Self) -> Self {
        let instances = self.instances.iter().zip(&before.instances);
        Self {
            instances: instances
                .map(|(after, before)| after.saturating_sub(*before))
                .collect(),
            redis: self.redis.saturating_sub(before.redis),
            mongodb: self.mongodb.saturating_sub(before.mongodb),
        }
    }
}

/// What each instance has used and had from Redis so far.
struct Traffic {
    cpu: Vec<Duration>,
    bytes: Vec<u64>,
}

impl Traffic {
    fn of(stack: &Stack, party: &Party) -> Result<Self> {
        let places = 0..party.instances.servers.len();
        Ok(Self {
            cpu: party.instances.cpu()?,
            bytes: places
                .map(|place| party.instances.bytes_from_redis(place, stack))
                .collect::<Result<_>>()?,
        })
    }
}
