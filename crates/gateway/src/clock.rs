//! Time since a gateway's start.

use std::time::Instant;

#[derive(Clone, Copy)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn now_millis(self) -> u64 {
        self.0.elapsed().as_millis() as u64
    }

    pub(crate) fn now_micros(self) -> u64 {
        self.0.elapsed().as_micros() as u64
    }
}
