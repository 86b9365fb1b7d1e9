//! Where and with which versions a run was made.

use std::{fs, process::Command};

use super::contestant::Contestant;
use crate::{cpu::Cores, error::Result, proc_stat};

/// One line for each fact about the machine.
///
/// # Errors
/// [`crate::error::Error::Io`] without procfs.
pub fn describe(cores: Cores) -> Result<Vec<String>> {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map(|(_, name)| name);
    let count = cpuinfo
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let memory = proc_stat::machine_memory()? as f64 / f64::from(1 << 30);
    let pinned = match cores {
        Cores {
            server: Some(server),
            clients: Some(clients),
        } => {
            format!(
                "each server, all its threads, pinned to CPU {server}; the clients, one thread, to CPU {clients}"
            )
        }
        _ => "nothing pinned: server and clients share the processors".into(),
    };
    Ok(vec![
        format!(
            "{}, {count} processors, {memory:.1} GiB",
            model.unwrap_or("unknown processor").trim()
        ),
        format!("Linux {}", kernel.trim()),
        pinned,
        format!(
            "load before the run: {}",
            fs::read_to_string("/proc/loadavg")
                .unwrap_or_default()
                .trim()
        ),
    ])
}

/// The version of a contestant, as far as it can be told.
pub fn version(contestant: Contestant) -> String {
    match contestant {
        Contestant::Bare | Contestant::Gateway | Contestant::Tertulia => {
            let commit = output("git", &["describe", "--always", "--dirty"])
                .unwrap_or_else(|| "unknown".into());
            format!(
                "commit {commit}, {}",
                output("rustc", &["--version"]).unwrap_or_else(|| "unknown rustc".into())
            )
        }
        Contestant::Socketioxide => {
            let lock = fs::read_to_string("load-generator/peers/socketioxide/Cargo.lock")
                .unwrap_or_default();
            let version = |name| locked_version(&lock, name).unwrap_or("unknown");
            format!(
                "{}, axum {}, tokio {}",
                version("socketioxide"),
                version("axum"),
                version("tokio")
            )
        }
        Contestant::Node => {
            let package = fs::read("load-generator/peers/node/node_modules/socket.io/package.json")
                .unwrap_or_default();
            let package: serde_json::Value = serde_json::from_slice(&package).unwrap_or_default();
            let node = output("node", &["--version"]).unwrap_or_else(|| "unknown".into());
            format!(
                "{}, Node {node}",
                package["version"].as_str().unwrap_or("unknown")
            )
        }
    }
}

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The version of a package in a `Cargo.lock`.
fn locked_version<'a>(lock: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = lock
        .lines()
        .skip_while(|line| *line != format!("name = \"{name}\""));
    lines
        .nth(1)?
        .strip_prefix("version = \"")?
        .strip_suffix('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locked_version_is_found_by_the_whole_name() {
        let lock = "[[package]]\nname = \"tokio-util\"\nversion = \"0.7.0\"\n\n[[package]]\nname = \"tokio\"\nversion = \"1.50.0\"\n";
        assert_eq!(locked_version(lock, "tokio"), Some("1.50.0"));
        assert_eq!(locked_version(lock, "axum"), None);
    }
}
