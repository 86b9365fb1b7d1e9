//! The command line: one server, and the commands for those who run it.

use std::{net::SocketAddr, process::ExitCode, time::Duration};

use tertulia::{
    admin::{self, DeadJobAction},
    config::Config,
    health::probe,
    logging,
    media::image_process,
    process::{complain, end, run, say, stop_signal},
    server::{self, Listeners},
};
use tokio::{net::TcpListener, sync::Notify};

const USAGE: &str = "\
usage: tertulia [COMMAND]

  serve                  serve clients until SIGTERM or SIGINT (the default)
  health                 ask the server on PORT whether it is ready; exit status 0 if so
  migrate                make what the databases of a fleet lack: collections, indexes, shards, tables
  admin grant USERNAME   make a user an administrator
  admin restored         after the database was restored from a backup, have clients load their rooms anew
  admin keys create NAME SCOPES
                         make a key for another program and print it; SCOPES is publish, or publish:/ for a namespace
  admin keys list        list the keys of other programs
  admin keys revoke ID   revoke one
  admin jobs list [KIND]
                         list jobs that failed for good, the latest first
  admin jobs replay KIND [ID]
                         enqueue such a job again, or all of its kind
  admin jobs drop KIND [ID]
                         forget it, or all of its kind
  version, --version     print the version
  help, --help           print this

Configuration is read from the environment; docs/configuration.md names every variable.";

/// Less than what orchestrators wait by default, so that it is this that says what is wrong.
const PROBE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    if let Some(ended) = image_process::serve_if_asked() {
        return ended;
    }
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
        ["admin", "keys", "create", name, scopes] => {
            let (name, scopes) = (name.to_owned(), scopes.to_owned());
            run(|config| create_key(config, name, scopes))
        }
        ["admin", "keys", "list"] => run(keys),
        ["admin", "keys", "revoke", id] => {
            let id = id.to_owned();
            run(|config| revoke_key(config, id))
        }
        ["admin", "jobs", "list"] => run(|config| list_jobs(config, None)),
        ["admin", "jobs", "list", kind] => {
            let kind = kind.to_owned();
            run(|config| list_jobs(config, Some(kind)))
        }
        ["admin", "jobs", action, kind, ref id @ ..] if id.len() <= 1 => {
            match DeadJobAction::named(action) {
                Some(action) => {
                    let (kind, id) = (kind.to_owned(), id.first().map(|id| (*id).to_owned()));
                    run(|config| settle_jobs(config, action, kind, id))
                }
                None => Err(USAGE.to_owned()),
            }
        }
        ["version" | "--version" | "-V"] => {
            say(&format!("tertulia {}", env!("CARGO_PKG_VERSION")));
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

async fn serve(config: Config) -> Result<(), String> {
    // The other commands say themselves what became of them.
    logging::init(&config).map_err(|e| e.to_string())?;
    let listeners = Listeners::bind(&config).await?;
    let address = |listener: &TcpListener| listener.local_addr().map_err(|e| e.to_string());
    let greeting = greeting(
        &config,
        address(&listeners.clients)?.port(),
        address(&listeners.operations)?,
    );
    // Whoever started it only to read what it prints has read enough.
    let unheard = Notify::new();
    let listening = || {
        if !say(&greeting) {
            unheard.notify_one();
        }
    };
    let stop = async {
        tokio::select! {
            () = stop_signal() => {}
            () = unheard.notified() => {}
        }
    };
    server::start_and_notify(config, listeners, listening, stop)
        .await
        .map_err(|e| e.to_string())
}

fn greeting(config: &Config, port: u16, operations: SocketAddr) -> String {
    let kept = match &config.fleet {
        None => format!(
            "Data is kept in {}; stop with Ctrl-C.",
            config.data_dir.display()
        ),
        Some(_) => "One of a fleet; stop with Ctrl-C.".to_owned(),
    };
    format!(
        "Tertulia listens on http://localhost:{port}\n\
         Open it in two browser windows to chat; the API is described at http://localhost:{port}/api/docs\n\
         Metrics: http://{operations}/metrics\n\
         {kept}"
    )
}

/// For container health checks, where no HTTP client is installed.
async fn health(config: Config) -> Result<(), String> {
    let address = probe::address(config.host, config.port).map_err(|e| e.to_string())?;
    probe::ask(address, PROBE)
        .await
        .map_err(|e| format!("not ready: {e}"))
}

async fn migrate(config: Config) -> Result<(), String> {
    admin::migrate(&config).await.map_err(|e| e.to_string())?;
    say("The databases have everything that this version needs.");
    Ok(())
}

async fn grant(config: Config, username: String) -> Result<(), String> {
    admin::grant(&config, &username)
        .await
        .map_err(|e| e.to_string())?;
    say(&format!(
        "{username} is an administrator from the next sign-in on."
    ));
    Ok(())
}

async fn restored(config: Config) -> Result<(), String> {
    let rooms = admin::restored(&config).await.map_err(|e| e.to_string())?;
    say(&format!(
        "Clients will load their rooms anew ({rooms} in all)."
    ));
    Ok(())
}

async fn create_key(config: Config, name: String, scopes: String) -> Result<(), String> {
    let scopes: Vec<&str> = scopes.split(',').collect();
    let key = admin::create_key(&config, &name, &scopes)
        .await
        .map_err(|e| e.to_string())?;
    // The only time that it is shown.
    say(key.secret.expose());
    if let Some(error) = key.unrecorded {
        // Not a failure: whoever reads the key from the output has to take it.
        complain(&format!("warning: {error}"));
    }
    Ok(())
}

async fn keys(config: Config) -> Result<(), String> {
    for line in admin::keys(&config).await.map_err(|e| e.to_string())? {
        say(&line);
    }
    Ok(())
}

async fn revoke_key(config: Config, id: String) -> Result<(), String> {
    admin::revoke_key(&config, &id)
        .await
        .map_err(|e| e.to_string())?;
    say(&format!("The key {id} is revoked."));
    Ok(())
}

async fn list_jobs(config: Config, kind: Option<String>) -> Result<(), String> {
    let dead = admin::dead_jobs(&config, kind.as_deref()).await;
    for line in dead.map_err(|e| e.to_string())? {
        say(&line);
    }
    Ok(())
}

async fn settle_jobs(
    config: Config,
    action: DeadJobAction,
    kind: String,
    id: Option<String>,
) -> Result<(), String> {
    let settled = admin::settle_dead_jobs(&config, action, &kind, id.as_deref()).await;
    let jobs = settled.map_err(|e| e.to_string())?;
    let done = match action {
        DeadJobAction::Replay => "enqueued again",
        DeadJobAction::Drop => "dropped",
    };
    say(&format!("{jobs} {done}."));
    Ok(())
}
