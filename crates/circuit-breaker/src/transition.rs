//! Changes of a circuit's state, for those who observe it.

use std::time::Duration;

use crate::State;

/// A change of state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    /// The state now.
    pub to: State,
    /// Why.
    pub cause: Cause,
    /// How long calls are refused, if they are.
    pub refused_for: Duration,
}

/// Why a state changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Too many calls of this process failed.
    Failures,
    /// Another process said that it had opened its circuit.
    Heard,
    /// The time of refusal is over, and a call was admitted as the probe.
    Probe,
    /// The probe succeeded.
    ProbeSucceeded,
    /// The probe failed.
    ProbeFailed,
    /// The probe was dropped before its outcome was known.
    ProbeDropped,
    /// An operator wanted it.
    Operator,
}
