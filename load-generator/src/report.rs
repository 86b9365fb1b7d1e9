//! Markdown of a run.

use std::{fs, path::Path};

use crate::{
    bench::{
        Failure,
        contestant::Contestant,
        samples::{Cell, Metric, Samples, Spread},
    },
    error::{Doing, Result},
};

/// Prints a report, and writes it to a file if one was asked for.
///
/// # Errors
/// [`crate::error::Error::Io`] when it can't be written.
pub fn publish(report: &str, out: Option<&Path>) -> Result<()> {
    println!("{report}");
    out.map_or(Ok(()), |path| {
        fs::write(path, report).doing(|| format!("writing {}", path.display()))
    })
}

/// All that a report is made of.
pub struct Report<'a> {
    /// Lines about the machine and the run.
    pub facts: &'a [String],
    /// Each contestant's version.
    pub versions: &'a [(Contestant, String)],
    /// The figures.
    pub samples: &'a Samples,
    /// What failed.
    pub failures: &'a [Failure],
}

/// A column: its title and how it is filled.
type Column<'a> = (&'a str, Box<dyn Fn(Contestant) -> Option<String> + 'a>);

impl Report<'_> {
    /// The report. Figures are medians over the rounds with least and most behind them.
    pub fn markdown(&self) -> String {
        let mut text = String::from("# Benchmark\n\n");
        for fact in self.facts {
            text.push_str(&format!("- {fact}\n"));
        }
        for (contestant, version) in self.versions {
            text.push_str(&format!("- {}: {version}\n", contestant.title()));
        }
        text.push_str("\nFigures are medians over the rounds (least – most). A ratio compares with the bare send loop of the same moment.\n");
        for Failure {
            contestant,
            round,
            reason,
        } in self.failures
        {
            text.push_str(&format!(
                "\n**{} failed in round {}**: {reason}\n",
                contestant.title(),
                round + 1
            ));
        }
        let (chat, servers): (Vec<_>, Vec<_>) = self
            .samples
            .contestants()
            .into_iter()
            .partition(|&contestant| contestant == Contestant::Tertulia);
        if !servers.is_empty() {
            text.push_str("\n## Connections\n\n");
            self.table(&mut text, &servers, &self.connection_columns());
        }
        for cell in self.samples.cells() {
            let many = if cell.in_flight == 1 {
                "one publish".into()
            } else {
                format!("{} publishes", cell.in_flight)
            };
            text.push_str(&format!(
                "\n## Delivery: rooms of {}, {many} in flight\n\n",
                cell.room
            ));
            self.table(&mut text, &servers, &self.delivery_columns(cell));
        }
        if !chat.is_empty() {
            text.push_str("\n## Chat, authenticated and durable\n\n");
            self.table(&mut text, &chat, &self.chat_columns());
        }
        text
    }

    fn connection_columns(&self) -> Vec<Column<'_>> {
        vec![
            self.column("memory a connection, idle, KB", Metric::IdleBytes, 1e3, 2),
            self.column(
                "in a room, after one message, KB",
                Metric::UsedBytes,
                1e3,
                2,
            ),
            self.column("kernel slab, both ends, KB", Metric::KernelBytes, 1e3, 1),
            self.column("CPU a connect, µs", Metric::ConnectCpu, 1.0, 1),
            self.ratio_column(Metric::ConnectCpu),
            self.column("connects/s", Metric::ConnectRate, 1.0, 0),
        ]
    }

    fn delivery_columns(&self, cell: Cell) -> Vec<Column<'_>> {
        vec![
            self.column("CPU a delivery, µs", Metric::DeliveryCpu(cell), 1.0, 2),
            self.ratio_column(Metric::DeliveryCpu(cell)),
            self.column("deliveries/s", Metric::DeliveryRate(cell), 1.0, 0),
            self.column("latency p50, µs", Metric::LatencyP50(cell), 1.0, 0),
            self.column("p99, µs", Metric::LatencyP99(cell), 1.0, 0),
            self.column("out of order", Metric::OutOfOrder(cell), 1.0, 0),
            self.column("clients busy, %", Metric::ClientsBusy(cell), 1.0, 0),
        ]
    }

    fn chat_columns(&self) -> Vec<Column<'_>> {
        vec![
            self.column(
                "memory a connection, idle in a room, KB",
                Metric::IdleBytes,
                1e3,
                2,
            ),
            self.column("after one message, KB", Metric::UsedBytes, 1e3, 2),
            self.column("CPU a connect and join, µs", Metric::ConnectCpu, 1.0, 1),
            self.column("acked messages/s, 100 senders", Metric::SendRate, 1.0, 0),
            self.column("CPU a message, µs", Metric::SendCpu, 1.0, 0),
            self.column("ack p50, ms", Metric::SendP50, 1.0, 1),
            self.column("p99, ms", Metric::SendP99, 1.0, 1),
            self.column("at 1,000/s: ack p50, ms", Metric::SteadyP50, 1.0, 1),
            self.column("p99, ms", Metric::SteadyP99, 1.0, 1),
            self.column("the disk's fdatasync/s", Metric::DiskSyncs, 1.0, 0),
        ]
    }

    fn column<'a>(
        &'a self,
        title: &'a str,
        metric: Metric,
        unit: f64,
        digits: usize,
    ) -> Column<'a> {
        let fill =
            move |contestant| Some(show(self.samples.spread(contestant, metric)?, unit, digits));
        (title, Box::new(fill))
    }

    fn ratio_column(&self, metric: Metric) -> Column<'_> {
        (
            "× bare",
            Box::new(move |contestant| Some(show(self.samples.ratio(contestant, metric)?, 1.0, 2))),
        )
    }

    fn table(&self, text: &mut String, contestants: &[Contestant], columns: &[Column<'_>]) {
        let head: Vec<_> = columns.iter().map(|(title, _)| *title).collect();
        let rows = contestants.iter().map(|&contestant| {
            let cells = columns.iter().map(|(_, fill)| fill(contestant)).collect();
            (contestant.title(), cells)
        });
        table(text, "server", &head, rows);
    }
}

