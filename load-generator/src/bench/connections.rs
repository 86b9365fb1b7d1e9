//! What a server pays for connections: memory while they are idle and after use, CPU for each connect, CPU for each
//! delivery in rooms of several sizes.

use std::{
    rc::Rc,
    time::{Duration, Instant},
};

use super::{
    Plan, Recorder,
    samples::{Cell, Metric},
    server::Server,
};
use crate::{
    connect,
    engine::{Deadline, Engine},
    error::Result,
    fan_out::{self, Load, Rooms},
    packet, proc_stat,
};

/// The room in which every connection has its one message before memory is measured again.
const USED_ROOM: usize = 1_000;
const ROOM_SIZES: [usize; 3] = [10, 1_000, 10_000];
const IN_FLIGHT: [usize; 2] = [1, 8];
/// Small rooms are used side by side until about this many members listen, so that the server is as busy as with one
/// large room.
const ACTIVE_MEMBERS: usize = 1_000;
const WARM_UP_CONNECTIONS: usize = 100;
const WARM_UP_PUBLISHES: usize = 200;
/// The server ends what it has begun before its CPU time is read.
const SETTLE: Duration = Duration::from_millis(200);
const STEP_TIME: Duration = Duration::from_secs(120);

/// Measures one server in one round.
///
/// # Errors
/// Whatever stops it; figures recorded before stay.
pub fn measure(server: &mut Server, plan: &Plan, recorder: &mut Recorder<'_>) -> Result<()> {
    let mut next_number = 0;
    warm_up(server, &mut next_number)?;
    let mut engine = Engine::new(server.address)?;
    open_connections(server, plan, recorder, &mut engine, &mut next_number)?;
    for size in ROOM_SIZES
        .into_iter()
        .filter(|&size| size <= plan.connections)
    {
        let rooms = Rooms::filling(size, plan.connections);
        if size != USED_ROOM {
            rooms.join(&mut engine, Deadline::after(STEP_TIME))?;
        }
        for in_flight in IN_FLIGHT {
            let cell = Cell {
                room: size,
                in_flight,
            };
            measure_delivery(server, plan, recorder, &mut engine, cell, &mut next_number)?;
        }
    }
    // The clients go first, with resets, so that no port of this server lingers into the next measurement.
    drop(engine);
    server.check_alive()
}

/// Code paged in, tables grown, a compiler warmed up: none of it belongs to a connection.
fn warm_up(server: &Server, next_number: &mut u64) -> Result<()> {
    let deadline = Deadline::after(STEP_TIME);
    let mut engine = Engine::new(server.address)?;
    let frame: Rc<[u8]> = packet::connect_frame(None).into();
    connect::open(&mut engine, WARM_UP_CONNECTIONS, deadline, |_| {
        Rc::clone(&frame)
    })?;
    // A server may still be setting up its handlers when the namespace is connected.
    engine.idle(SETTLE, |_, _| {})?;
    let rooms = Rooms {
        size: WARM_UP_CONNECTIONS,
        count: 1,
    };
    rooms.join(&mut engine, deadline)?;
    let load = Load {
        in_flight: 8,
        rooms: 1,
        publishes: WARM_UP_PUBLISHES,
    };
    fan_out::run(&mut engine, rooms, load, next_number, deadline)?;
    Ok(())
}

fn open_connections(
    server: &Server,
    plan: &Plan,
    recorder: &mut Recorder<'_>,
    engine: &mut Engine,
    next_number: &mut u64,
) -> Result<()> {
    let count = plan.connections as f64;
    std::thread::sleep(plan.idle);
    let memory = proc_stat::memory(server.pid())?;
    let slab = proc_stat::kernel_slab()?;
    let cpu = proc_stat::cpu_time(server.pid())?;

    let frame: Rc<[u8]> = packet::connect_frame(None).into();
    let begun = Instant::now();
    connect::open(engine, plan.connections, Deadline::after(STEP_TIME), |_| {
        Rc::clone(&frame)
    })?;
    let elapsed = begun.elapsed();
    engine.idle(SETTLE, |_, _| {})?;
    let cpu = proc_stat::cpu_time(server.pid())? - cpu;
    recorder.record(Metric::ConnectCpu, cpu.as_secs_f64() * 1e6 / count);
    recorder.record(Metric::ConnectRate, count / elapsed.as_secs_f64());

    engine.idle(plan.idle, |_, _| {})?;
    let grown = |before: u64, after: u64| (after as f64 - before as f64) / count;
    recorder.record(
        Metric::IdleBytes,
        grown(memory, proc_stat::memory(server.pid())?),
    );
    recorder.record(Metric::KernelBytes, grown(slab, proc_stat::kernel_slab()?));

    let rooms = Rooms::filling(USED_ROOM, plan.connections);
    let deadline = Deadline::after(STEP_TIME);
    rooms.join(engine, deadline)?;
    let load = Load {
        in_flight: 1,
        rooms: rooms.count,
        publishes: 1,
    };
    fan_out::run(engine, rooms, load, next_number, deadline)?;
    engine.idle(plan.idle, |_, _| {})?;
    recorder.record(
        Metric::UsedBytes,
        grown(memory, proc_stat::memory(server.pid())?),
    );
    Ok(())
}

fn measure_delivery(
    server: &Server,
    plan: &Plan,
    recorder: &mut Recorder<'_>,
    engine: &mut Engine,
    cell: Cell,
    next_number: &mut u64,
) -> Result<()> {
    let rooms = Rooms::filling(cell.room, plan.connections);
    let active = (ACTIVE_MEMBERS / cell.room).clamp(1, rooms.count);
    let publishes = (plan.deliveries / (cell.room * active)).max(2 * cell.in_flight);
    let load = Load {
        in_flight: cell.in_flight,
        rooms: active,
        publishes,
    };
    let warm_up = Load {
        publishes: (publishes / 10).max(cell.in_flight),
        ..load
    };
    fan_out::run(
        engine,
        rooms,
        warm_up,
        next_number,
        Deadline::after(STEP_TIME),
    )?;
    engine.idle(SETTLE, |_, _| {})?;

    let cpu = proc_stat::cpu_time(server.pid())?;
    let outcome = fan_out::run(engine, rooms, load, next_number, Deadline::after(STEP_TIME))?;
    engine.idle(SETTLE, |_, _| {})?;
    let cpu = proc_stat::cpu_time(server.pid())? - cpu;

    let deliveries = outcome.deliveries as f64;
    let microseconds = |quantile| outcome.latency.value_at_quantile(quantile) as f64 / 1e3;
    recorder.record(
        Metric::DeliveryCpu(cell),
        cpu.as_secs_f64() * 1e6 / deliveries,
    );
    recorder.record(
        Metric::DeliveryRate(cell),
        deliveries / outcome.elapsed.as_secs_f64(),
    );
    recorder.record(Metric::LatencyP50(cell), microseconds(0.5));
    recorder.record(Metric::LatencyP99(cell), microseconds(0.99));
    recorder.record(Metric::OutOfOrder(cell), outcome.out_of_order as f64);
    recorder.record(Metric::ClientsBusy(cell), outcome.clients_busy * 100.0);
    Ok(())
}
