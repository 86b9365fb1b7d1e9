//! `scripts/fleet` where there never was a fleet.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tempfile::TempDir;

use crate::server::server_process::PROGRAM;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// A directory for a fleet and its services, which end with this.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn run(&self, script: &str, arguments: &[&str], program: &str) -> Output {
        Command::new(Path::new(ROOT).join(script))
            .args(arguments)
            .env("STACK_DIR", self.0.path())
            .env("TERTULIA", program)
            .env_remove("STACK_PORTS")
            .env_remove("STACK_TLS")
            .output()
            .unwrap()
    }

    /// The directories in it in which a process works.
    fn working(&self) -> Vec<PathBuf> {
        let processes = fs::read_dir("/proc").unwrap();
        let directories =
            processes.filter_map(|process| fs::read_link(process.ok()?.path().join("cwd")).ok());
        directories
            .filter(|path| path.starts_with(self.0.path()))
            .collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.run("scripts/fleet", &["down"], PROGRAM);
        self.run("scripts/stack", &["down"], PROGRAM);
    }
}

#[test]
fn a_fleet_starts_at_the_first_call() {
    let place = Place::new();
    for (count, processes) in [("1", "instance-0"), ("2", "instance-1")] {
        let up = place.run("scripts/fleet", &["up", count], PROGRAM);
        assert!(
            up.status.success(),
            "{}",
            String::from_utf8_lossy(&up.stderr)
        );
        assert!(up.stdout.starts_with(b"https://localhost:"));
        let working = place.working();
        assert!(
            working.contains(&place.0.path().join("fleet").join(processes)),
            "{working:?}"
        );
    }
    place.run("scripts/fleet", &["down"], PROGRAM);
    place.run("scripts/stack", &["down"], PROGRAM);
    assert_eq!(place.working(), <[PathBuf; 0]>::default());
}

#[test]
fn a_fleet_that_doesnt_start_leaves_nothing_running() {
    let place = Place::new();
    let up = place.run("scripts/fleet", &["up", "2"], "/bin/false");
    assert!(!up.status.success());
    assert_eq!(place.working(), <[PathBuf; 0]>::default());
}
