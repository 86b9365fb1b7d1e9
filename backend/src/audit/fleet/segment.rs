//! A file of the spool: batches one behind the other, each with its length and its checksum. The last one may be torn: the process
//! ended in the middle of it.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use uuid::Uuid;

use crate::audit::codec::Batch;

/// Before a batch: its length, its checksum, its id.
const HEAD: usize = 4 + 4 + 16;

/// Bytes of a batch, far more than any has.
const BATCH_MAX: usize = 1 << 20;

/// A batch that was read, and what it takes.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    /// Where it begins.
    pub offset: u64,
    /// Where the next one begins.
    pub end: u64,
    /// Its id.
    pub id: Uuid,
    /// Its lines.
    pub lines: Vec<u8>,
}

/// The path of a segment.
pub fn path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:016}.spool"))
}

/// The number of a segment.
pub fn number(path: &Path) -> Option<u64> {
    if path.extension()? != "spool" {
        return None;
    }
    path.file_stem()?.to_str()?.parse().ok()
}

/// What a batch takes.
pub fn size(batch: &Batch) -> u64 {
    (HEAD + batch.lines.len()) as u64
}

/// Appends a batch to what is written at once.
pub fn write(batch: &Batch, out: &mut Vec<u8>) {
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(batch.id.as_bytes());
    checksum.update(&batch.lines);
    out.extend_from_slice(&(batch.lines.len() as u32).to_le_bytes());
    out.extend_from_slice(&checksum.finalize().to_le_bytes());
    out.extend_from_slice(batch.id.as_bytes());
    out.extend_from_slice(&batch.lines);
}

/// The batch at an offset; `None` where there is no whole one.
///
/// # Errors
/// If the file can't be read.
pub fn read(file: &File, offset: u64) -> io::Result<Option<Found>> {
    let mut head = [0; HEAD];
    if !read_whole(file, &mut head, offset)? {
        return Ok(None);
    }
    let [l0, l1, l2, l3, c0, c1, c2, c3, id @ ..] = head;
    let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    let expected = u32::from_le_bytes([c0, c1, c2, c3]);
    if length > BATCH_MAX {
        return Ok(None);
    }
    let mut lines = vec![0; length];
    if !read_whole(file, &mut lines, offset + HEAD as u64)? {
        return Ok(None);
    }
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(&id);
    checksum.update(&lines);
    if checksum.finalize() != expected {
        return Ok(None);
    }
    Ok(Some(Found {
        offset,
        end: offset + (HEAD + length) as u64,
        id: Uuid::from_bytes(id),
        lines,
    }))
}

/// False if the file ends before.
fn read_whole(file: &File, into: &mut [u8], offset: u64) -> io::Result<bool> {
    match file.read_exact_at(into, offset) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
