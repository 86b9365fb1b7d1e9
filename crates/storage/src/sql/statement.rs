//! Statements, and what they did.

use std::borrow::Cow;

use super::{Row, Value};

/// A statement with the values of its placeholders. A value that may be null stands where its type is known, such as in
/// `VALUES` or after `CAST($1 AS TEXT)`; sums are `CAST(sum(n) AS BIGINT)`.
#[derive(Debug, Clone)]
pub struct Statement {
    pub(super) sql: Cow<'static, str>,
    pub(super) values: Vec<Value>,
    pub(super) is_required: bool,
}

impl Statement {
    /// A statement without values yet. Who makes its text puts no values into it.
    pub fn new(sql: impl Into<Cow<'static, str>>) -> Self {
        Self {
            sql: sql.into(),
            values: Vec::new(),
            is_required: false,
        }
    }

    /// With the value of the next placeholder.
    pub fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Nothing of its transaction happens unless this affects a row.
    pub fn required(mut self) -> Self {
        self.is_required = true;
        self
    }

    /// What it holds of memory.
    pub(super) fn bytes(&self) -> usize {
        let values: usize = self.values.iter().map(Value::bytes).sum();
        self.sql.len() + values + size_of::<Self>() + self.values.len() * size_of::<Value>()
    }
}

/// What one statement did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Effect {
    /// Rows that it wrote or removed.
    pub rows_affected: u64,
    /// Those of `RETURNING`.
    pub rows: Vec<Row>,
}

/// What a transaction came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// It happened, with the effects of its statements in their order.
    All(Vec<Effect>),
    /// Nothing happened: the statement at this place was required and affected no row.
    Refused(usize),
}

impl Written {
    /// The number of rows that all statements together affected, unless it was refused.
    pub fn rows_affected(&self) -> Option<u64> {
        match self {
            Self::All(effects) => Some(effects.iter().map(|effect| effect.rows_affected).sum()),
            Self::Refused(_) => None,
        }
    }

    /// The rows that the last statement returned; none if it was refused.
    pub fn into_last_rows(self) -> Vec<Row> {
        match self {
            Self::All(effects) => effects.into_iter().last().unwrap_or_default().rows,
            Self::Refused(_) => Vec::new(),
        }
    }
}
