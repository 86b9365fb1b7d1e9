//! What is written to a socket in one go.

use std::{collections::VecDeque, io, io::IoSlice};

use smallvec::SmallVec;

use super::queued::{Queued, REPLY};
use crate::frame::Frame;

/// What one flush writes; taken out so that no lock is held during the system call.
pub(crate) struct Batch {
    pub(super) queue: VecDeque<Queued>,
    pub(super) offset: usize,
    /// Bytes of the first frame that were written before.
    pub(super) began: usize,
    /// Cost of the frames that are written.
    pub(super) written: usize,
}

/// Buffers in one `writev`. The kernel's limit is 1,024; beyond 64 nothing is gained.
const MAX_SLICES: usize = 64;

impl Batch {
    pub(crate) fn push(&mut self, frame: Frame) {
        let topic = REPLY;
        self.queue.push_back(Queued { frame, topic });
    }

    /// Writes until all is written or the socket takes no more; true in the latter case.
    pub(crate) fn write(
        &mut self,
        write: impl Fn(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<bool> {
        while !self.queue.is_empty() {
            let mut slices: SmallVec<[IoSlice<'_>; MAX_SLICES]> = SmallVec::new();
            let mut skip = self.offset;
            for queued in self.queue.iter().take(MAX_SLICES) {
                slices.push(IoSlice::new(&queued.frame.wire()[skip..]));
                skip = 0;
            }
            let result = write(&slices);
            drop(slices);
            match result {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => self.advance(written),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(false)
    }

    fn advance(&mut self, mut written: usize) {
        while let Some(front) = self.queue.front() {
            let left = front.frame.size() - self.offset;
            if written < left {
                self.offset += written;
                return;
            }
            written -= left;
            self.offset = 0;
            self.written += front.cost();
            self.queue.pop_front();
        }
    }
}
