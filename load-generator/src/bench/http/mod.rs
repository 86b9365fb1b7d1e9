//! HTTP reads beside an axum route that answers the same bytes: what the server adds to its HTTP library.

mod readers;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;

use self::readers::Readers;
use super::{
    WORK_DIRECTORY,
    chat::accounts::{self, Account},
    contestant::{Contestant, must_exist},
    machine,
    samples::{Figures, Moment, Spread},
    server::{Server, free_port},
};
use crate::{
    cpu::{self, Cores},
    error::{Doing, Error, Result},
    proc_stat,
    report::{publish, show, table},
};

const AXUM: &str = "load-generator/peers/axum/target/release/axum-peer";
const BUILD_AXUM: &str =
    "cargo build --release --manifest-path load-generator/peers/axum/Cargo.toml";
/// Connections that read, each with one request in flight.
const CONNECTIONS: usize = 32;
/// Messages in the room whose history is read: more than a page.
const MESSAGES: usize = 60;
/// Slices of a round: the two servers take turns.
const SLICES: usize = 5;

/// What `bench-http` is told.
#[derive(Args, Debug)]
pub struct Options {
    /// Rounds; every round starts both servers anew.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// A short run to see that all works: one round of short slices.
    #[arg(long, conflicts_with = "rounds")]
    quick: bool,
    /// A file for the report, which is printed as well.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// What is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Read {
    /// `GET /health/live`: nothing but the way in and out.
    Live,
    /// `GET me`.
    Me,
    /// A page of 50 messages.
    History,
}

impl Read {
    const ALL: [Self; 3] = [Self::Live, Self::Me, Self::History];

    fn title(self) -> &'static str {
        match self {
            Self::Live => "`GET /health/live`",
            Self::Me => "`GET me`",
            Self::History => "a page of history, 50 messages",
        }
    }

    /// The route of the peer, and the name of the file with its answer.
    fn file(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Me => "me",
            Self::History => "history",
        }
    }

    fn path(self, room: &str) -> String {
        match self {
            Self::Live => "/health/live".into(),
            Self::Me => "/api/v1/me".into(),
            Self::History => format!("/api/v1/rooms/{room}/messages"),
        }
    }
}

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Answerer {
    Axum,
    Tertulia,
}

/// Microseconds of CPU for each request.
type HttpFigures = Figures<Answerer, Read>;

/// Measures in the current directory, which must be the root of the repository.
///
/// # Errors
/// [`Error::Server`] when a program isn't built or ends, and whatever stops a round.
pub fn run(options: &Options) -> Result<()> {
    must_exist(AXUM, BUILD_AXUM)?;
    fs::create_dir_all(WORK_DIRECTORY).doing(|| format!("creating {WORK_DIRECTORY}"))?;
    let rounds = if options.quick { 1 } else { options.rounds };
    let time = Duration::from_millis(if options.quick { 200 } else { 1_000 });
    let cores = Cores::choose()?;
    let mut facts = machine::describe(cores)?;
    facts.push(format!(
        "{}: {}",
        Contestant::Tertulia.title(),
        machine::version(Contestant::Tertulia)
    ));
    facts.push(format!(
        "{rounds} rounds of {SLICES} slices of {} ms; {CONNECTIONS} connections, one request in flight on each, no compression; SQLite on disk",
        time.as_millis()
    ));
    if let Some(core) = cores.clients {
        cpu::pin(core)?;
    }
    let mut figures = HttpFigures::default();
    for round in 0..rounds as usize {
        eprintln!("round {} of {rounds}", round + 1);
        measure_round(cores, time, round, &mut figures)?;
    }
    let report = report(&facts, &figures);
    publish(&report, options.out.as_deref())
}

fn measure_round(
    cores: Cores,
    time: Duration,
    round: usize,
    figures: &mut HttpFigures,
) -> Result<()> {
    let work = Path::new(WORK_DIRECTORY);
    let [data, answers] = ["data", "answers"].map(|name| work.join(name));
    for directory in [&data, &answers] {
        if directory.exists() {
            fs::remove_dir_all(directory).doing(|| format!("removing {}", directory.display()))?;
        }
        fs::create_dir_all(directory).doing(|| format!("creating {}", directory.display()))?;
    }
    let settings = [
        ("DATA_DIR", data.display().to_string()),
        ("HOST", "127.0.0.1".into()),
        ("METRICS_PORT", free_port()?.to_string()),
        ("WORKER_THREADS", "1".into()),
    ];
    let command = Contestant::Tertulia.command()?;
    let log = work.join("tertulia.log");
    let mut tertulia = Server::start(&command, &settings, cores.server, &log)?;
    let account = accounts::register(tertulia.address, 0)?;
    let room = accounts::create_room(tertulia.address, 0, &account, "history")?;
    for number in 0..MESSAGES {
        accounts::post_message(tertulia.address, &account, &room, number)?;
    }
    for read in Read::ALL {
        let mut reader = Readers::connect(tertulia.address, &read.path(&room), &account, 1)?;
        let file = answers.join(read.file());
        fs::write(&file, reader.ask()?).doing(|| format!("writing {}", file.display()))?;
    }
    let settings = [("ANSWERS", answers.display().to_string())];
    let log = work.join("axum.log");
    let mut axum = Server::start(&[AXUM.into()], &settings, cores.server, &log)?;
    // The first slice warms up.
    for slice in 0..=SLICES {
        for read in Read::ALL {
            let paths = [
                (Answerer::Axum, &axum, format!("/{}", read.file())),
                (Answerer::Tertulia, &tertulia, read.path(&room)),
            ];
            for (answerer, server, path) in paths {
                let cost = measure(server, &account, &path, time)?;
                if let Some(slice) = slice.checked_sub(1) {
                    figures.record(answerer, read, Moment { round, slice }, cost);
                }
            }
        }
    }
    axum.check_alive()?;
    tertulia.check_alive()?;
    drop((axum, tertulia));
    fs::remove_dir_all(&data).doing(|| format!("removing {}", data.display()))
}

/// Microseconds of the server's CPU for each request.
fn measure(server: &Server, account: &Account, path: &str, time: Duration) -> Result<f64> {
    let mut readers = Readers::connect(server.address, path, account, CONNECTIONS)?;
    let before = proc_stat::cpu_time(server.pid())?;
    let answers = readers.run(time)?;
    let cpu = proc_stat::cpu_time(server.pid())? - before;
    if answers == 0 {
        return Err(Error::Server(format!("{path} wasn't answered")));
    }
    Ok(cpu.as_secs_f64() * 1e6 / answers as f64)
}

fn report(facts: &[String], figures: &HttpFigures) -> String {
    let mut text = String::from("# HTTP reads\n\n");
    for fact in facts {
        text.push_str(&format!("- {fact}\n"));
    }
    text.push_str(
        "\nFigures are medians over the rounds (least – most). The ratio is of requests a second and core, to the axum route that answers the same head and body.\n\n",
    );
    let head = ["axum alone, µs of CPU", "Tertulia, µs of CPU", "ratio"];
    let rows = Read::ALL.iter().map(|&read| {
        let cost = |answerer| Some(show(figures.spread(answerer, read)?, 1.0, 1));
        let ratio = figures.compared(Answerer::Axum, Answerer::Tertulia, read);
        let ratio = ratio.map(|ratio: Spread| show(ratio, 1.0, 2));
        let cells = vec![cost(Answerer::Axum), cost(Answerer::Tertulia), ratio];
        (read.title(), cells)
    });
    table(&mut text, "request", &head, rows);
    text
}
