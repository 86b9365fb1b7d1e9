//! When the circuits of remote dependencies open: a variable of the same form for each.

use super::reader::Reader;
use crate::circuits::{CircuitSettings, Dependency};

impl Reader<'_> {
    /// `CIRCUIT_POSTGRESQL` and the like.
    pub(super) fn circuits(&mut self) -> CircuitSettings {
        CircuitSettings::new(|dependency: Dependency| {
            let defaults = dependency.default_settings();
            let variable = format!("CIRCUIT_{}", dependency.name().to_uppercase());
            let Some(text) = self.text(&variable) else {
                return defaults;
            };
            defaults.overridden(&text).unwrap_or_else(|error| {
                let () = self.wrong(&variable, &error.to_string());
                defaults
            })
        })
    }
}
