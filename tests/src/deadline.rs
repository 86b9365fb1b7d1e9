//! Waiting for what must happen. A loaded machine is slow, not wrong, so the deadline is generous and the only one.

use std::{
    fmt::Debug,
    time::{Duration, Instant},
};

/// How long anything may take before it counts as never happening.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The pause between two looks.
const GLANCE: Duration = Duration::from_millis(2);

/// Awaits `future`, no longer than the deadline.
///
/// # Panics
/// If it isn't ready in time; `what` says what was awaited.
pub async fn within<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("{what}: not within {PATIENCE:?}"),
    }
}

/// Looks until `look` gives `expected`.
///
/// # Panics
/// If it gives anything else for too long; the last value is shown.
pub async fn becomes<T: PartialEq + Debug>(what: &str, expected: T, mut look: impl FnMut() -> T) {
    let begun = Instant::now();
    loop {
        let found = look();
        if found == expected {
            return;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "{what}: {found:?} instead of {expected:?} after {PATIENCE:?}"
        );
        tokio::time::sleep(GLANCE).await;
    }
}
