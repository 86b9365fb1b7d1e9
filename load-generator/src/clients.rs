//! A process that is the clients of one server, and does with them what it is told.
//!
//! A process may open only so many files, and a comparison has several servers with all their clients at once: so the
//! clients of each are a process, which sleeps while another's are measured. An order is a line of JSON on the standard
//! input, its answer a line on the standard output.

use std::{
    io::{self, BufRead as _, Write as _},
    net::SocketAddrV4,
    rc::Rc,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::{
    connect, cpu,
    engine::{Deadline, Engine, Wait},
    error::{Doing, Error, Result},
    fan_out::{self, Load, Outcome, Rooms},
    packet,
};

/// How long the clients are watched when there is no order; only a bound, they are woken before.
const IDLE_TURN: Duration = Duration::from_secs(60);
/// The time of each order.
pub const ORDER_TIME: Duration = Duration::from_secs(120);

/// What the clients shall do.
#[derive(Debug, Serialize, Deserialize)]
pub enum Order {
    /// Connect so many more.
    Open(usize),
    /// Join the rooms.
    Join(Rooms),
    /// Publish to the rooms, and count.
    Publish(Rooms, Load),
    /// Close all, with resets, and begin anew without any.
    Close,
}

/// What they did.
#[derive(Debug, Serialize, Deserialize)]
pub enum Answer {
    /// The order is done, in this time.
    Done(Duration),
    /// It was a publish.
    Published(Outcome),
    /// It failed, for this reason. The process ends.
    Failed(String),
}

/// Takes orders until the standard input ends or something fails.
///
/// # Errors
/// Whatever failed, after it was answered.
pub fn run(server: SocketAddrV4) -> Result<()> {
    cpu::raise_open_files()?;
    let result = take_orders(server);
    if let Err(error) = &result {
        answer(&Answer::Failed(error.to_string()))?;
    }
    result
}

fn take_orders(server: SocketAddrV4) -> Result<()> {
    let mut engine = new_engine(server)?;
    let mut next_number = 0;
    loop {
        while !engine.turn(Wait::Sleep(IDLE_TURN), |_, _| {})? {}
        let mut line = String::new();
        // An order is written at once, so that it can be read at once.
        if io::stdin()
            .lock()
            .read_line(&mut line)
            .doing(|| "reading an order".into())?
            == 0
        {
            return Ok(());
        }
        let order: Order =
            serde_json::from_str(&line).map_err(|error| Error::Usage(error.to_string()))?;
        let (begun, deadline) = (Instant::now(), Deadline::after(ORDER_TIME));
        match order {
            Order::Open(count) => {
                let frame: Rc<[u8]> = packet::connect_frame(None).into();
                connect::open(&mut engine, count, deadline, |_| Rc::clone(&frame))?;
            }
            Order::Join(rooms) => rooms.join(&mut engine, deadline)?,
            Order::Publish(rooms, load) => {
                let outcome = fan_out::run(&mut engine, rooms, load, &mut next_number, deadline)?;
                answer(&Answer::Published(outcome))?;
                continue;
            }
            Order::Close => engine = new_engine(server)?,
        }
        answer(&Answer::Done(begun.elapsed()))?;
    }
}

fn new_engine(server: SocketAddrV4) -> Result<Engine> {
    let mut engine = Engine::new(server)?;
    engine.watch(io::stdin())?;
    Ok(engine)
}

fn answer(answer: &Answer) -> Result<()> {
    let mut line =
        serde_json::to_string(answer).map_err(|error| Error::Usage(error.to_string()))?;
    line.push('\n');
    let mut output = io::stdout().lock();
    output
        .write_all(line.as_bytes())
        .and_then(|()| output.flush())
        .doing(|| "answering".into())
}
