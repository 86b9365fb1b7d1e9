//! Circuit breakers as administrators see them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::named::named;
use crate::request::{Invalid, Request};
use crate::schema::absent_not_null;

/// Whether a dependency is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CircuitState {
    /// It is.
    Closed,
    /// One call at a time tries it.
    HalfOpen,
    /// It isn't; calls are refused.
    Open,
}

/// What decides on the state of a circuit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CircuitMode {
    /// The outcomes of calls.
    Automatic,
    /// An administrator: open.
    Open,
    /// An administrator: closed.
    Closed,
}

named! {
    CircuitMode:
        Automatic "automatic",
        Open "open",
        Closed "closed",
}

/// The circuit breaker of one dependency, on the instance that answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = absent_not_null)]
pub struct Circuit {
    /// The dependency.
    pub name: String,
    /// Whether it is called.
    pub state: CircuitState,
    /// What decides on that, on all instances.
    pub mode: CircuitMode,
    /// The share of failed calls, in percent, at which the circuit opens.
    pub failure_threshold: u8,
    /// How long an open circuit refuses calls before one tries again, in milliseconds.
    pub recovery_timeout_ms: u64,
    /// Calls that ended recently.
    pub calls: u32,
    /// How many of them failed.
    pub failures: u32,
    /// Calls refused since the instance started.
    pub rejected: u64,
    /// Of an open circuit: when the next call may try, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

/// The circuit breakers in use, by name. All are returned at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CircuitPage {
    /// The circuits.
    pub circuits: Vec<Circuit>,
    /// Always false.
    pub has_more: bool,
}

/// One circuit breaker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CircuitBody {
    /// The circuit.
    pub circuit: Circuit,
}

/// Opens or closes a circuit on all instances, or has outcomes decide again from the closed state on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SetCircuit {
    /// What is to decide.
    pub state: CircuitMode,
}

impl Request for SetCircuit {
    fn validate(&self) -> Result<(), Invalid> {
        Ok(())
    }
}
