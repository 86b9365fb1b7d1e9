//! The whole server: memory of authenticated connections that are in a room, and durable sends, on SQLite on disk.
//!
//! Passwords are slow to hash on purpose, so there are fewer users than connections: one user has about fifty, in
//! different rooms.

pub(super) mod accounts;
pub(super) mod sends;

use std::{
    fs,
    path::PathBuf,
    rc::Rc,
    time::{Duration, Instant},
};

use serde::Deserialize;

use self::accounts::Account;
use super::{
    Plan, Recorder, WORK_DIRECTORY,
    contestant::Contestant,
    disk,
    samples::Metric,
    server::{Server, free_port},
};
use crate::{
    client::Event,
    connect,
    cpu::Cores,
    engine::{ClientId, Deadline, Engine, Wait},
    error::{Doing, Error, Result},
    packet, proc_stat,
};

/// Connections of one user.
const CONNECTIONS_PER_USER: usize = 50;
/// Connections in one room, all of different users.
const ROOM: usize = 100;
const STEP_TIME: Duration = Duration::from_secs(180);
/// What a connected client must have had before CPU time is read.
const SETTLE: Duration = Duration::from_millis(300);
const DISK_TIME: Duration = Duration::from_secs(1);
/// Connections that send durable messages.
const SENDERS: usize = 100;
/// How they send: 1,000 messages a second at the steady rate.
const SENDING: sends::Sending = sends::Sending {
    in_flight: 1,
    rate: 1_000,
    wait: Wait::Poll,
};
/// How a new message begins on the wire.
pub(super) const MESSAGE_NEW: &[u8] = b"2[\"message:new\",";

/// Measures the server in one round, with a data directory of its own.
///
/// # Errors
/// Whatever stops it; figures recorded before stay.
pub fn measure(cores: Cores, plan: &Plan, recorder: &mut Recorder<'_>) -> Result<()> {
    let command = Contestant::Tertulia.command()?;
    let work = PathBuf::from(WORK_DIRECTORY);
    let data = work.join("data");
    empty(&data)?;
    recorder.record(Metric::DiskSyncs, disk::syncs_per_second(&data, DISK_TIME)?);
    let settings = [
        ("DATA_DIR", data.display().to_string()),
        ("HOST", "127.0.0.1".into()),
        ("METRICS_PORT", free_port()?.to_string()),
        ("WORKER_THREADS", "1".into()),
    ];
    let mut server = Server::start(
        &command,
        &settings,
        cores.server,
        &work.join("tertulia.log"),
    )?;
    let measured = measure_running(&server, plan, recorder);
    server.check_alive().and(measured)?;
    drop(server);
    fs::remove_dir_all(&data).doing(|| format!("removing {}", data.display()))
}

/// Who connects and sends, for the report.
pub fn describe(plan: &Plan) -> String {
    format!(
        "chat: {} connections of {} users registered with passwords, each connection in one room of {ROOM}; \
         then {} senders in rooms of {}, SQLite on disk",
        plan.connections,
        users(plan),
        SENDERS,
        sends::ROOM
    )
}

fn users(plan: &Plan) -> usize {
    (plan.connections / CONNECTIONS_PER_USER).max(SENDERS)
}

fn empty(directory: &PathBuf) -> Result<()> {
    if directory.exists() {
        fs::remove_dir_all(directory).doing(|| format!("removing {}", directory.display()))?;
    }
    fs::create_dir_all(directory).doing(|| format!("creating {}", directory.display()))
}

fn measure_running(server: &Server, plan: &Plan, recorder: &mut Recorder<'_>) -> Result<()> {
    let accounts: Vec<Account> = (0..users(plan))
        .map(|number| accounts::register(server.address, number))
        .collect::<Result<_>>()?;
    let rooms = create_rooms(server, &accounts, "idle", plan.connections / ROOM)?;
    let sending_rooms = create_rooms(server, &accounts, "sends", SENDERS / sends::ROOM)?;

    // The warm-up is the sending itself, in short: it passes through every part of the server.
    let mut senders = join(server, &accounts, &sending_rooms, SENDERS, sends::ROOM)?;
    sends::closed_loop(
        &mut senders,
        &SENDING,
        &sending_rooms,
        plan.sending / 5,
        "warm-up",
    )?;
    drop(senders);
    measure_memory(server, plan, recorder, &accounts, &rooms)?;

    let mut senders = join(server, &accounts, &sending_rooms, SENDERS, sends::ROOM)?;
    let cpu = proc_stat::cpu_time(server.pid())?;
    let closed = sends::closed_loop(
        &mut senders,
        &SENDING,
        &sending_rooms,
        plan.sending,
        "closed",
    )?;
    let cpu = proc_stat::cpu_time(server.pid())? - cpu;
    recorder.record(Metric::SendRate, closed.rate());
    recorder.record(
        Metric::SendCpu,
        cpu.as_secs_f64() * 1e6 / closed.acked as f64,
    );
    recorder.record(Metric::SendP50, closed.milliseconds(0.5));
    recorder.record(Metric::SendP99, closed.milliseconds(0.99));

    let steady = sends::steady(
        &mut senders,
        &SENDING,
        &sending_rooms,
        plan.sending,
        "steady",
    )?;
    recorder.record(Metric::SteadyP50, steady.milliseconds(0.5));
    recorder.record(Metric::SteadyP99, steady.milliseconds(0.99));
    Ok(())
}

