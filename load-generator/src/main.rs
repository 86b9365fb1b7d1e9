//! Clients by the thousand for Socket.IO servers, and the comparison of servers by what they cost.
//!
//! `bench` runs the whole comparison, `bench-fleet` that of several instances, `bench-http` that of HTTP reads, `drive` loads one server that runs already, `bare` is the limit that servers are
//! compared with.

mod bare;
mod bench;
mod client;
mod clients;
mod connect;
mod cpu;
mod drive;
mod engine;
mod error;
mod fan_out;
mod frame;
mod packet;
mod proc_stat;
mod report;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about, version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Compare servers: memory, CPU per connect and per delivery, latency, durable chat
    Bench(bench::Options),
    /// Measure a fleet beside one of Node on the services of scripts/stack: CPU across instances, durable messages
    BenchFleet(bench::fleet::Options),
    /// Measure HTTP reads beside an axum route that answers the same bytes
    BenchHttp(bench::http::Options),
    /// Load a running server that knows the events `join` and `publish`
    Drive(drive::Options),
    /// Serve the least that a server can do, on 127.0.0.1 at the port in PORT
    Bare,
    /// Be the clients of one server, ordered by the standard input
    #[command(hide = true)]
    Clients {
        /// Where the server listens.
        address: std::net::SocketAddrV4,
    },
    /// Run a command pinned to a core, until the parent ends
    #[command(hide = true)]
    RunPinned {
        #[arg(long)]
        core: Option<usize>,
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Bench(options) => bench::run(&options),
        Command::BenchFleet(options) => bench::fleet::run(&options),
        Command::BenchHttp(options) => bench::http::run(&options),
        Command::Drive(options) => drive::run(&options),
        Command::Bare => bare::run(),
        Command::Clients { address } => clients::run(address),
        Command::RunPinned { core, command } => Err(cpu::become_pinned(core, &command)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
