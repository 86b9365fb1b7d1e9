//! What a program counts, as Prometheus reads it.
//!
//! A [`Metric`] is a description: its name, labels, unit and meaning. A program lists all of its own, so that its
//! documentation is written from the list and nothing is shown that the list lacks. A [`Registry`] holds the values:
//! histograms are observed when something happens, everything else is read from its owner when somebody asks, so that
//! counting costs an atomic increment and no lock.

mod metric;
mod process;
mod registry;
mod scrape;

pub use metric::{Kind, LATENCY_SECONDS, Metric, document};
pub use metrics::Histogram;
pub use process::PROCESS;
pub use registry::{Registry, RegistryError};
pub use scrape::Scrape;
