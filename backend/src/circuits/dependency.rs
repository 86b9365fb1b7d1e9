//! The remote dependencies that are called through a circuit breaker.

use std::time::Duration;

use circuit_breaker::Settings;

/// A remote dependency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dependency {
    /// Firebase Cloud Messaging.
    Fcm,
    /// The key sets of those who issue others' tokens.
    Jwks,
    /// The bucket of images and files.
    ObjectStore,
    /// PostgreSQL's primary and replicas.
    Postgresql,
    /// The server that takes mail.
    Smtp,
}

impl Dependency {
    /// All, by name.
    pub const ALL: [Self; 5] = [
        Self::Fcm,
        Self::Jwks,
        Self::ObjectStore,
        Self::Postgresql,
        Self::Smtp,
    ];

    /// As logs, metrics and administrators call it; `CIRCUIT_` and this in capitals is the variable with its settings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fcm => "fcm",
            Self::Jwks => "jwks",
            Self::ObjectStore => "object_store",
            Self::Postgresql => "postgresql",
            Self::Smtp => "smtp",
        }
    }

    /// The dependency of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }

    /// The settings without a variable.
    pub const fn default_settings(self) -> Settings {
        let settings = Settings {
            failure_threshold: 50,
            recovery_timeout: Duration::from_secs(60),
            minimum_calls: 10,
            window: Duration::from_secs(60),
            slow_call: None,
        };
        match self {
            // Jobs wait for both, and come back by themselves.
            Self::Fcm | Self::Smtp => settings,
            // Asked a few times an hour.
            Self::Jwks => Settings {
                minimum_calls: 3,
                ..settings
            },
            // Somebody waits for an image.
            Self::ObjectStore => Settings {
                recovery_timeout: Duration::from_secs(10),
                window: Duration::from_secs(30),
                ..settings
            },
            // What waits for it is short of time sooner than a minute. Where it is asked seldom, there are a few health checks and writes
            // of the audit log in the window.
            Self::Postgresql => Settings {
                minimum_calls: 3,
                recovery_timeout: Duration::from_secs(5),
                window: Duration::from_secs(30),
                ..settings
            },
        }
    }
}

/// The settings of every dependency's circuit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CircuitSettings([Settings; Dependency::ALL.len()]);

impl CircuitSettings {
    /// Those that `choose` returns.
    pub fn new(choose: impl FnMut(Dependency) -> Settings) -> Self {
        Self(Dependency::ALL.map(choose))
    }

    /// Those of one dependency.
    pub fn of(&self, dependency: Dependency) -> Settings {
        self.0[dependency as usize]
    }
}

impl Default for CircuitSettings {
    fn default() -> Self {
        Self::new(Dependency::default_settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_dependency_has_a_place_and_a_name() {
        for (index, dependency) in Dependency::ALL.into_iter().enumerate() {
            assert_eq!(dependency as usize, index);
            assert_eq!(Dependency::named(dependency.name()), Some(dependency));
        }
        assert!(Dependency::ALL.is_sorted_by_key(|dependency| dependency.name()));
        assert_eq!(Dependency::named("some-id"), None);
    }
}
