//! The log: one line an event on standard output, as text for people or as JSON for machines. What may never be in it
//! (passwords, tokens, bodies of messages) is kept out by types that don't print.

use tracing_subscriber::{
    filter::{ParseError, Targets},
    fmt,
    layer::SubscriberExt,
    util::{SubscriberInitExt, TryInitError},
};

use crate::config::Config;

/// The log can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The filter of the configuration isn't one.
    #[error("LOG_LEVEL can't be used")]
    Filter(#[from] ParseError),
    /// The process has a log already.
    #[error("the log is set up already")]
    Twice(#[from] TryInitError),
}

/// Sets up the log of this process.
///
/// # Errors
/// If the filter doesn't parse or the process has a log already.
pub fn init(config: &Config) -> Result<(), LoggingError> {
    let filter: Targets = config.log_level.parse()?;
    let registry = tracing_subscriber::registry().with(filter);
    // When standard output is closed, standard error may be closed as well.
    let lines = fmt::layer().log_internal_errors(false);
    if config.log_json {
        registry.with(lines.json().flatten_event(true)).try_init()?;
    } else {
        registry.with(lines).try_init()?;
    }
    Ok(())
}
