//! Descriptions of metrics, and the page that is written from them.

/// Bounds of the buckets of latencies, in seconds: from what a loop back takes to what a client gives up after.
pub const LATENCY_SECONDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

/// How a metric's values change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Only grows, from the start of the process.
    Counter,
    /// What is now.
    Gauge,
    /// Observations, counted in buckets with these upper bounds.
    Histogram(&'static [f64]),
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }
}

/// What one metric is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Metric {
    /// As Prometheus names it: base units, `_total` at the end of counters.
    pub name: &'static str,
    /// How it changes.
    pub kind: Kind,
    /// The names of its labels. Their values come from a closed set, never from a client.
    pub labels: &'static [&'static str],
    /// What it says, in one sentence without a full stop.
    pub help: &'static str,
}

/// A page in Markdown: a heading and a table for each group.
pub fn document(title: &str, introduction: &str, groups: &[(&str, &[Metric])]) -> String {
    let mut page = format!("# {title}\n\n{introduction}\n");
    for (heading, metrics) in groups {
        page.push_str(&format!(
            "\n## {heading}\n\n| metric | kind | labels | meaning |\n|---|---|---|---|\n"
        ));
        for metric in *metrics {
            let labels: Vec<_> = metric.labels.iter().map(|l| format!("`{l}`")).collect();
            page.push_str(&format!(
                "| `{}` | {} | {} | {} |\n",
                metric.name,
                metric.kind.name(),
                labels.join(", "),
                metric.help
            ));
        }
    }
    page
}
