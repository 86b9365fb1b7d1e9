//! The figures of a run, by contestant and round, and what is made of them: medians, and ratios within a round.

use std::collections::BTreeMap;

use super::contestant::Contestant;

/// What a figure says, with its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    /// Bytes of a server's memory for each idle connection.
    IdleBytes,
    /// The same after each connection joined a room and had one message.
    UsedBytes,
    /// Bytes of kernel memory for each idle connection, both ends together.
    KernelBytes,
    /// Microseconds of CPU for each connect.
    ConnectCpu,
    /// Connects in a second.
    ConnectRate,
    /// Microseconds of CPU for each delivery.
    DeliveryCpu(Cell),
    /// Deliveries in a second.
    DeliveryRate(Cell),
    /// Microseconds from a publish to a delivery, median.
    LatencyP50(Cell),
    /// The same, 99th percentile.
    LatencyP99(Cell),
    /// Deliveries out of their room's order.
    OutOfOrder(Cell),
    /// The share of the time in which the clients were busy, in percent.
    ClientsBusy(Cell),
    /// Acked durable messages in a second, closed loop.
    SendRate,
    /// Milliseconds from a send to its ack, closed loop, median.
    SendP50,
    /// The same, 99th percentile.
    SendP99,
    /// Milliseconds from the time a send was due to its ack at a steady rate, median.
    SteadyP50,
    /// The same, 99th percentile.
    SteadyP99,
    /// Microseconds of CPU for each acked message, deliveries included, closed loop.
    SendCpu,
    /// Appends of a page with `fdatasync` in a second on the same disk.
    DiskSyncs,
}

/// One kind of fan-out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cell {
    /// Members of a room.
    pub room: usize,
    /// Publishes in flight in a room.
    pub in_flight: usize,
}

/// Median, least and most of a figure over the rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The median; of an even number of rounds, the mean of the two in the middle.
    pub median: f64,
    /// The least.
    pub least: f64,
    /// The most.
    pub most: f64,
}

/// All figures of a run.
#[derive(Default)]
pub struct Samples(BTreeMap<(Contestant, Metric), BTreeMap<usize, f64>>);

impl Samples {
    /// Records a figure of a round.
    pub fn record(&mut self, contestant: Contestant, metric: Metric, round: usize, value: f64) {
        self.0
            .entry((contestant, metric))
            .or_default()
            .insert(round, value);
    }

    /// A figure over all rounds that have it.
    pub fn spread(&self, contestant: Contestant, metric: Metric) -> Option<Spread> {
        spread(
            self.0
                .get(&(contestant, metric))?
                .values()
                .copied()
                .collect(),
        )
    }

    /// A figure as a ratio to the bare loop's in the same round, over all rounds that have both.
    pub fn ratio(&self, contestant: Contestant, metric: Metric) -> Option<Spread> {
        let bare = self.0.get(&(Contestant::Bare, metric))?;
        let own = self.0.get(&(contestant, metric))?;
        spread(
            own.iter()
                .filter_map(|(round, value)| Some(value / bare.get(round)?))
                .collect(),
        )
    }

    /// The contestants that have any figure, in order.
    pub fn contestants(&self) -> Vec<Contestant> {
        let mut contestants: Vec<_> = self.0.keys().map(|(contestant, _)| *contestant).collect();
        contestants.dedup();
        contestants
    }

    /// The kinds of fan-out that any contestant has a figure of, in order.
    pub fn cells(&self) -> Vec<Cell> {
        let mut cells: Vec<_> = self
            .0
            .keys()
            .filter_map(|(_, metric)| match metric {
                Metric::DeliveryCpu(cell) => Some(*cell),
                _ => None,
            })
            .collect();
        cells.sort();
        cells.dedup();
        cells
    }
}

fn spread(mut values: Vec<f64>) -> Option<Spread> {
    values.sort_by(f64::total_cmp);
    let (least, most) = (*values.first()?, *values.last()?);
    let middle = values.len() / 2;
    let median = if values.len() % 2 == 1 {
        values[middle]
    } else {
        (values[middle - 1] + values[middle]) / 2.0
    };
    Some(Spread {
        median,
        least,
        most,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(spread(vec![]), None);
        assert_eq!(
            spread(vec![3.0, 1.0, 2.0]),
            Some(Spread {
                median: 2.0,
                least: 1.0,
                most: 3.0
            })
        );
        assert_eq!(
            spread(vec![4.0, 1.0]),
            Some(Spread {
                median: 2.5,
                least: 1.0,
                most: 4.0
            })
        );
    }

    #[test]
    fn a_ratio_compares_within_a_round() {
        let mut samples = Samples::default();
        for (round, bare, own) in [(0, 10.0, 20.0), (1, 20.0, 20.0)] {
            samples.record(Contestant::Bare, Metric::ConnectCpu, round, bare);
            samples.record(Contestant::Node, Metric::ConnectCpu, round, own);
        }
        samples.record(Contestant::Node, Metric::ConnectCpu, 2, 99.0);
        let ratio = samples.ratio(Contestant::Node, Metric::ConnectCpu).unwrap();
        assert_eq!(
            ratio,
            Spread {
                median: 1.5,
                least: 1.0,
                most: 2.0
            }
        );
        assert_eq!(samples.ratio(Contestant::Node, Metric::SendRate), None);
    }
}
