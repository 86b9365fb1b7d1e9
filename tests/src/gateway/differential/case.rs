//! A sequence of a client, and what has to come of it on each side.

use std::fmt::Write;

use super::{
    mirror, reference,
    script::{Outcome, Step, over_polling, over_websocket},
};

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Way {
    WebSocket,
    Polling,
}

/// What has to come of a case.
#[derive(Debug, Clone, Copy)]
pub enum Expected {
    /// These packets, and the connection goes on.
    Open(&'static [&'static str]),
    /// These packets, and the connection ends.
    Closed(&'static [&'static str]),
}

impl Expected {
    fn outcome(self, way: Way) -> Outcome {
        let (packets, closed) = match self {
            Self::Open(packets) => (packets, false),
            // What waits for a poll is lost with the connection.
            Self::Closed(_) if way == Way::Polling => (&[][..], true),
            Self::Closed(packets) => (packets, true),
        };
        Outcome {
            packets: packets.iter().map(|&packet| packet.to_owned()).collect(),
            closed,
        }
    }
}

pub struct Case {
    steps: Vec<Step>,
    ways: &'static [Way],
    ours: Expected,
    theirs: Expected,
    /// Why the sides differ, if they do.
    why: &'static str,
}

impl Case {
    /// Both sides do the same, over both transports.
    pub fn same(steps: impl Into<Vec<Step>>, expected: Expected) -> Self {
        Self {
            steps: steps.into(),
            ways: &[Way::WebSocket, Way::Polling],
            ours: expected,
            theirs: expected,
            why: "",
        }
    }

    /// We do something else on purpose.
    pub fn differs(
        why: &'static str,
        steps: impl Into<Vec<Step>>,
        ours: Expected,
        theirs: Expected,
    ) -> Self {
        Self {
            theirs,
            why,
            ..Self::same(steps, ours)
        }
    }

    /// Only over one transport.
    pub fn over(self, way: Way) -> Self {
        let ways: &[Way] = match way {
            Way::WebSocket => &[Way::WebSocket],
            Way::Polling => &[Way::Polling],
        };
        Self { ways, ..self }
    }
}

/// Runs all cases on both sides.
///
/// # Panics
/// If any has another outcome than expected; with all that have.
pub async fn check(cases: Vec<Case>) {
    let (ours, theirs) = (mirror::start().await, reference::start().await);
    let mut wrong = String::new();
    for case in &cases {
        for &way in case.ways {
            for (side, address, expected) in [
                ("we", ours.address, case.ours),
                ("they", theirs.address, case.theirs),
            ] {
                let outcome = match way {
                    Way::WebSocket => over_websocket(address, &case.steps).await,
                    Way::Polling => over_polling(address, &case.steps).await,
                };
                let expected = expected.outcome(way);
                if outcome != expected {
                    let Case { steps, why, .. } = case;
                    writeln!(
                        wrong,
                        "{steps:?} over {way:?}: {side} {outcome:?} instead of {expected:?} ({why})"
                    )
                    .unwrap();
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// A text packet of Engine.IO.
pub fn text(packet: &str) -> Step {
    Step::Text(packet.into())
}

/// A binary message.
pub fn binary(message: &[u8]) -> Step {
    Step::Binary(message.into())
}

/// The answer to a `question` of the server.
pub fn answer(data: &str) -> Step {
    Step::Answer(data.into())
}
