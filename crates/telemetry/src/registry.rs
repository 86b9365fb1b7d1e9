//! The values of a program's metrics.

use metrics::{Histogram, Recorder};
use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

use crate::{
    Kind, Metric,
    process::Process,
    scrape::{METADATA, Scrape, key},
};

/// Why a registry can't be made.
#[derive(Debug, thiserror::Error)]
#[error("the buckets of {name}: {source}")]
pub struct RegistryError {
    name: &'static str,
    source: BuildError,
}

/// All values of one server. Several in one process don't share any but the process's own.
pub struct Registry {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    process: Process,
}

impl Registry {
    /// One that holds `metrics`.
    ///
    /// # Errors
    /// If a histogram has no buckets.
    pub fn new<'a>(
        metrics: impl Iterator<Item = &'a Metric> + Clone,
    ) -> Result<Self, RegistryError> {
        let mut builder = PrometheusBuilder::new();
        for metric in metrics.clone() {
            if let Kind::Histogram(bounds) = metric.kind {
                let name = Matcher::Full(metric.name.to_owned());
                let named = |source| RegistryError {
                    name: metric.name,
                    source,
                };
                builder = builder
                    .set_buckets_for_metric(name, bounds)
                    .map_err(named)?;
            }
        }
        let recorder = builder.build_recorder();
        for metric in metrics {
            let (name, help) = (metric.name.into(), metric.help.into());
            match metric.kind {
                Kind::Counter => recorder.describe_counter(name, None, help),
                Kind::Gauge => recorder.describe_gauge(name, None, help),
                Kind::Histogram(_) => recorder.describe_histogram(name, None, help),
            }
        }
        Ok(Self {
            handle: recorder.handle(),
            recorder,
            process: Process::new(),
        })
    }

    /// What observations of `metric` with these values of its labels are given to. Keep it: getting it again costs a
    /// lookup, observing only an atomic operation.
    pub fn histogram(&self, metric: &Metric, labels: &[&'static str]) -> Histogram {
        self.recorder
            .register_histogram(&key(metric, labels), &METADATA)
    }

    /// Takes in what was observed. Between two calls observations are kept one by one, so call it every few seconds.
    pub fn run_upkeep(&self) {
        self.handle.run_upkeep();
    }

    /// Everything as text, in Prometheus' format: what was observed, what `read` says now, and what is known of the
    /// process. Call it on a tokio runtime.
    pub fn render(&self, read: impl FnOnce(&Scrape<'_>)) -> String {
        let scrape = Scrape(&self.recorder);
        self.process.read(&scrape);
        read(&scrape);
        self.handle.render()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPENED: Metric = Metric {
        name: "test_opened_total",
        kind: Kind::Counter,
        labels: &["transport"],
        help: "Connections opened",
    };
    const TOOK: Metric = Metric {
        name: "test_seconds",
        kind: Kind::Histogram(&[0.1, 1.0]),
        labels: &[],
        help: "Time taken",
    };

    #[tokio::test]
    async fn what_was_counted_and_observed_is_shown_with_its_help() {
        let registry = Registry::new([OPENED, TOOK].iter()).unwrap();
        let took = registry.histogram(&TOOK, &[]);
        took.record(0.5);
        registry.run_upkeep();
        took.record(7.0);
        let text = registry.render(|scrape| scrape.counter(&OPENED, &["polling"], 3));
        for line in [
            "# HELP test_opened_total Connections opened",
            "# TYPE test_opened_total counter",
            "test_opened_total{transport=\"polling\"} 3",
            "test_seconds_bucket{le=\"0.1\"} 0",
            "test_seconds_bucket{le=\"1\"} 1",
            "test_seconds_bucket{le=\"+Inf\"} 2",
            "test_seconds_sum 7.5",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line} in {text}");
        }
    }

    #[tokio::test]
    async fn two_registries_share_no_value_and_both_show_the_process() {
        let [one, other] = [(); 2].map(|()| Registry::new([OPENED].iter()).unwrap());
        one.render(|scrape| scrape.counter(&OPENED, &["polling"], 3));
        let text = other.render(|_| {});
        assert!(!text.contains("test_opened_total{"), "{text}");
        for metric in crate::PROCESS {
            let shown = text.lines().any(|line| line.starts_with(metric.name));
            assert!(shown, "{} in {text}", metric.name);
        }
    }
}
