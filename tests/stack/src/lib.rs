//! Where the real services are that tests need: in the environment, or in the file that `make stack` writes.

use std::{env, fs, path::PathBuf};

/// The value of `name`, such as `REDIS_URL`.
///
/// # Panics
/// If it is in neither place: a test without its services has failed.
pub fn address(name: &str) -> String {
    if let Ok(address) = env::var(name) {
        return address;
    }
    let directory = env::var_os("STACK_DIR").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/stack")),
        PathBuf::from,
    );
    let file = directory.join("env");
    let addresses = fs::read_to_string(&file)
        .unwrap_or_else(|error| panic!("{}: {error}; `make stack` starts it", file.display()));
    let mut lines = addresses.lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    value
        .unwrap_or_else(|| panic!("no {name} in {}", file.display()))
        .to_owned()
}
