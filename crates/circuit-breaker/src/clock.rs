//! The time in milliseconds since a breaker was made.

/// A clock that only goes forwards. On Linux it is the coarse one of the kernel, which is a few milliseconds behind and costs a tenth
/// of the exact one: what is measured here are times of 10 ms and more.
pub(crate) struct Clock {
    made: Moment,
}

#[cfg(target_os = "linux")]
type Moment = u64;
#[cfg(not(target_os = "linux"))]
type Moment = std::time::Instant;

impl Clock {
    pub(crate) fn new() -> Self {
        Self { made: moment() }
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn now(&self) -> u64 {
        moment() - self.made
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn now(&self) -> u64 {
        self.made.elapsed().as_millis() as u64
    }
}

#[cfg(target_os = "linux")]
fn moment() -> Moment {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse);
    now.tv_sec as u64 * 1_000 + now.tv_nsec as u64 / 1_000_000
}

#[cfg(not(target_os = "linux"))]
fn moment() -> Moment {
    std::time::Instant::now()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn it_goes_on() {
        let clock = Clock::new();
        let before = clock.now();
        std::thread::sleep(Duration::from_millis(100));
        // It may be one step behind at either end.
        assert!(clock.now() >= before + 80);
    }
}
