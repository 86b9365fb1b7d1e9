//! Waiting for what must happen. A loaded machine is slow, not wrong, so the deadline is generous and the only one.

use std::time::Duration;

/// How long anything may take before it counts as never happening.
pub const PATIENCE: Duration = Duration::from_secs(30);

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