/// Adds a table: the titles of its columns, and each row's title and cells, of which some may be missing.
pub fn table<'a>(
    text: &mut String,
    corner: &str,
    head: &[&str],
    rows: impl Iterator<Item = (&'a str, Vec<Option<String>>)>,
) {
    text.push_str(&format!("| {corner} | {} |\n", head.join(" | ")));
    text.push_str(&format!("|---|{}\n", "---|".repeat(head.len())));
    for (title, cells) in rows {
        text.push_str(&format!("| {title} |"));
        for cell in cells {
            text.push_str(&format!(" {} |", cell.unwrap_or_else(|| "–".into())));
        }
        text.push('\n');
    }
}

/// A median with least and most, in units of `unit`, with that many decimals.
pub fn show(
    Spread {
        median,
        least,
        most,
    }: Spread,
    unit: f64,
    digits: usize,
) -> String {
    let number = |value: f64| group(&format!("{:.digits$}", value / unit));
    let (median, least, most) = (number(median), number(least), number(most));
    if least == most {
        median
    } else {
        format!("{median} ({least} – {most})")
    }
}

/// Commas between the thousands of a decimal number.
fn group(number: &str) -> String {
    let (sign, number) = number
        .strip_prefix('-')
        .map_or(("", number), |number| ("-", number));
    let (whole, fraction) = number.split_at(number.find('.').unwrap_or(number.len()));
    let mut grouped = String::from(sign);
    for (place, digit) in whole.char_indices() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + fraction
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::samples::Moment;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!(group("12"), "12");
        assert_eq!(group("1234.56"), "1,234.56");
        assert_eq!(group("-1234567"), "-1,234,567");
        assert_eq!(group("100"), "100");
    }

    #[test]
    fn a_report_shows_figures_gaps_and_failures() {
        let mut samples = Samples::default();
        let cell = Cell {
            room: 10,
            in_flight: 8,
        };
        for (round, bare, node) in [(0, 10.0, 20.0), (1, 11.0, 33.0)] {
            let moment = Moment { round, slice: 0 };
            samples.record(Contestant::Bare, Metric::DeliveryCpu(cell), moment, bare);
            samples.record(Contestant::Node, Metric::DeliveryCpu(cell), moment, node);
        }
        let report = Report {
            facts: &["a machine".into()],
            versions: &[(Contestant::Node, "4".into())],
            samples: &samples,
            failures: &[Failure {
                contestant: Contestant::Gateway,
                round: 0,
                reason: "it did not start".into(),
            }],
        };
        let text = report.markdown();
        assert!(
            text.contains("- a machine\n- Socket.IO on Node: 4\n"),
            "{text}"
        );
        assert!(
            text.contains("**Tertulia's gateway failed in round 1**: it did not start"),
            "{text}"
        );
        assert!(
            text.contains("## Delivery: rooms of 10, 8 publishes in flight"),
            "{text}"
        );
        assert!(
            text.contains("| Socket.IO on Node | 26.50 (20.00 – 33.00) | 2.50 (2.00 – 3.00) | – |"),
            "{text}"
        );
        assert!(!text.contains("## Chat"), "{text}");
    }
}
