//! The table of all rate limits. docs/limits.md shows it; a test compares them.

use protocol::UserId;
use rate_limiter::{Key, Limit, Mode, Tier as Shape};

use super::network::Network;

/// By whom a tier counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Principal {
    /// By address; of an IPv6 address by its first 64 bits.
    Address,
    /// By username and address.
    UsernameAndAddress,
    /// By user.
    User,
    /// By API key.
    ApiKey,
}

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// HTTP requests of strangers.
    Strangers,
    /// HTTP requests of users that change something.
    People,
    /// HTTP requests of users that read.
    Reads,
    /// Wrong passwords; see [`Limits::reserve`](super::Limits::reserve).
    Login,
    /// New accounts.
    Registrations,
    /// Guests.
    Guests,
    /// Emails to addresses that somebody gives.
    Emails,
    /// Refreshed sessions.
    Refreshes,
    /// Connections to the namespace.
    Connects,
    /// Messages, edits, deletions and reactions.
    Messages,
    /// All other events.
    Events,
    /// Searches.
    Searches,
    /// Users added to a room by another one.
    Additions,
    /// Changes of a profile.
    ProfileChanges,
    /// Changes of an e-mail address.
    EmailChanges,
    /// Events from other programs.
    Publishes,
}

/// What is said of a tier in one row of the table.
pub(super) struct Row {
    pub(super) tier: Tier,
    pub(super) name: &'static str,
    pub(super) variable: &'static str,
    pub(super) by: Principal,
    pub(super) default: Limit,
    pub(super) mode: Mode,
    pub(super) refusal: &'static str,
    #[cfg_attr(not(test), expect(dead_code, reason = "docs/limits.md shows it"))]
    pub(super) counts: &'static str,
}

macro_rules! table {
    ($($tier:ident $name:literal $variable:literal $by:ident $permits:literal / $seconds:literal $mode:ident
        $refusal:literal $counts:literal)*) => {
        [$(Row {
            tier: Tier::$tier,
            name: $name,
            variable: concat!("RATE_LIMIT_", $variable),
            by: Principal::$by,
            default: Limit::of($permits, $seconds),
            mode: Mode::$mode,
            refusal: $refusal,
            counts: $counts,
        }),*]
    };
}

/// In the order of [`Tier`].
pub(super) const TABLE: [Row; 16] = table! {
    Strangers "strangers" "STRANGERS" Address 100/60 Leased
        "too many requests from this address"
        "HTTP requests without a valid access token or API key, refreshes of a session apart"
    People "people" "PEOPLE" User 100/60 Leased
        "too many requests"
        "HTTP requests of users that change something, messages apart"
    Reads "reads" "READS" User 600/60 Leased
        "too many requests"
        "HTTP requests of users that read"
    Login "login" "LOGIN" UsernameAndAddress 5/900 Strict
        "too many failed sign-ins; try again later"
        "wrong passwords; the right one clears it"
    Registrations "registrations" "REGISTRATIONS" Address 60/60 Strict
        "too many new accounts from this address"
        "new accounts"
    Guests "guests" "GUESTS" Address 60/60 Strict
        "too many guests from this address"
        "guests"
    Emails "emails" "EMAILS" Address 20/3600 Strict
        "too many emails were asked for from this address"
        "requests for an email about a forgotten password, and e-mail addresses that are given, of new accounts and of one's own"
    Refreshes "refreshes" "REFRESHES" Address 600/60 Leased
        "too many refreshed sessions from this address"
        "refreshes of a session"
    Connects "connects" "CONNECTS" User 300/60 Leased
        "too many connections"
        "connections to the namespace"
    Messages "messages" "MESSAGES" User 6000/60 Leased
        "too many messages"
        "messages, edits, deletions and reactions, as events and over HTTP"
    Events "events" "EVENTS" User 6000/60 Leased
        "too many events"
        "all other events"
    Searches "searches" "SEARCHES" User 120/60 Leased
        "too many searches"
        "searches of messages, users and rooms"
    Additions "additions" "ADDITIONS" User 200/600 Strict
        "too many people were added to rooms"
        "people added to rooms, including direct rooms and the members of new rooms; nobody is added beyond it"
    ProfileChanges "profile_changes" "PROFILE_CHANGES" User 60/60 Strict
        "too many changes of the profile"
        "changes of the profile"
    EmailChanges "email_changes" "EMAIL_CHANGES" User 10/3600 Strict
        "too many changes of the e-mail address"
        "of these, those of the e-mail address"
    Publishes "publishes" "PUBLISHES" ApiKey 2000/2 Leased
        "too many events are published"
        "events that other programs publish over HTTP"
};

