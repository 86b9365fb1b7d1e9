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

/// When a figure was taken. A round takes most figures several times, in slices: all contestants are measured in a
/// slice right after each other, before any of them is in the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// The round, from 0.
    pub round: usize,
    /// The slice of the round, from 0.
    pub slice: usize,
}

/// All figures of a run, by whose they are and what they say.
pub struct Figures<C, M>(BTreeMap<(C, M), BTreeMap<Moment, f64>>);

/// Those of the comparison of single servers.
pub type Samples = Figures<Contestant, Metric>;

impl<C, M> Default for Figures<C, M> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<C: Copy + Ord, M: Copy + Ord> Figures<C, M> {
    /// Records a figure.
    pub fn record(&mut self, contestant: C, metric: M, moment: Moment, value: f64) {
        self.0
            .entry((contestant, metric))
            .or_default()
            .insert(moment, value);
    }

    /// A figure over all rounds that have it; each round's is the median of its slices.
    pub fn spread(&self, contestant: C, metric: M) -> Option<Spread> {
        let own = self.0.get(&(contestant, metric))?;
        spread_over_rounds(own.iter().map(|(moment, value)| (*moment, *value)))
    }

    /// One contestant's figure as a ratio to another's in the same slice, over all rounds that have both.
    pub fn compared(&self, of: C, to: C, metric: M) -> Option<Spread> {
        let (of, to) = (self.0.get(&(of, metric))?, self.0.get(&(to, metric))?);
        spread_over_rounds(
            of.iter()
                .filter_map(|(moment, value)| Some((*moment, value / to.get(moment)?))),
        )
    }
}

impl Samples {
    /// A figure as a ratio to the bare loop's in the same slice, over all rounds that have both.
    pub fn ratio(&self, contestant: Contestant, metric: Metric) -> Option<Spread> {
        self.compared(contestant, Contestant::Bare, metric)
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

fn spread_over_rounds(values: impl Iterator<Item = (Moment, f64)>) -> Option<Spread> {
    let mut rounds: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
    for (moment, value) in values {
        rounds.entry(moment.round).or_default().push(value);
    }
    spread(
        rounds
            .into_values()
            .filter_map(|slices| Some(spread(slices)?.median))
            .collect(),
    )
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
    fn a_ratio_compares_within_a_slice() {
        let mut samples = Samples::default();
        let figures = [
            (0, 0, 10.0, 20.0),
            (0, 1, 10.0, 30.0),
            (0, 2, 20.0, 200.0),
            (1, 0, 20.0, 20.0),
        ];
        for (round, slice, bare, own) in figures {
            let moment = Moment { round, slice };
            samples.record(Contestant::Bare, Metric::ConnectCpu, moment, bare);
            samples.record(Contestant::Node, Metric::ConnectCpu, moment, own);
        }
        let alone = Moment { round: 2, slice: 0 };
        samples.record(Contestant::Node, Metric::ConnectCpu, alone, 99.0);
        let ratio = samples.ratio(Contestant::Node, Metric::ConnectCpu).unwrap();
        assert_eq!(
            ratio,
            Spread {
                median: 2.0,
                least: 1.0,
                most: 3.0
            }
        );
        let figure = samples
            .spread(Contestant::Node, Metric::ConnectCpu)
            .unwrap();
        assert_eq!(
            figure,
            Spread {
                median: 30.0,
                least: 20.0,
                most: 99.0
            }
        );
        assert_eq!(samples.ratio(Contestant::Node, Metric::SendRate), None);
    }
}
