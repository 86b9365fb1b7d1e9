//! Where the real services are that these tests need: in the environment, or in a stack on this machine, which is
//! started if it doesn't run and left running.

use std::process::Command;
use std::sync::LazyLock;
use std::{env, fs, path::PathBuf};

/// The value of `name`, such as `REDIS_URL`.
pub(crate) fn address(name: &str) -> String {
    if let Ok(address) = env::var(name) {
        return address;
    }
    let mut lines = ADDRESSES.lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    value
        .unwrap_or_else(|| panic!("the stack has no {name}"))
        .to_owned()
}

/// What the stack says of itself.
static ADDRESSES: LazyLock<String> = LazyLock::new(|| {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let directory = env::var_os("STACK_DIR")
        .map_or_else(|| PathBuf::from(root).join("target/stack"), PathBuf::from);
    let up = Command::new("scripts/stack")
        .args(["up", "redis-cluster", "redis", "mongodb"])
        .env("STACK_DIR", &directory)
        .current_dir(root)
        .status()
        .unwrap();
    assert!(up.success(), "scripts/stack up: {up}");
    fs::read_to_string(directory.join("env")).unwrap()
});
