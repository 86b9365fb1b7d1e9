//! What the kernel accounts for a process: CPU time, memory, and the memory the kernel itself holds.

use std::{fs, time::Duration};

use crate::error::{Doing, Error, Result};

/// The CPU time that all threads of a process have used, user and kernel, to the nanosecond.
///
/// Threads that ended are not counted; the servers under test keep theirs.
///
/// # Errors
/// [`Error::Server`] when the process is gone.
pub fn cpu_time(pid: u32) -> Result<Duration> {
    let tasks = format!("/proc/{pid}/task");
    let gone = || Error::Server(format!("process {pid} is gone"));
    let mut total = Duration::ZERO;
    for task in fs::read_dir(tasks).map_err(|_| gone())? {
        let path = task.map_err(|_| gone())?.path().join("schedstat");
        // A thread may end between the listing and the reading.
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        total += parse_schedstat(&text).ok_or_else(|| {
            Error::Server(format!("{} is not understood: {text:?}", path.display()))
        })?;
    }
    Ok(total)
}

/// The first field of `schedstat`: nanoseconds on a CPU.
fn parse_schedstat(text: &str) -> Option<Duration> {
    text.split_ascii_whitespace()
        .next()?
        .parse()
        .ok()
        .map(Duration::from_nanos)
}

/// The memory of a process in bytes: its own pages and its share of shared ones (PSS).
///
/// # Errors
/// [`Error::Io`] when the process is gone or belongs to somebody else.
pub fn memory(pid: u32) -> Result<u64> {
    read_kilobytes(&format!("/proc/{pid}/smaps_rollup"), "Pss:")
}

/// The kernel's own object caches in bytes, sockets among them, of the whole machine.
///
/// # Errors
/// [`Error::Io`] without procfs.
pub fn kernel_slab() -> Result<u64> {
    read_kilobytes("/proc/meminfo", "Slab:")
}

/// The machine's memory in bytes.
///
/// # Errors
/// [`Error::Io`] without procfs.
pub fn machine_memory() -> Result<u64> {
    read_kilobytes("/proc/meminfo", "MemTotal:")
}

fn read_kilobytes(path: &str, name: &str) -> Result<u64> {
    let text = fs::read_to_string(path).doing(|| format!("reading {path}"))?;
    parse_kilobytes(&text, name).ok_or_else(|| Error::Server(format!("{path} has no {name}")))
}

/// The bytes of the line `name <number> kB`.
fn parse_kilobytes(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    let number = rest.trim().strip_suffix("kB")?.trim();
    number.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedstat_gives_the_time_on_a_cpu() {
        assert_eq!(
            parse_schedstat("1500000042 63024 1\n"),
            Some(Duration::from_nanos(1_500_000_042))
        );
        assert_eq!(parse_schedstat(""), None);
        assert_eq!(parse_schedstat("x 1 2"), None);
    }

    #[test]
    fn kilobyte_lines_are_found_by_their_whole_name() {
        let text = "Rss:                2048 kB\nPss:                1024 kB\nPss_Dirty:           512 kB\n";
        assert_eq!(parse_kilobytes(text, "Pss:"), Some(1024 * 1024));
        assert_eq!(parse_kilobytes(text, "Pss_Dirty:"), Some(512 * 1024));
        assert_eq!(parse_kilobytes(text, "Slab:"), None);
        assert_eq!(parse_kilobytes("Slab: many kB", "Slab:"), None);
    }

    #[test]
    fn the_accounts_of_this_process_can_be_read_and_grow() {
        let pid = std::process::id();
        let before = cpu_time(pid).unwrap();
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        while cpu_time(pid).unwrap() == before {
            assert!(
                std::time::Instant::now() < deadline,
                "CPU time stands still"
            );
        }
        assert!(memory(pid).unwrap() > 0);
        assert!(kernel_slab().unwrap() > 0);
    }
}
