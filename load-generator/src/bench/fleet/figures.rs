//! What is measured of a fleet, and its tables.

use super::publication::Publication;
use crate::{
    bench::samples::Figures,
    report::{show, table},
};

/// What a figure says, with its unit. A `usize` in it is the size of a room, or messages in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FleetMetric {
    /// Deliveries on B in a second.
    DeliveryRate(usize),
    /// Microseconds of A's CPU for each delivery on B.
    PublisherCpu(usize),
    /// Microseconds of B's.
    SubscriberCpu(usize),
    /// Microseconds of all Redis nodes'.
    RedisCpu(usize),
    /// Microseconds of the whole replica set's.
    MongodbCpu(usize),
    /// Acked durable messages in a second.
    AckRate(usize),
    /// Milliseconds to the ack, median.
    AckP50(usize),
    /// The same, 99th percentile.
    AckP99(usize),
    /// Microseconds for each acked message: the two instances', Redis' and the replica set's.
    MessageCpu(usize, Process),
    /// Milliseconds from when a send was due to its ack at the steady rate, 99th percentile.
    SteadyAckP99,
    /// Milliseconds from when a send was due to its deliveries on the other instance, median.
    CrossingP50,
    /// The same, 99th percentile.
    CrossingP99,
    /// Milliseconds of CPU in a second, of B or C, idle or at the steady rate.
    CpuRate(Bystander, bool),
    /// Bytes from Redis in a second, alike.
    RedisBytes(Bystander, bool),
    /// The one-minute load of the machine.
    Load,
}

/// Whose CPU it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Process {
    /// A and B.
    Instances,
    /// All nodes of Redis.
    Redis,
    /// All members of the replica set.
    Mongodb,
}

/// An instance beside the sender's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bystander {
    /// It has members of the rooms.
    B,
    /// It has none.
    C,
}

/// All figures of a run.
pub type FleetFigures = Figures<Publication, FleetMetric>;

/// A column: a title, a metric, decimals.
type Column = (&'static str, FleetMetric, usize);

/// The tables, for rooms of `sizes` and `in_flight` messages of each sender.
pub fn tables(figures: &FleetFigures, sizes: &[(usize, usize)], in_flight: &[usize]) -> String {
    use FleetMetric as M;
    let mut text = String::new();
    for &(size, count) in sizes {
        text.push_str(&format!(
            "\n## Publish on A, deliver on B: rooms of {size}, {count} of them\n\n"
        ));
        let columns = [
            ("deliveries/s", M::DeliveryRate(size), 0),
            ("CPU a delivery, µs: A", M::PublisherCpu(size), 2),
            ("B", M::SubscriberCpu(size), 2),
            ("Redis", M::RedisCpu(size), 2),
            ("MongoDB", M::MongodbCpu(size), 2),
        ];
        let rows = Publication::ALL
            .iter()
            .map(|&row| (row.title(), fill(figures, row, &columns)));
        table(
            &mut text,
            "published",
            &columns.map(|column| column.0),
            rows,
        );
    }

    text.push_str("\n## Durable messages, acked, over A and B\n\n");
    let head = [
        "acked/s",
        "ack p50, ms",
        "p99, ms",
        "CPU a message, µs: A and B",
        "Redis",
        "MongoDB",
    ];
    let titles: Vec<_> = in_flight
        .iter()
        .map(|count| format!("{count} in flight a sender"))
        .collect();
    let rows = in_flight.iter().zip(&titles).map(|(&count, title)| {
        let columns = [
            ("", M::AckRate(count), 0),
            ("", M::AckP50(count), 1),
            ("", M::AckP99(count), 1),
            ("", M::MessageCpu(count, Process::Instances), 0),
            ("", M::MessageCpu(count, Process::Redis), 0),
            ("", M::MessageCpu(count, Process::Mongodb), 0),
        ];
        (
            title.as_str(),
            fill(figures, Publication::Durable, &columns),
        )
    });
    table(&mut text, "senders", &head, rows);

    text.push_str("\n## At the steady rate\n\n");
    let columns = [
        (
            "to a delivery on the other instance: p50, ms",
            M::CrossingP50,
            1,
        ),
        ("p99, ms", M::CrossingP99, 1),
        ("to the ack: p99, ms", M::SteadyAckP99, 1),
        ("load of the machine", M::Load, 1),
    ];
    let rows = [(
        "durable messages",
        fill(figures, Publication::Durable, &columns),
    )];
    table(
        &mut text,
        "sent",
        &columns.map(|column| column.0),
        rows.into_iter(),
    );

    text.push_str("\n## What the steady messages cost an instance beside the sender's\n\n");
    let head = [
        "CPU, ms/s: idle",
        "at the steady rate",
        "bytes/s from Redis: idle",
        "at the steady rate",
    ];
    let rows = [
        ("B, with half of the members", Bystander::B),
        ("C, without any", Bystander::C),
    ];
    let rows = rows.map(|(title, who)| {
        let columns = [
            ("", M::CpuRate(who, false), 1),
            ("", M::CpuRate(who, true), 1),
            ("", M::RedisBytes(who, false), 0),
            ("", M::RedisBytes(who, true), 0),
        ];
        (title, fill(figures, Publication::Durable, &columns))
    });
    table(&mut text, "instance", &head, rows.into_iter());
    text
}

fn fill(figures: &FleetFigures, row: Publication, columns: &[Column]) -> Vec<Option<String>> {
    let cell =
        |&(_, metric, digits): &Column| Some(show(figures.spread(row, metric)?, 1.0, digits));
    columns.iter().map(cell).collect()
}
