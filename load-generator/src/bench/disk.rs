//! The limit of durable sends: how often this disk makes a page durable.

use std::{
    fs::{self, File},
    io::Write as _,
    path::Path,
    time::{Duration, Instant},
};

use crate::error::{Doing, Result};

/// A page of SQLite's log, with its header.
const PAGE: [u8; 4096 + 24] = [0; 4096 + 24];

/// Appends pages to a new file in `directory`, each followed by `fdatasync`, and returns how many a second went.
///
/// # Errors
/// [`crate::error::Error::Io`] when the disk refuses.
pub fn syncs_per_second(directory: &Path, time: Duration) -> Result<f64> {
    let path = directory.join("syncs");
    let doing = || format!("writing {}", path.display());
    let mut file = File::create(&path).doing(doing)?;
    let begun = Instant::now();
    let mut syncs = 0;
    while begun.elapsed() < time {
        file.write_all(&PAGE).doing(doing)?;
        file.sync_data().doing(doing)?;
        syncs += 1;
    }
    let rate = f64::from(syncs) / begun.elapsed().as_secs_f64();
    fs::remove_file(&path).doing(doing)?;
    Ok(rate)
}
