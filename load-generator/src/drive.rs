//! Loads one server that runs already, for whoever works on that server.

use std::{net::SocketAddrV4, rc::Rc, time::Duration};

use clap::Args;

use crate::{
    connect, cpu,
    engine::{Deadline, Engine},
    error::{Error, Result},
    fan_out::{self, Load, Rooms},
    packet, proc_stat,
};

const STEP_TIME: Duration = Duration::from_secs(600);
/// A server may still be setting up its handlers when the namespace is connected.
const SETTLE: Duration = Duration::from_millis(200);

/// What `drive` is told.
#[derive(Args, Debug)]
pub struct Options {
    /// Where the server listens.
    address: SocketAddrV4,
    /// Connections to open.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    connections: u32,
    /// Members of a room.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    room: u32,
    /// Rooms in use at the same time.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    rooms: u32,
    /// Publishes in flight in each room, each from another member.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    in_flight: u32,
    /// Publishes to each room.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    publishes: u32,
    /// The server's process, to see its CPU time and memory as well.
    #[arg(long)]
    pid: Option<u32>,
    /// The processor to pin the clients to.
    #[arg(long)]
    core: Option<usize>,
}

/// Connects, publishes, prints what it saw, and closes.
///
/// # Errors
/// [`Error::Usage`] when there are fewer connections than members, and whatever goes wrong with the server.
pub fn run(options: &Options) -> Result<()> {
    let connections = options.connections as usize;
    let rooms = Rooms::filling(options.room as usize, connections);
    if rooms.count < options.rooms as usize {
        return Err(Error::Usage(format!(
            "{connections} connections fill only {} such rooms",
            rooms.count
        )));
    }
    cpu::raise_open_files()?;
    options.core.map_or(Ok(()), cpu::pin)?;

    let mut engine = Engine::new(options.address)?;
    let frame: Rc<[u8]> = packet::connect_frame(None).into();
    let before = Account::of(options.pid)?;
    connect::open(&mut engine, connections, Deadline::after(STEP_TIME), |_| {
        Rc::clone(&frame)
    })?;
    engine.idle(SETTLE, |_, _| {})?;
    if let (Some(before), Some(after)) = (before, Account::of(options.pid)?) {
        let (cpu, memory) = after.since(before, connections as u64);
        println!("a connect: {cpu:.1} µs of the server's CPU, {memory:.0} bytes of its memory");
    }

    rooms.join(&mut engine, Deadline::after(STEP_TIME))?;
    let load = Load {
        in_flight: options.in_flight as usize,
        rooms: options.rooms as usize,
        publishes: options.publishes as usize,
    };
    let before = Account::of(options.pid)?;
    let outcome = fan_out::run(&mut engine, rooms, load, &mut 0, Deadline::after(STEP_TIME))?;
    engine.idle(SETTLE, |_, _| {})?;
    println!(
        "{} deliveries, {:.0}/s; latency p50 {:.2} ms, p99 {:.2} ms; {} out of order; clients busy {:.0} %",
        outcome.deliveries,
        outcome.deliveries as f64 / outcome.elapsed.as_secs_f64(),
        outcome.latency_p50.as_secs_f64() * 1e3,
        outcome.latency_p99.as_secs_f64() * 1e3,
        outcome.out_of_order,
        outcome.clients_busy * 100.0
    );
    if let (Some(before), Some(after)) = (before, Account::of(options.pid)?) {
        let (cpu, _) = after.since(before, outcome.deliveries);
        println!("a delivery: {cpu:.2} µs of the server's CPU");
    }
    Ok(())
}

/// CPU time and memory of a process at one moment.
#[derive(Clone, Copy)]
struct Account {
    cpu: Duration,
    memory: u64,
}

impl Account {
    fn of(pid: Option<u32>) -> Result<Option<Self>> {
        pid.map(|pid| {
            Ok(Self {
                cpu: proc_stat::cpu_time(pid)?,
                memory: proc_stat::memory(pid)?,
            })
        })
        .transpose()
    }

    /// Microseconds of CPU and bytes of memory for each of `count`.
    fn since(self, before: Self, count: u64) -> (f64, f64) {
        let count = count as f64;
        let cpu = self.cpu.saturating_sub(before.cpu).as_secs_f64() * 1e6 / count;
        (cpu, (self.memory as f64 - before.memory as f64) / count)
    }
}
