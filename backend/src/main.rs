//! The command line: one server, and the commands for those who run it.

use std::{net::SocketAddr, process::ExitCode, time::Duration};

use tertulia::{
    admin,
    config::Config,
    logging,
    server::{self, Listeners},
};
use tokio::signal::unix::SignalKind;

const USAGE: &str = "\
usage: tertulia [COMMAND]

  serve                  serve clients until SIGTERM or SIGINT (the default)
  health                 ask the server on PORT whether it is ready; exit status 0 if so
  migrate                make the collections and indexes that the database of a fleet lacks, and shard it
  admin grant USERNAME   make a user an administrator
  admin restored         after the database was restored from a backup, have clients load their rooms anew
  version                print the version

Configuration is read from the environment; docs/configuration.md names every variable.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ended = match arguments[..] {
        [] | ["serve"] => run(serve),
        ["health"] => run(health),
        ["migrate"] => run(migrate),
        ["admin", "grant", username] => {
            let username = username.to_owned();
            run(|config| grant(config, username))
        }
        ["admin", "restored"] => run(restored),
        ["version"] => {
            println!("tertulia {}", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
        _ => Err(USAGE.to_owned()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn run<F>(command: impl FnOnce(Config) -> F) -> Result<(), String>
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

async fn serve(config: Config) -> Result<(), String> {
    // The other commands say themselves what became of them.
    logging::init(&config).map_err(|e| e.to_string())?;
    let listeners = Listeners::bind(&config).await?;
    let port = listeners
        .clients
        .local_addr()
        .map_err(|e| e.to_string())?
        .port();
    println!("Tertulia listens on http://localhost:{port}");
    println!(
        "Open it in two browser windows to chat; the API is described at http://localhost:{port}/api/docs"
    );
    match &config.fleet {
        None => println!(
            "Data is kept in {}; stop with Ctrl-C.",
            config.data_dir.display()
        ),
        Some(_) => println!("One of a fleet; stop with Ctrl-C."),
    }
    server::start(config, listeners, stop_signal())
        .await
        .map_err(|e| e.to_string())
}

/// Ends at SIGTERM or SIGINT. Without handlers for them the process would end anyway, only less gently.
async fn stop_signal() {
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

/// For container health checks, where no HTTP client is installed.
async fn health(config: Config) -> Result<(), String> {
    let host = if config.host.is_unspecified() {
        std::net::IpAddr::from([127, 0, 0, 1])
    } else {
        config.host
    };
    let asked = tertulia::health::ask(SocketAddr::new(host, config.port));
    match tokio::time::timeout(Duration::from_secs(5), asked).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(e)) => Err(format!("not ready: {e}")),
        Err(_) => Err("not ready: no answer in 5 s".into()),
    }
}

async fn migrate(config: Config) -> Result<(), String> {
    admin::migrate(&config).await.map_err(|e| e.to_string())?;
    println!("The database has everything that this version needs.");
    Ok(())
}

async fn grant(config: Config, username: String) -> Result<(), String> {
    admin::grant(&config, &username)
        .await
        .map_err(|e| e.to_string())?;
    println!("{username} is an administrator from the next sign-in on.");
    Ok(())
}

async fn restored(config: Config) -> Result<(), String> {
    let rooms = admin::restored(&config).await.map_err(|e| e.to_string())?;
    println!("Clients will load their rooms anew ({rooms} in all).");
    Ok(())
}
