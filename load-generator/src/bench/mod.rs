//! The whole comparison in one run, round after round.

mod chat;
mod client_process;
pub mod contestant;
mod disk;
pub mod fleet;
pub mod http;
mod machine;
mod rival;
mod round;
pub mod samples;
mod server;

use std::{fs, path::PathBuf, time::Duration};

use clap::Args;

use self::{
    contestant::Contestant,
    samples::{Metric, Moment, Samples},
};
use crate::{
    cpu::{self, Cores},
    error::{Doing, Error, Result},
    report::{self, Report},
};

/// Files that a client or server needs beside its connections.
const OTHER_FILES: u64 = 200;
/// Logs of servers and the data of the chat server, below the directory the command is given in.
const WORK_DIRECTORY: &str = "target/bench";

/// What `bench` is told.
#[derive(Args, Debug)]
pub struct Options {
    /// Rounds; every round takes each server once.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Connections to each server, a multiple of 1,000.
    #[arg(long, default_value_t = 15_000, value_parser = clap::value_parser!(u32).range(1_000..=1_000_000))]
    connections: u32,
    /// A short run to see that all works: 1,000 connections, one round, a tenth of the deliveries.
    #[arg(long, conflicts_with_all = ["rounds", "connections"])]
    quick: bool,
    /// Only this contestant; may be given several times. Ratios need `bare`.
    #[arg(long)]
    only: Vec<Contestant>,
    /// A file for the report, which is printed as well.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// The amounts of a run.
struct Plan {
    connections: usize,
    /// Deliveries of each kind of fan-out.
    deliveries: usize,
    /// How long connections are left idle before memory is read.
    idle: Duration,
    /// The time of each measurement of sends.
    sending: Duration,
}

/// A contestant that could not be measured, or not to the end.
pub struct Failure {
    /// Who failed.
    pub contestant: Contestant,
    /// The round, from 0.
    pub round: usize,
    /// Why.
    pub reason: String,
}

impl Failure {
    fn new(contestant: Contestant, round: usize, error: &Error) -> Self {
        eprintln!("{} failed: {error}", contestant.title());
        Self {
            contestant,
            round,
            reason: error.to_string(),
        }
    }
}

/// Records one contestant's figures of one round.
struct Recorder<'a> {
    samples: &'a mut Samples,
    contestant: Contestant,
    round: usize,
}

impl Recorder<'_> {
    fn record(&mut self, metric: Metric, value: f64) {
        let moment = Moment {
            round: self.round,
            slice: 0,
        };
        self.samples.record(self.contestant, metric, moment, value);
    }
}

/// Runs the comparison in the current directory, which must be the root of the repository. A contestant that fails is
/// reported and the rest goes on.
///
/// # Errors
/// [`Error::Usage`] when the run is impossible from the start; [`Error::Server`] when every contestant failed.
pub fn run(options: &Options) -> Result<()> {
    let plan = Plan {
        connections: if options.quick {
            1_000
        } else {
            options.connections as usize
        },
        deliveries: if options.quick { 20_000 } else { 200_000 },
        idle: Duration::from_secs(if options.quick { 1 } else { 3 }),
        sending: Duration::from_secs(if options.quick { 2 } else { 10 }),
    };
    let rounds = if options.quick { 1 } else { options.rounds };
    let contestants = chosen(&options.only);
    check_possible(&plan)?;
    let cores = Cores::choose()?;
    let mut facts = describe_run(&plan, rounds, cores)?;
    if contestants.contains(&Contestant::Tertulia) {
        facts.push(chat::describe(&plan));
    }
    let versions: Vec<_> = contestants
        .iter()
        .map(|&contestant| (contestant, machine::version(contestant)))
        .collect();
    if let Some(core) = cores.clients {
        cpu::pin(core)?;
    }

    let mut samples = Samples::default();
    let mut failures = Vec::new();
    let (chat, servers): (Vec<_>, Vec<_>) = contestants
        .iter()
        .partition(|contestant| **contestant == Contestant::Tertulia);
    for round in 0..rounds as usize {
        eprintln!("round {} of {rounds}", round + 1);
        if !servers.is_empty() {
            round::measure(&servers, cores, &plan, round, &mut samples, &mut failures);
        }
        for &contestant in &chat {
            let mut recorder = Recorder {
                samples: &mut samples,
                contestant,
                round,
            };
            if let Err(error) = chat::measure(cores, &plan, &mut recorder) {
                failures.push(Failure::new(contestant, round, &error));
            }
        }
    }

    let report = Report {
        facts: &facts,
        versions: &versions,
        samples: &samples,
        failures: &failures,
    }
    .markdown();
    report::publish(&report, options.out.as_deref())?;
    if samples.contestants().is_empty() {
        return Err(Error::Server("no contestant could be measured".into()));
    }
    Ok(())
}

fn chosen(only: &[Contestant]) -> Vec<Contestant> {
    let all = Contestant::SERVERS
        .into_iter()
        .chain([Contestant::Tertulia]);
    all.filter(|contestant| only.is_empty() || only.contains(contestant))
        .collect()
}

fn check_possible(plan: &Plan) -> Result<()> {
    if !plan.connections.is_multiple_of(round::CONNECTS) {
        return Err(Error::Usage(format!(
            "--connections must be a multiple of {}",
            round::CONNECTS
        )));
    }
    if !fs::exists("load-generator/peers").unwrap_or(false) {
        return Err(Error::Usage("run it in the root of the repository".into()));
    }
    fs::create_dir_all(WORK_DIRECTORY).doing(|| format!("creating {WORK_DIRECTORY}"))?;
    let files = cpu::raise_open_files()?;
    let needed = plan.connections as u64 + OTHER_FILES;
    if files < needed {
        return Err(Error::Usage(format!(
            "{} connections need {needed} open files in a process, {files} are allowed (ulimit -Hn)",
            plan.connections
        )));
    }
    Ok(())
}

fn describe_run(plan: &Plan, rounds: u32, cores: Cores) -> Result<Vec<String>> {
    let mut facts = machine::describe(cores)?;
    facts.push(format!(
        "{rounds} rounds, {} connections to each server, about {} deliveries of {} bytes for each kind of fan-out",
        plan.connections,
        plan.deliveries,
        crate::fan_out::PAYLOAD_BYTES
    ));
    facts.push("clients poll instead of sleeping while CPU and latency are measured, for all servers alike".into());
    Ok(facts)
}
