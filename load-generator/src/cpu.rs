//! Which processor runs what: servers on one core, clients on another, so that neither takes the other's time.

use std::{os::unix::process::CommandExt, process::Command};

use rustix::{
    process::{Resource, Rlimit, Signal, getrlimit, set_parent_process_death_signal, setrlimit},
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
};

use crate::error::{Doing, Error, Result};

/// The processors of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cores {
    /// The one the server is pinned to; `None`: not pinned.
    pub server: Option<usize>,
    /// The one the clients are pinned to; `None`: not pinned.
    pub clients: Option<usize>,
}

impl Cores {
    /// The first two processors this process may use, the first for the server; nothing is pinned where there is one.
    ///
    /// # Errors
    /// [`Error::Io`] when the system doesn't tell.
    pub fn choose() -> Result<Self> {
        let allowed = sched_getaffinity(None).doing(|| "reading the CPU affinity".into())?;
        let mut cores = (0..CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core));
        Ok(match (cores.next(), cores.next()) {
            (Some(server), Some(clients)) => Self {
                server: Some(server),
                clients: Some(clients),
            },
            _ => Self {
                server: None,
                clients: None,
            },
        })
    }
}

/// Pins the calling thread, and what it starts from now on.
///
/// # Errors
/// [`Error::Io`] when the processor isn't there or isn't allowed.
pub fn pin(core: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).doing(|| format!("pinning to CPU {core}"))
}

/// Raises the limit of open files as far as is allowed, for this process and its children, and returns it.
///
/// # Errors
/// [`Error::Io`] when the system refuses.
pub fn raise_open_files() -> Result<u64> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    )
    .doing(|| "raising the limit of open files".into())?;
    Ok(limit.maximum.unwrap_or(u64::MAX))
}

/// Becomes `command`, pinned, and killed by the kernel when the parent ends, so that no server outlives its benchmark.
/// Returns only on failure.
pub fn become_pinned(core: Option<usize>, command: &[String]) -> Error {
    let Some((program, arguments)) = command.split_first() else {
        return Error::Usage("no command to run".into());
    };
    let prepared = set_parent_process_death_signal(Some(Signal::KILL))
        .doing(|| "asking to end with the parent".into())
        .and_then(|()| core.map_or(Ok(()), pin));
    if let Err(error) = prepared {
        return error;
    }
    Error::Io {
        doing: format!("running {program}"),
        source: Command::new(program).args(arguments).exec(),
    }
}
