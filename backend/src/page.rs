//! How much of a list one answer holds. It's the bytes that are written which count, whatever escaping makes of a text.

use std::io;

use protocol::limits::PAGE_BYTES_MAX;
use serde::Serialize;

/// Kept for what stands around the entries: the names of fields, a room beside them, the frame.
const AROUND: usize = 4 * 1024;

/// Bytes that the entries of a page are written in, at most.
pub const ENTRIES_BYTES_MAX: usize = PAGE_BYTES_MAX - AROUND;

/// Ends a list where a page does; says whether that left something out.
///
/// # Errors
/// If an entry has no JSON.
pub fn end<T: Serialize>(entries: &mut Vec<T>) -> Result<bool, serde_json::Error> {
    let (all, fitting) = (entries.len(), fitting(entries.iter())?);
    entries.truncate(fitting);
    Ok(fitting < all)
}

/// The same of a list that is read from its end on.
///
/// # Errors
/// As [`end`].
pub fn begin<T: Serialize>(entries: &mut Vec<T>) -> Result<bool, serde_json::Error> {
    let left_out = entries.len() - fitting(entries.iter().rev())?;
    entries.drain(..left_out);
    Ok(left_out > 0)
}

/// How many entries one page holds: the first always, whatever its size.
fn fitting<'a, T: Serialize + 'a>(
    entries: impl Iterator<Item = &'a T>,
) -> Result<usize, serde_json::Error> {
    let mut counted = Counted(0);
    let mut fitting = 0;
    for entry in entries {
        serde_json::to_writer(&mut counted, entry)?;
        // The comma after it.
        counted.0 += 1;
        if counted.0 > ENTRIES_BYTES_MAX && fitting > 0 {
            break;
        }
        fitting += 1;
    }
    Ok(fitting)
}

/// Counts what is written to it.
struct Counted(usize);

impl io::Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(entries: &[String]) -> usize {
        serde_json::to_string(entries).unwrap().len()
    }

    #[test]
    fn a_page_ends_by_what_is_written() {
        for text in ["x", "\u{1}", "\"", "🦊"] {
            let all = vec![text.repeat(16_000); 500];
            for cut in [end, begin] {
                let mut entries = all.clone();
                assert!(cut(&mut entries).unwrap());
                let fitting = entries.len();
                assert!(written(&entries) <= PAGE_BYTES_MAX);
                assert!(written(&all[..=fitting]) > ENTRIES_BYTES_MAX);
                assert!(!cut(&mut entries).unwrap());
                assert_eq!(entries.len(), fitting);
            }
        }
    }

    #[test]
    fn a_page_keeps_the_side_it_is_read_from() {
        let all: Vec<String> = ["a", "b", "c"].map(|text| text.repeat(500_000)).into();
        let (mut ended, mut begun) = (all.clone(), all.clone());
        assert!(end(&mut ended).unwrap() && begin(&mut begun).unwrap());
        assert_eq!((&ended[..], &begun[..]), (&all[..2], &all[1..]));
    }

    #[test]
    fn one_entry_is_a_page_whatever_its_size() {
        let mut entries = vec!["x".repeat(2 * PAGE_BYTES_MAX); 2];
        assert!(end(&mut entries).unwrap());
        assert_eq!(entries.len(), 1);
        assert!(!begin(&mut entries).unwrap());
        let mut none: Vec<u8> = Vec::new();
        assert!(!end(&mut none).unwrap() && !begin(&mut none).unwrap());
    }
}
