//! Reading of environment variables: a mistake is noted with the name of its variable, and reading goes on.

use std::{net::IpAddr, str::FromStr, time::Duration};

use gateway::Origin;
use ipnet::IpNet;
use protocol::Secret;

use super::{InternalAddress, MIN_SECRET};
use crate::limits::RateLimits;

/// Reads variables and notes what is wrong with them.
pub(super) struct Reader<'a> {
    pub(super) lookup: &'a dyn Fn(&str) -> Option<String>,
    pub(super) errors: Vec<String>,
}

impl Reader<'_> {
    /// A variable's value; empty is as good as absent.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        (self.lookup)(name).filter(|value| !value.is_empty())
    }

    /// Notes a mistake; the value in its place is never used.
    pub(super) fn wrong<T: Default>(&mut self, name: &str, expected: &str) -> T {
        self.errors.push(format!("{name}: expected {expected}"));
        T::default()
    }

    pub(super) fn parse<T: FromStr>(&mut self, name: &str, expected: &str, default: T) -> T {
        match self.text(name).map(|value| value.parse()) {
            None => default,
            Some(Ok(value)) => value,
            Some(Err(_)) => {
                let () = self.wrong(name, expected);
                default
            }
        }
    }

    pub(super) fn optional_number(&mut self, name: &str, min: usize, max: usize) -> Option<usize> {
        let text = self.text(name)?;
        match text.parse() {
            Ok(value) if (min..=max).contains(&value) => Some(value),
            _ => self.wrong(name, &format!("a whole number from {min} to {max}")),
        }
    }

    pub(super) fn number(&mut self, name: &str, min: usize, max: usize, default: usize) -> usize {
        self.optional_number(name, min, max).unwrap_or(default)
    }

    pub(super) fn millis(&mut self, name: &str, default: usize) -> Duration {
        Duration::from_millis(self.number(name, 10, 3_600_000, default) as u64)
    }

    pub(super) fn flag(&mut self, name: &str, default: bool) -> bool {
        match self.text(name).as_deref() {
            None => default,
            Some("true" | "1") => true,
            Some("false" | "0") => false,
            Some(_) => self.wrong(name, "true or false"),
        }
    }

    /// The index of the value among `choices`; the first by default.
    pub(super) fn choice(&mut self, name: &str, choices: &[&str]) -> usize {
        let Some(value) = self.text(name) else {
            return 0;
        };
        match choices.iter().position(|choice| *choice == value) {
            Some(index) => index,
            None => self.wrong(name, &choices.join(" or ")),
        }
    }

    /// Each tier's own limit unless its variable says another, or `off`.
    pub(super) fn rate_limits(&mut self) -> RateLimits {
        RateLimits::with(|tier| {
            let value = self.text(tier.variable())?;
            if value == "off" {
                return Some(None);
            }
            match value.parse() {
                Ok(limit) => Some(Some(limit)),
                Err(error) => {
                    let expected = format!("off, or {error}");
                    self.wrong(tier.variable(), &expected)
                }
            }
        })
    }

    /// Several with commas between, if each is long enough; if none is, the whole is one.
    pub(super) fn api_keys(&mut self) -> Vec<Secret> {
        let Some(text) = self.text("PUBLISH_API_KEY") else {
            return Vec::new();
        };
        let parts: Vec<&str> = text.split(',').map(str::trim).collect();
        if parts.iter().all(|key| key.len() >= MIN_SECRET) {
            return parts.into_iter().map(Secret::from).collect();
        }
        let is_one = parts.len() == 1 || parts.iter().all(|key| key.len() < MIN_SECRET);
        if text.len() < MIN_SECRET || !is_one {
            // Nobody means what a key and a comma, or a key and half of another, would be together.
            let expected = "at least 32 bytes, of each if there are several with commas between";
            return self.wrong("PUBLISH_API_KEY", expected);
        }
        vec![text.into()]
    }

    pub(super) fn internal_address(&mut self) -> Option<InternalAddress> {
        let name = "INTERNAL_ADDRESS";
        match self.text(name)?.parse() {
            Ok(InternalAddress::Host(host)) if host.is_unspecified() => {
                self.wrong(name, "an address of this host, not all of them")
            }
            Ok(address) => Some(address),
            Err(_) => self.wrong(name, "an IP address, with or without a port"),
        }
    }

    /// Networks, and addresses that stand for themselves; never all there are, whose word would be anybody's.
    pub(super) fn networks(&mut self, name: &str) -> Vec<IpNet> {
        let Some(value) = self.text(name) else {
            return Vec::new();
        };
        let network = |text: &str| -> Option<IpNet> {
            let text = text.trim();
            let address = || text.parse::<IpAddr>().ok().map(IpNet::from);
            let network = text.parse().ok().or_else(address)?;
            (network.prefix_len() > 0).then_some(network)
        };
        let networks: Option<Vec<_>> = value.split(',').map(network).collect();
        networks.unwrap_or_else(|| {
            self.wrong(
                name,
                "addresses or networks such as 10.0.0.0/8 with commas between, and not all addresses",
            )
        })
    }

    pub(super) fn origins(&mut self, production: bool) -> Option<Vec<Origin>> {
        let Some(value) = self.text("ALLOWED_ORIGINS") else {
            return production.then(Vec::new);
        };
        if value.trim() == "*" {
            if production {
                return self.wrong("ALLOWED_ORIGINS", "origins by name in production, not *");
            }
            return None;
        }
        let origins: Result<Vec<Origin>, _> = value
            .split(',')
            .map(|origin| origin.trim().parse())
            .collect();
        origins.map(Some).unwrap_or_else(|_| {
            self.wrong(
                "ALLOWED_ORIGINS",
                "* or origins such as https://chat.example.org with commas between",
            )
        })
    }
}
