//! The command line of a worker. What it does is [`tertulia::worker`].

use std::{process::ExitCode, time::Duration};

use tertulia::{
    config::Config,
    health::probe,
    logging,
    media::image_process,
    process::{end, run, say, stop_signal},
    server, worker,
};

const USAGE: &str = "\
usage: tertulia-worker [COMMAND]

  run                    run jobs until SIGTERM or SIGINT (the default)
  health                 ask the worker on METRICS_PORT whether it is ready; exit status 0 if so
  version, --version     print the version
  help, --help           print this

Configuration is read from the environment; docs/jobs.md names what is a worker's own.";

/// Less than what orchestrators wait by default, so that it is this that says what is wrong.
const PROBE: Duration = Duration::from_secs(5);

/// Does what the arguments say.
pub fn main(arguments: &[&str]) -> ExitCode {
    if let Some(ended) = image_process::serve_if_asked() {
        return ended;
    }
    let ended = match arguments {
        [] | ["run"] => run(run_jobs),
        ["health"] => run(health),
        ["version" | "--version" | "-V"] => {
            say(&format!("tertulia-worker {}", env!("CARGO_PKG_VERSION")));
            Ok(())
        }
        ["help" | "--help" | "-h"] => {
            say(USAGE);
            Ok(())
        }
        _ => Err(USAGE.to_owned()),
    };
    end(ended)
}

async fn run_jobs(config: Config) -> Result<(), String> {
    logging::init(&config).map_err(|e| e.to_string())?;
    let operations = server::bind_operations(&config).await?;
    let bound = operations.local_addr().map_err(|e| e.to_string())?;
    say(&format!(
        "Tertulia's worker runs jobs. Metrics: http://{bound}/metrics"
    ));
    let ended = worker::start(config, operations, stop_signal()).await;
    ended.map_err(|e| e.to_string())
}

async fn health(config: Config) -> Result<(), String> {
    let address = probe::address(config.metrics_host, config.metrics_port);
    let address = address.map_err(|e| e.to_string())?;
    let answered = probe::ask(address, PROBE).await;
    answered.map_err(|e| format!("not ready: {e}"))
}
