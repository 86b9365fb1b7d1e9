//! What the programs have in common as processes: their runtime, what they print, and how they are told to stop.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use tokio::signal::unix::SignalKind;

use crate::config::Config;

/// Runs a command with the configuration of the environment.
///
/// # Errors
/// What is wrong with the configuration, or what the command says.
pub fn run<F>(command: impl FnOnce(Config) -> F) -> Result<(), String>
where
    F: Future<Output = Result<(), String>>,
{
    let config = Config::read(|name| std::env::var(name).ok()).map_err(|e| e.to_string())?;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(workers) = config.worker_threads {
        runtime.worker_threads(workers);
    }
    let runtime = runtime.enable_all().build().map_err(|e| e.to_string())?;
    runtime.block_on(command(config))
}

/// What a program says and ends with after its command.
pub fn end(ended: Result<(), String>) -> ExitCode {
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

/// Prints a line; says whether anybody can have read it. `println!` would panic where nobody does.
pub fn say(line: &str) -> bool {
    let mut output = io::stdout().lock();
    writeln!(output, "{line}")
        .and_then(|()| output.flush())
        .is_ok()
}

/// Prints a line on standard error.
pub fn complain(line: &str) {
    // Nobody is left to tell if that fails.
    drop(writeln!(io::stderr(), "{line}"));
}

/// Ends at SIGTERM or SIGINT. Without handlers for them the process would end anyway, only less gently.
pub async fn stop_signal() {
    let signals = (
        tokio::signal::unix::signal(SignalKind::terminate()),
        tokio::signal::unix::signal(SignalKind::interrupt()),
    );
    match signals {
        (Ok(mut terminate), Ok(mut interrupt)) => {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        }
        _ => std::future::pending().await,
    }
}
