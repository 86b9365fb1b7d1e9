//! The spool: what was recorded here and isn't known to be in the database yet, on this instance's disk. It bridges an outage of
//! Redis and of the database, a loss of Redis' memory, and the end of this process.
//!
//! A directory holds one spool for each process. Whose process has ended is taken over by another one that uses the directory.
//!
//! What must stay true: a batch is on the disk before anybody else gets it, and stays until the database has it; the bytes are
//! bounded.

use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use uuid::Uuid;

use super::segment;
use crate::{audit::codec::Batch, log_throttle::LogThrottle};

/// A segment that has so many bytes is followed by another one, so that what is stored can be removed.
const SEGMENT_BYTES: u64 = 4 * 1024 * 1024;

/// How long written batches may be lost to a machine that fails; a process that ends loses none.
const SYNC: Duration = Duration::from_secs(1);

/// More files are open than this process, or this machine, may have: that passes, and says nothing of the file.
const TOO_MANY_FILES: [i32; 2] = [24, 23];

/// The mode of a file for its owner alone.
const OWNERS_FILE: u32 = 0o600;

/// Where a batch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    segment: u64,
    offset: u64,
}

/// A batch that is to be sent.
#[derive(Debug)]
pub struct Spooled {
    /// Where it is.
    pub place: Place,
    /// Its id.
    pub id: Uuid,
    /// Its lines.
    pub lines: Vec<u8>,
}

/// The spool of this process.
#[derive(Debug)]
pub struct Spool {
    root: PathBuf,
    directory: PathBuf,
    own: String,
    /// Held as long as the process lives.
    _lock: File,
    max_bytes: u64,
    bytes: u64,
    segments: BTreeMap<u64, Segment>,
    writing: Option<Writing>,
    reading: Option<Reading>,
    next: u64,
    torn: u64,
}

#[derive(Debug, Default)]
struct Segment {
    bytes: u64,
    /// Batches that were read and aren't known to be stored.
    outstanding: usize,
    /// Whether all of it was read.
    read: bool,
}

#[derive(Debug)]
struct Writing {
    number: u64,
    file: File,
    synced: Instant,
    dirty: bool,
}

#[derive(Debug)]
struct Reading {
    number: u64,
    offset: u64,
    file: File,
}

impl Spool {
    /// A new spool in `root`, of at most so many bytes, with what processes left that have ended.
    ///
    /// # Errors
    /// If the directory can't be used.
    pub fn open(root: &Path, max_bytes: u64) -> io::Result<Self> {
        private().recursive(true).create(root)?;
        let own = Uuid::now_v7().simple().to_string();
        // The lock comes before the directory: who sees the directory can tell whether its process lives.
        let lock = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(OWNERS_FILE)
            .open(lock_path(root, &own))?;
        lock.lock()?;
        let directory = root.join(&own);
        private().create(&directory)?;
        let mut spool = Self {
            root: root.to_owned(),
            directory,
            own,
            _lock: lock,
            max_bytes,
            bytes: 0,
            segments: BTreeMap::new(),
            writing: None,
            reading: None,
            next: 0,
            torn: 0,
        };
        spool.adopt()?;
        Ok(spool)
    }