/// Public rooms, each of another owner; their ids.
fn create_rooms(
    server: &Server,
    accounts: &[Account],
    name: &str,
    count: usize,
) -> Result<Vec<String>> {
    (0..count)
        .map(|number| {
            let owner = number % accounts.len();
            accounts::create_room(
                server.address,
                owner,
                &accounts[owner],
                &format!("{name} {number}"),
            )
        })
        .collect()
}

/// Connects `count` clients, of one account after the other, and lets the first `size` of them join the first room,
/// the next the second, and so on.
fn join(
    server: &Server,
    accounts: &[Account],
    rooms: &[String],
    count: usize,
    size: usize,
) -> Result<Engine> {
    let mut engine = Engine::new(server.address)?;
    let deadline = Deadline::after(STEP_TIME);
    let frames: Vec<Rc<[u8]>> = accounts.iter().map(Account::connect_frame).collect();
    connect::open(&mut engine, count, deadline, |client| {
        Rc::clone(&frames[client % frames.len()])
    })?;
    let join = |client: ClientId, ack| {
        let room = serde_json::json!({ "roomId": rooms[client / size] }).to_string();
        packet::event_frame("room:join", &[&room], Some(ack))
    };
    connect::ask_each(
        &mut engine,
        0..rooms.len() * size,
        deadline,
        join,
        |_, answer| check_ok(answer),
    )?;
    Ok(engine)
}

fn measure_memory(
    server: &Server,
    plan: &Plan,
    recorder: &mut Recorder<'_>,
    accounts: &[Account],
    rooms: &[String],
) -> Result<()> {
    let members = rooms.len() * ROOM;
    let count = members as f64;
    std::thread::sleep(plan.idle);
    let memory = proc_stat::memory(server.pid())?;
    let slab = proc_stat::kernel_slab()?;
    let cpu = proc_stat::cpu_time(server.pid())?;
    let begun = Instant::now();
    let mut engine = join(server, accounts, rooms, members, ROOM)?;
    recorder.record(Metric::ConnectRate, count / begun.elapsed().as_secs_f64());
    engine.idle(SETTLE, |_, _| {})?;
    let cpu = proc_stat::cpu_time(server.pid())? - cpu;
    recorder.record(Metric::ConnectCpu, cpu.as_secs_f64() * 1e6 / count);

    engine.idle(plan.idle, |_, _| {})?;
    let grown = |before: u64, after: u64| (after as f64 - before as f64) / count;
    recorder.record(
        Metric::IdleBytes,
        grown(memory, proc_stat::memory(server.pid())?),
    );
    recorder.record(Metric::KernelBytes, grown(slab, proc_stat::kernel_slab()?));

    give_each_one_message(&mut engine, rooms)?;
    engine.idle(plan.idle, |_, _| {})?;
    recorder.record(
        Metric::UsedBytes,
        grown(memory, proc_stat::memory(server.pid())?),
    );
    Ok(())
}

/// The first member of each room sends one message, and every member gets it once.
fn give_each_one_message(engine: &mut Engine, rooms: &[String]) -> Result<()> {
    for (room, id) in rooms.iter().enumerate() {
        engine.send(
            room * ROOM,
            &sends::message_frame(id, &format!("first-{room}"), 1),
        )?;
    }
    let deadline = Deadline::after(STEP_TIME);
    let mut had = vec![0_u32; rooms.len() * ROOM];
    let mut deliveries = 0;
    while deliveries < had.len() {
        engine.turn(Wait::Poll, |client, event| {
            if is_message(&event) {
                had[client] += 1;
                deliveries += 1;
            }
        })?;
        deadline.check(|| format!("{deliveries} of {} first messages", rooms.len() * ROOM))?;
    }
    match had.iter().position(|&had| had != 1) {
        Some(client) => Err(Error::Count(format!(
            "client {client} had {} messages instead of 1",
            had[client]
        ))),
        None => Ok(()),
    }
}

fn is_message(event: &Event<'_>) -> bool {
    matches!(event, Event::Packet(packet) if packet.starts_with(MESSAGE_NEW))
}

/// An answer of the chat protocol.
#[derive(Deserialize)]
struct Answer {
    ok: bool,
    error: Option<Refusal>,
}

#[derive(Deserialize)]
struct Refusal {
    code: String,
    message: String,
}

/// # Errors
/// [`Error::Protocol`] when the ack's JSON array isn't one answer that is `ok`.
pub(super) fn check_ok(answer: &[u8]) -> Result<()> {
    let parsed: [Answer; 1] = serde_json::from_slice(answer).map_err(|error| {
        Error::Protocol(format!("{error} in the ack {}", answer.escape_ascii()))
    })?;
    match parsed {
        [Answer { ok: true, .. }] => Ok(()),
        [
            Answer {
                error: Some(Refusal { code, message }),
                ..
            },
        ] => Err(Error::Protocol(format!("refused: {code}: {message}"))),
        _ => Err(Error::Protocol(format!(
            "refused without a reason: {}",
            answer.escape_ascii()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_checked() {
        check_ok(b"[{\"ok\":true,\"headSeq\":3}]").unwrap();
        let refused = b"[{\"ok\":false,\"error\":{\"code\":\"not_found\",\"message\":\"no room\",\"retryable\":false}}]";
        assert_eq!(
            check_ok(refused).unwrap_err().to_string(),
            "refused: not_found: no room"
        );
        assert!(check_ok(b"[{\"ok\":false}]").is_err());
        assert!(check_ok(b"[]").is_err());
    }
}
