//! The values of counters and gauges, which are read when somebody asks for them.

use metrics::{Key, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::PrometheusRecorder;

use crate::{Kind, Metric};

/// Where the owners of counters write their values when somebody asks for them.
pub struct Scrape<'a>(pub(crate) &'a PrometheusRecorder);

impl Scrape<'_> {
    /// The value of a counter with these values of its labels.
    pub fn counter(&self, metric: &Metric, labels: &[&'static str], value: u64) {
        debug_assert_eq!(metric.kind, Kind::Counter, "{}", metric.name);
        let counter = self.0.register_counter(&key(metric, labels), &METADATA);
        counter.absolute(value);
    }

    /// The value of a gauge with these values of its labels.
    pub fn gauge(&self, metric: &Metric, labels: &[&'static str], value: f64) {
        debug_assert_eq!(metric.kind, Kind::Gauge, "{}", metric.name);
        let gauge = self.0.register_gauge(&key(metric, labels), &METADATA);
        gauge.set(value);
    }
}

pub(crate) static METADATA: Metadata<'static> =
    Metadata::new(env!("CARGO_PKG_NAME"), Level::INFO, None);

pub(crate) fn key(metric: &Metric, values: &[&'static str]) -> Key {
    debug_assert_eq!(
        metric.labels.len(),
        values.len(),
        "labels of {}",
        metric.name
    );
    let labels = metric.labels.iter().zip(values);
    let labels: Vec<_> = labels
        .map(|(name, value)| Label::new(*name, *value))
        .collect();
    Key::from_parts(metric.name, labels)
}