    /// Takes over what processes left that have ended; returns how many.
    ///
    /// # Errors
    /// If the directory can't be read.
    pub fn adopt(&mut self) -> io::Result<usize> {
        let mut adopted = 0;
        for entry in fs::read_dir(&self.root)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name == self.own || !entry.file_type()?.is_dir() {
                continue;
            }
            let path = lock_path(&self.root, &name);
            let Ok(lock) = OpenOptions::new().write(true).open(&path) else {
                continue;
            };
            if lock.try_lock().is_ok() {
                self.take_over(&entry.path())?;
                fs::remove_file(path)?;
                adopted += 1;
            }
        }
        Ok(adopted)
    }

    fn take_over(&mut self, directory: &Path) -> io::Result<()> {
        let mut left = Vec::new();
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            if let Some(number) = segment::number(&path) {
                left.push((number, path));
            }
        }
        left.sort_unstable();
        for (_, path) in left {
            self.stop_writing()?;
            let bytes = fs::metadata(&path)?.len();
            let number = self.next;
            fs::rename(&path, segment::path(&self.directory, number))?;
            self.next += 1;
            self.bytes += bytes;
            self.segments.insert(
                number,
                Segment {
                    bytes,
                    ..Segment::default()
                },
            );
        }
        fs::remove_dir(directory)
    }

    /// Bytes on the disk.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Segments that couldn't be read to their end.
    pub fn torn(&self) -> u64 {
        self.torn
    }

    /// Writes batches. Those beyond the bound are left out; returns how many were written.
    ///
    /// # Errors
    /// If the disk doesn't take them; then none of them is there.
    pub fn append(&mut self, batches: &[Batch]) -> io::Result<usize> {
        let mut buffer = Vec::new();
        let mut written = 0;
        for batch in batches {
            if self.bytes + buffer.len() as u64 + segment::size(batch) > self.max_bytes {
                break;
            }
            segment::write(batch, &mut buffer);
            written += 1;
        }
        if buffer.is_empty() {
            return Ok(0);
        }
        let number = self.begin_writing()?;
        let Some(writing) = &mut self.writing else {
            return Ok(0);
        };
        if let Err(error) = writing.file.write_all(&buffer) {
            // What is behind the last whole batch is cut off, and if that fails as well nothing follows it.
            let whole = self.segments.get(&number).map_or(0, |known| known.bytes);
            drop(writing.file.set_len(whole));
            self.writing = None;
            return Err(error);
        }
        writing.dirty = true;
        let bytes = buffer.len() as u64;
        self.bytes += bytes;
        let segment = self.segments.entry(number).or_default();
        segment.bytes += bytes;
        // They are written, and would be there twice if they were appended again.
        if let Err(error) = self.sync() {
            static FAILED: LogThrottle = LogThrottle::new();
            if let Some(suppressed) = FAILED.record() {
                tracing::error!(%error, suppressed, "the disk may lose the audit log's spool");
            }
        }
        Ok(written)
    }

    fn begin_writing(&mut self) -> io::Result<u64> {
        if let Some(Writing { number, .. }) = self.writing {
            let known = self.segments.get(&number).map_or(0, |known| known.bytes);
            if known < SEGMENT_BYTES {
                return Ok(number);
            }
            self.stop_writing()?;
        }
        let number = self.next;
        let file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .mode(OWNERS_FILE)
            .open(segment::path(&self.directory, number))?;
        self.next += 1;
        self.segments.insert(number, Segment::default());
        self.writing = Some(Writing {
            number,
            file,
            synced: Instant::now(),
            dirty: false,
        });
        Ok(number)
    }

    fn stop_writing(&mut self) -> io::Result<()> {
        match self.writing.take() {
            Some(Writing {
                file, dirty: true, ..
            }) => file.sync_data(),
            _ => Ok(()),
        }
    }

    /// Has the disk keep what was written a while ago.
    ///
    /// # Errors
    /// If it can't.
    pub fn sync(&mut self) -> io::Result<()> {
        if let Some(writing) = &mut self.writing
            && writing.dirty
            && writing.synced.elapsed() >= SYNC
        {
            writing.file.sync_data()?;
            writing.synced = Instant::now();
            writing.dirty = false;
        }
        Ok(())
    }

    /// The next batches that weren't read yet, of about so many bytes and at most so many. A segment that can't be read is left
    /// out from there on.
    ///
    /// # Errors
    /// If nothing can be read for now.
    pub fn read(&mut self, bytes: usize, batches: usize) -> io::Result<Vec<Spooled>> {
        let mut found = Vec::new();
        let mut size = 0;
        while size < bytes && found.len() < batches {
            let Some(number) = self.unread() else { break };
            if self.reading.as_ref().is_none_or(|at| at.number != number) {
                match File::open(segment::path(&self.directory, number)) {
                    Ok(file) => {
                        self.reading = Some(Reading {
                            number,
                            offset: 0,
                            file,
                        });
                    }
                    Err(error) if is_lost(&error) => {
                        self.skip(number, &error.to_string());
                        continue;
                    }
                    Err(error) if found.is_empty() => return Err(error),
                    Err(_) => break,
                }
            }
            let (Some(reading), Some(known)) = (&mut self.reading, self.segments.get_mut(&number))
            else {
                break;
            };
            let is_last = self.writing.as_ref().is_some_and(|at| at.number == number);
            if reading.offset >= known.bytes {
                if is_last {
                    break;
                }
                known.read = true;
                continue;
            }
            match segment::read(&reading.file, reading.offset) {
                Ok(Some(batch)) => {
                    reading.offset = batch.end;
                    known.outstanding += 1;
                    size += batch.lines.len();
                    found.push(Spooled {
                        place: Place {
                            segment: number,
                            offset: batch.offset,
                        },
                        id: batch.id,
                        lines: batch.lines,
                    });
                }
                Ok(None) => self.skip(number, "there is no whole batch"),
                Err(error) if is_lost(&error) => self.skip(number, &error.to_string()),
                // What was found counts as read and must be sent.
                Err(error) if found.is_empty() => return Err(error),
                Err(_) => break,
            }
        }
        Ok(found)
    }

    /// The rest of a segment can't be read, and nothing is added to it any more.
    fn skip(&mut self, number: u64, why: &str) {
        self.torn += 1;
        tracing::warn!(
            segment = number,
            why,
            "the end of a segment of the audit log's spool can't be read"
        );
        if let Some(known) = self.segments.get_mut(&number) {
            known.read = true;
        }
        if self.writing.as_ref().is_some_and(|at| at.number == number) {
            self.writing = None;
        }
    }

    /// Nothing of it was read: whoever had read it has forgotten.
    pub fn rewind(&mut self) {
        self.reading = None;
        for segment in self.segments.values_mut() {
            segment.outstanding = 0;
            segment.read = false;
        }
    }

    fn unread(&self) -> Option<u64> {
        let mut segments = self.segments.iter();
        segments
            .find(|(_, segment)| !segment.read)
            .map(|(number, _)| *number)
    }

    /// A batch again.
    ///
    /// # Errors
    /// If the disk fails, or has lost it ([`is_lost`]).
    pub fn read_again(&self, place: Place) -> io::Result<Vec<u8>> {
        let file = File::open(segment::path(&self.directory, place.segment))?;
        let found = segment::read(&file, place.offset)?;
        found
            .map(|batch| batch.lines)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a batch can't be read"))
    }

    /// Batches are stored: the spool needn't keep them any longer.
    ///
    /// # Errors
    /// If a segment can't be removed.
    pub fn stored(&mut self, places: &[Place]) -> io::Result<()> {
        for place in places {
            if let Some(segment) = self.segments.get_mut(&place.segment) {
                segment.outstanding = segment.outstanding.saturating_sub(1);
            }
        }
        self.tidy()
    }

    /// Removes segments of which everything is stored.
    fn tidy(&mut self) -> io::Result<()> {
        // The one that is being written is done with as well when all of it was read and is stored.
        if let (Some(writing), Some(reading)) = (&self.writing, &self.reading)
            && writing.number == reading.number
            && let Some(known) = self.segments.get_mut(&writing.number)
            && known.outstanding == 0
            && reading.offset == known.bytes
        {
            known.read = true;
            self.writing = None;
        }
        let done: Vec<_> = self
            .segments
            .iter()
            .filter(|(_, segment)| segment.read && segment.outstanding == 0)
            .map(|(number, segment)| (*number, segment.bytes))
            .collect();
        let mut result = Ok(());
        for (number, bytes) in done {
            match fs::remove_file(segment::path(&self.directory, number)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => result = Err(error),
                _ => {
                    self.segments.remove(&number);
                    self.bytes = self.bytes.saturating_sub(bytes);
                }
            }
        }
        result
    }
}