/// The limits of one server: the table with what the environment changes. `None` is no limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimits([Option<Limit>; TABLE.len()]);

impl Tier {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|row| row.tier)
    }

    pub(super) fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }

    /// In metrics and for administrators.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// The environment variable that changes it.
    pub fn variable(self) -> &'static str {
        self.row().variable
    }

    /// By whom it counts.
    pub fn by(self) -> Principal {
        self.row().by
    }
}

impl RateLimits {
    /// The limits as `given` says; each tier's own where it says nothing.
    pub fn with(mut given: impl FnMut(Tier) -> Option<Option<Limit>>) -> Self {
        Self(TABLE.map(|row| given(row.tier).unwrap_or(Some(row.default))))
    }

    /// As the limiter takes them, in the order of [`Tier`].
    pub(super) fn tiers(&self) -> Vec<Shape> {
        let rows = TABLE.iter().zip(self.0);
        let tiers = rows.map(|(row, limit)| Shape {
            name: row.name,
            limit,
            mode: row.mode,
        });
        tiers.collect()
    }
}

impl Default for RateLimits {
    fn default() -> Self {
        Self::with(|_| None)
    }
}

/// The key of a user.
pub fn of_user(user: &UserId) -> Key {
    Key::of(&[user.as_str()])
}

/// The key of a network.
pub fn of_network(network: Network) -> Key {
    Key::of(&[&network.to_string()])
}

/// The key of an API key, by its id.
pub fn of_api_key(id: &str) -> Key {
    Key::of(&[id])
}

/// The key of a username at a network.
pub fn of_username(network: Network, username: &str) -> Key {
    Key::of(&[&network.to_string(), &username.to_lowercase()])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> String {
        let by = |principal| match principal {
            Principal::Address => "address",
            Principal::UsernameAndAddress => "username and address",
            Principal::User => "user",
            Principal::ApiKey => "API key",
        };
        let mode = |mode| match mode {
            Mode::Strict => "strict",
            Mode::Leased => "leased",
        };
        let rows = TABLE.iter().map(|row| {
            format!(
                "| `{}` | {} | {} | {} | `{}` | `{}` |\n",
                row.name,
                row.counts,
                by(row.by),
                mode(row.mode),
                row.variable,
                row.default
            )
        });
        "| tier | counts | by | mode | variable | default |\n|---|---|---|---|---|---|\n".to_owned()
            + &rows.collect::<String>()
    }

    #[test]
    fn the_table_is_in_order_and_on_its_page() {
        for (index, row) in TABLE.iter().enumerate() {
            assert_eq!(row.tier as usize, index);
            let variable = format!("RATE_LIMIT_{}", row.name.to_uppercase());
            assert_eq!(row.variable, variable);
        }
        let page = include_str!("../../../docs/limits.md");
        let table = document();
        assert!(
            page.contains(&table),
            "docs/limits.md lacks this table:\n{table}"
        );
    }

    #[test]
    fn an_address_has_the_key_of_its_network() {
        let network = |text: &str| Network::from(text.parse::<std::net::IpAddr>().unwrap());
        let home = of_network(network("2001:db8:0:1::1"));
        assert_eq!(home, of_network(network("2001:db8:0:1::2")));
        assert_ne!(home, of_network(network("2001:db8:0:2::1")));
        let ann = of_username(network("192.0.2.1"), "Ann");
        assert_eq!(ann, of_username(network("::ffff:192.0.2.1"), "ann"));
        assert_ne!(ann, of_network(network("192.0.2.1")));
    }
}
