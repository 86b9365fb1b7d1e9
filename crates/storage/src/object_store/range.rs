//! Parts of objects.

use std::ops::Range;

/// Which bytes of an object are wanted, before its size is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteRange {
    /// From one on, to the end.
    From(u64),
    /// From one to another, which is included.
    Between(u64, u64),
    /// The last so many.
    Last(u64),
}

/// None of the bytes that were wanted is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unsatisfiable {
    /// Bytes of the object.
    pub size: u64,
}

impl ByteRange {
    /// The bytes of an object of this size.
    pub(super) fn of(self, size: u64) -> Result<Range<u64>, Unsatisfiable> {
        let range = match self {
            Self::From(first) => first..size,
            Self::Between(first, last) => first..size.min(last.saturating_add(1)),
            Self::Last(count) => size.saturating_sub(count)..size,
        };
        match range.is_empty() {
            true => Err(Unsatisfiable { size }),
            false => Ok(range),
        }
    }

    /// As the header `Range` has it.
    pub(super) fn header(self) -> String {
        match self {
            Self::From(first) => format!("bytes={first}-"),
            Self::Between(first, last) => format!("bytes={first}-{last}"),
            Self::Last(count) => format!("bytes=-{count}"),
        }
    }
}