impl Drop for Spool {
    /// Whoever leaves nothing behind leaves no directory.
    fn drop(&mut self) {
        if fs::remove_dir(&self.directory).is_ok() {
            drop(fs::remove_file(lock_path(&self.root, &self.own)));
        }
    }
}

/// Whether what couldn't be read for this reason won't be read later either.
pub fn is_lost(error: &io::Error) -> bool {
    let passes = error
        .raw_os_error()
        .is_some_and(|code| TOO_MANY_FILES.contains(&code));
    !passes && error.kind() != io::ErrorKind::OutOfMemory
}

/// Makes directories for their owner alone.
fn private() -> DirBuilder {
    let mut builder = DirBuilder::new();
    builder.mode(0o700);
    builder
}

fn lock_path(root: &Path, name: &str) -> PathBuf {
    root.join(format!("{name}.lock"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(text: &str) -> Batch {
        Batch {
            id: Uuid::now_v7(),
            entries: 1,
            lines: text.as_bytes().to_vec(),
        }
    }

    fn lines(spool: &mut Spool) -> Vec<String> {
        let read = spool.read(usize::MAX, usize::MAX).unwrap();
        let texts = read.into_iter().map(|batch| batch.lines);
        texts
            .map(|lines| String::from_utf8(lines).unwrap())
            .collect()
    }

    fn segments_of(root: &Path) -> Vec<PathBuf> {
        let directories = fs::read_dir(root)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let directories = directories.filter(|path| path.is_dir());
        let files = directories.flat_map(|path| fs::read_dir(path).unwrap());
        files.map(|entry| entry.unwrap().path()).collect()
    }

    #[test]
    fn what_is_stored_is_removed() {
        let root = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(root.path(), 1 << 20).unwrap();
        let batches = [batch("one"), batch("two")];
        assert_eq!(spool.append(&batches).unwrap(), 2);
        let read = spool.read(usize::MAX, usize::MAX).unwrap();
        assert_eq!(read.len(), 2);
        assert_eq!(read[0].id, batches[0].id);
        assert!(spool.read(usize::MAX, usize::MAX).unwrap().is_empty());
        assert_eq!(spool.read_again(read[1].place).unwrap(), b"two");
        spool.stored(&[read[0].place]).unwrap();
        assert!(spool.bytes() > 0);
        spool.append(&[batch("three")]).unwrap();
        spool.stored(&[read[1].place]).unwrap();
        assert!(spool.bytes() > 0, "the third isn't stored");
        let third = spool.read(usize::MAX, usize::MAX).unwrap();
        spool.stored(&[third[0].place]).unwrap();
        assert_eq!(spool.bytes(), 0);
        assert!(segments_of(root.path()).is_empty());
        spool.append(&[batch("four")]).unwrap();
        assert_eq!(lines(&mut spool), ["four"]);
    }

    #[test]
    fn it_is_bounded() {
        let root = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(root.path(), 10_000).unwrap();
        let batches = vec![batch(&"x".repeat(1_000)); 20];
        assert_eq!(spool.append(&batches).unwrap(), 9);
        assert_eq!(spool.append(&batches).unwrap(), 0);
        let places: Vec<_> = spool.read(usize::MAX, usize::MAX).unwrap();
        let places: Vec<_> = places.iter().map(|batch| batch.place).collect();
        spool.stored(&places).unwrap();
        assert_eq!(spool.append(&batches).unwrap(), 9);
    }

    #[test]
    fn what_a_process_left_is_taken_over_and_what_a_living_one_has_is_not() {
        let root = tempfile::tempdir().unwrap();
        let mut left = Spool::open(root.path(), 1 << 20).unwrap();
        let mut living = Spool::open(root.path(), 1 << 20).unwrap();
        left.append(&[batch("left")]).unwrap();
        living.append(&[batch("living")]).unwrap();
        drop(left);
        let mut heir = Spool::open(root.path(), 1 << 20).unwrap();
        assert_eq!(lines(&mut heir), ["left"]);
        assert_eq!(living.adopt().unwrap(), 0);
        drop(heir);
        assert_eq!(living.adopt().unwrap(), 1);
        assert_eq!(lines(&mut living), ["living", "left"]);
    }

    #[test]
    fn a_torn_end_costs_only_itself() {
        let root = tempfile::tempdir().unwrap();
        for damage in ["cut", "changed", "garbage"] {
            let mut left = Spool::open(root.path(), 1 << 20).unwrap();
            left.append(&[batch("whole"), batch("torn")]).unwrap();
            drop(left);
            let [path] = &segments_of(root.path())[..] else {
                panic!("one segment")
            };
            let mut bytes = fs::read(path).unwrap();
            match damage {
                "cut" => bytes.truncate(bytes.len() - 2),
                "changed" => *bytes.last_mut().unwrap() ^= 1,
                _ => {
                    bytes.truncate(bytes.len() - 8);
                    bytes.extend_from_slice(&[0xff; 100]);
                }
            }
            fs::write(path, bytes).unwrap();
            let mut heir = Spool::open(root.path(), 1 << 20).unwrap();
            let read = heir.read(usize::MAX, usize::MAX).unwrap();
            assert_eq!((read.len(), heir.torn()), (1, 1), "{damage}");
            assert_eq!(read[0].lines, b"whole");
            heir.append(&[batch("later")]).unwrap();
            assert_eq!(lines(&mut heir), ["later"]);
            heir.stored(&[read[0].place]).unwrap();
            drop(heir);
            let mut last = Spool::open(root.path(), 1 << 20).unwrap();
            let again = last.read(usize::MAX, usize::MAX).unwrap();
            assert_eq!(again.len(), 1, "{damage}: what isn't stored is sent again");
            last.stored(&[again[0].place]).unwrap();
            assert_eq!(last.bytes(), 0);
        }
    }

    /// Segments of one batch each, and where these are.
    fn segments(spool: &mut Spool, texts: &[&str]) -> Vec<PathBuf> {
        let mut paths = Vec::new();
        for text in texts {
            spool.append(&[batch(text)]).unwrap();
            let number = spool.writing.take().unwrap().number;
            paths.push(segment::path(&spool.directory, number));
        }
        paths
    }

    #[test]
    fn a_segment_that_is_gone_or_unreadable_keeps_nothing_back() {
        let root = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(root.path(), 1 << 20).unwrap();
        let paths = segments(&mut spool, &["one", "two", "three", "four"]);
        fs::remove_file(&paths[1]).unwrap();
        // A directory can be opened and not be read.
        fs::remove_file(&paths[2]).unwrap();
        fs::create_dir(&paths[2]).unwrap();
        let read = spool.read(usize::MAX, usize::MAX).unwrap();
        let found: Vec<_> = read.iter().map(|batch| &batch.lines[..]).collect();
        assert_eq!((found, spool.torn()), (vec![&b"one"[..], b"four"], 2));
        fs::remove_file(&paths[0]).unwrap();
        assert!(is_lost(&spool.read_again(read[0].place).unwrap_err()));
        let places: Vec<_> = read.iter().map(|batch| batch.place).collect();
        // The directory isn't removed, everything else is.
        assert!(spool.stored(&places).is_err());
        assert_eq!(segments_of(root.path()), [paths[2].clone()]);
        assert_eq!(spool.segments.len(), 1);
        spool.append(&[batch("five")]).unwrap();
        assert_eq!(lines(&mut spool), ["five"]);
        assert!(!is_lost(&io::Error::from_raw_os_error(TOO_MANY_FILES[0])));
    }

    #[test]
    fn what_the_disk_does_not_keep_is_written_once() {
        let root = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(root.path(), 1 << 20).unwrap();
        spool.append(&[batch("one")]).unwrap();
        // A pipe takes what is written, and can't be synced.
        let (_reader, pipe) = io::pipe().unwrap();
        let writing = spool.writing.as_mut().unwrap();
        writing.file = File::from(std::os::fd::OwnedFd::from(pipe));
        writing.synced = Instant::now().checked_sub(2 * SYNC).unwrap();
        let before = spool.bytes();
        assert_eq!(spool.append(&[batch("two")]).unwrap(), 1);
        assert!(spool.bytes() > before && spool.sync().is_err());
    }

    #[test]
    fn what_was_read_is_read_again_once_it_is_rewound() {
        let root = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(root.path(), 1 << 20).unwrap();
        segments(&mut spool, &["one"]);
        spool.append(&[batch("two")]).unwrap();
        assert_eq!(lines(&mut spool), ["one", "two"]);
        spool.rewind();
        let again = spool.read(usize::MAX, usize::MAX).unwrap();
        let places: Vec<_> = again.iter().map(|batch| batch.place).collect();
        spool.stored(&places).unwrap();
        assert_eq!((places.len(), spool.bytes()), (2, 0));
    }

    #[test]
    fn a_long_outage_fills_many_segments() {
        let root = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(root.path(), 1 << 30).unwrap();
        let text = "x".repeat(30_000);
        for _ in 0..10 {
            spool.append(&vec![batch(&text); 30]).unwrap();
        }
        assert!(segments_of(root.path()).len() > 1);
        let mut places = Vec::new();
        loop {
            let read = spool.read(1 << 20, 100).unwrap();
            if read.is_empty() {
                break;
            }
            places.extend(read.iter().map(|batch| batch.place));
        }
        assert_eq!(places.len(), 300);
        spool.stored(&places).unwrap();
        assert_eq!(spool.bytes(), 0);
    }
}
