//! The real services that tests need: those that all share, and those that a test may break.

#![expect(
    clippy::unwrap_used,
    reason = "for tests: one without its services has failed"
)]

mod own;
mod postgres;

use std::fs::{self, DirEntry};
use std::process::Command;
use std::sync::LazyLock;
use std::time::{Duration, Instant};
use std::{env, path::PathBuf, thread};

use rustix::{
    io::Errno,
    process::{Pid, Signal, kill_process},
};

pub use own::Stack;
pub use postgres::{Held, PostgresDatabase};

/// Runs each test on each back end. A back end is a module with the constructor of `Fixture`, which is in scope, that has its name:
/// `on_each!([embedded, postgres], [a_test, another]);`.
#[macro_export]
macro_rules! on_each {
    ([$($back_end:ident),+], $tests:tt) => {
        $($crate::on_each!($back_end, $tests);)+
    };
    ($back_end:ident, [$($test:ident),* $(,)?]) => {
        mod $back_end {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(super::Fixture::$back_end().await).await;
            })*
        }
    };
}

/// The repository.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// The value of `name`, such as `REDIS_URL`, for services that all tests share, each with a database and a prefix of its
/// own: in the environment, or in a stack on this machine, which is started if it doesn't run (`make stack` does the
/// same) and left running.
///
/// # Panics
/// If it is in neither place: a test without its services has failed.
pub fn address(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| value(&ADDRESSES, name))
}

/// The address of a database of a test's own in the shared replica set.
pub fn mongodb(database: &str) -> String {
    in_database(&address("MONGODB_URI"), database)
}

/// What the stack says of itself.
static ADDRESSES: LazyLock<String> = LazyLock::new(|| {
    let directory = env::var_os("STACK_DIR")
        .map_or_else(|| PathBuf::from(ROOT).join("target/stack"), PathBuf::from);
    let up = Command::new("scripts/stack")
        .arg("up")
        .env("STACK_DIR", &directory)
        .current_dir(ROOT)
        .status();
    assert!(
        matches!(up, Ok(status) if status.success()),
        "scripts/stack up: {up:?}"
    );
    let file = directory.join("env");
    fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
});

/// Sends a signal, such as `KILL`, to a process; after `STOP` it does nothing more. The program that does it isn't on every machine.
///
/// # Panics
/// If there is no such process, or if tests have no use for the signal.
pub fn signal_process(pid: u32, signal: &str) {
    assert!(signal_if_there(pid, signal), "there is no process {pid}");
}

/// As [`signal_process`], but false if there is no such process.
fn signal_if_there(pid: u32, signal: &str) -> bool {
    let signal = match signal {
        "KILL" => Signal::KILL,
        "STOP" => Signal::STOP,
        "CONT" => Signal::CONT,
        "TERM" => Signal::TERM,
        other => panic!("{other} isn't among the signals that tests send"),
    };
    match kill_process(Pid::from_raw(pid.try_into().unwrap()).unwrap(), signal) {
        Err(Errno::SRCH) => return false,
        sent => sent.unwrap(),
    }
    if signal == Signal::STOP {
        wait_until_stopped(pid);
    }
    true
}

/// On a loaded machine, threads go on until the one that takes the signal has run.
fn wait_until_stopped(pid: u32) {
    let deadline = Instant::now() + Duration::from_secs(30);
    let is_stopped = |task: DirEntry| {
        // One that has ended meanwhile has no file.
        let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        let state = stat.rsplit_once(") ").map(|(_, rest)| rest.as_bytes()[0]);
        matches!(state, None | Some(b'T' | b'Z' | b'X'))
    };
    loop {
        let Ok(mut tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
            return;
        };
        if tasks.all(|task| task.is_ok_and(is_stopped)) {
            return;
        }
        assert!(Instant::now() < deadline, "process {pid} doesn't stop");
        thread::sleep(Duration::from_millis(1));
    }
}

/// The value of a name in `NAME=value` lines.
fn value(lines: &str, name: &str) -> String {
    let mut lines = lines.lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    value
        .unwrap_or_else(|| panic!("the stack has no {name}"))
        .to_owned()
}

/// The address of a replica set, which names no database, with one.
fn in_database(uri: &str, database: &str) -> String {
    uri.replacen("/?", &format!("/{database}?"), 1)
}
