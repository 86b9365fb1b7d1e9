//! What is recorded: every route that changes something and every event of clients, each with its action or the reason why
//! it has none. Tests compare the tables with those of the protocol, so that none can be forgotten.
//!
//! Names of actions are kept in the audit log for years: they may be added, never changed.

use protocol::{
    ErrorCode, Method,
    Method::{Delete, Get, Patch, Post, Put},
};

use Recording::{Always, Never, Refusals};

/// Whether an action is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recording {
    /// As this action, whatever its outcome.
    Always(&'static str),
    /// As this action, unless it succeeds.
    Refusals(&'static str),
    /// Not, for this reason.
    Never(&'static str),
}

/// A route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteAction {
    /// Its method.
    pub method: Method,
    /// The pattern of its path. The first parameter is the action's target.
    pub path: &'static str,
    /// Whether it is recorded.
    pub recording: Recording,
}

const MESSAGES: &str = "the room's log has every message, with its author and time";
const UPLOADS: &str = "fills what was begun";
const READS: &str = "reads";
const OWN_VIEW: &str = "is about what a user has seen and wants to be told, and about nobody else";
const PASSING: &str = "says something of the moment, and changes nothing that others may do";

/// The routes. Those that only read aren't recorded unless they are here.
pub const ROUTE_ACTIONS: &[RouteAction] = &[
    route(Post, "/api/v1/auth/register", Always("account.register")),
    route(Post, "/api/v1/auth/login", Always("session.sign_in")),
    route(Post, "/api/v1/auth/guest", Always("session.guest")),
    // Every client refreshes its session every quarter of an hour.
    route(Post, "/api/v1/auth/refresh", Refusals("session.refresh")),
    route(Post, "/api/v1/auth/logout", Always("session.sign_out")),
    route(Post, "/api/v1/auth/forgot", Always("password.forgot")),
    route(Post, "/api/v1/auth/reset", Always("password.reset")),
    route(Post, "/api/v1/auth/verify-email", Always("email.verify")),
    route(Post, "/api/v1/mail/unsubscribe", Never(OWN_VIEW)),
    route(Put, "/api/v1/devices/{deviceId}", Always("device.put")),
    route(
        Delete,
        "/api/v1/devices/{deviceId}",
        Always("device.remove"),
    ),
    route(Patch, "/api/v1/me", Always("profile.update")),
    route(Delete, "/api/v1/me", Always("account.delete")),
    route(Put, "/api/v1/me/avatar", Always("profile.avatar")),
    route(Post, "/api/v1/me/password", Always("password.change")),
    route(Put, "/api/v1/me/blocks/{userId}", Always("block.add")),
    route(Delete, "/api/v1/me/blocks/{userId}", Always("block.remove")),
    route(Patch, "/api/v1/me/preferences", Never(OWN_VIEW)),
    route(Put, "/api/v1/rooms/{roomId}/preferences", Never(OWN_VIEW)),
    route(
        Post,
        "/api/v1/notifications/{notificationId}/read",
        Never(OWN_VIEW),
    ),
    route(Post, "/api/v1/notifications/read-all", Never(OWN_VIEW)),
    route(
        Delete,
        "/api/v1/sessions/{sessionId}",
        Always("session.revoke"),
    ),
    route(Delete, "/api/v1/sessions", Always("session.revoke_others")),
    route(
        Delete,
        "/api/v1/admin/users/{userId}/sessions",
        Always("session.revoke_of_user"),
    ),
    route(
        Delete,
        "/api/v1/admin/users/{userId}/sessions/{sessionId}",
        Always("session.revoke_of_user"),
    ),
    route(Post, "/api/v1/admin/keys", Always("api_key.create")),
    route(
        Delete,
        "/api/v1/admin/keys/{keyId}",
        Always("api_key.revoke"),
    ),
    route(Post, "/api/v1/rooms", Always("room.create")),
    route(Patch, "/api/v1/rooms/{roomId}", Always("room.update")),
    route(
        Delete,
        "/api/v1/admin/rate-limits",
        Always("rate_limits.clear"),
    ),
    route(Delete, "/api/v1/rooms/{roomId}", Always("room.delete")),
    route(
        Put,
        "/api/v1/rooms/{roomId}/members/{userId}",
        Always("member.put"),
    ),
    route(
        Delete,
        "/api/v1/rooms/{roomId}/members/{userId}",
        Always("member.remove"),
    ),
    route(Post, "/api/v1/rooms/{roomId}/messages", Never(MESSAGES)),
    route(Post, "/api/v1/publish", Always("event.publish")),
    route(Post, "/api/v1/uploads", Refusals("upload.create")),
    route(
        Post,
        "/api/v1/uploads/{uploadId}/complete",
        Refusals("upload.complete"),
    ),
    route(Put, "/media/uploads/{uploadId}", Never(UPLOADS)),
    route(
        Put,
        "/api/v1/admin/circuits/{circuitName}",
        Always("circuit.set"),
    ),
    route(Post, "/api/v1/admin/jobs", Always("job.settle")),
    route(Get, "/api/v1/admin/audit", Always("audit.read")),
    route(Get, "/api/v1/admin/audit/export", Always("audit.export")),
];

/// The events of clients.
pub const EVENT_ACTIONS: &[(&str, Recording)] = &[
    ("room:create", Always("room.create")),
    ("room:join", Always("room.join")),
    ("room:leave", Always("room.leave")),
    ("room:events", Never(READS)),
    ("message:send", Never(MESSAGES)),
    ("message:edit", Never(MESSAGES)),
    ("message:delete", Always("message.delete")),
    ("message:react", Never(MESSAGES)),
    ("message:history", Never(READS)),
    ("message:search", Never(READS)),
    ("image:upload", Never(MESSAGES)),
    ("typing:set", Never(PASSING)),
    ("read:set", Never(PASSING)),
    ("presence:get", Never(READS)),
];

const fn route(method: Method, path: &'static str, recording: Recording) -> RouteAction {
    RouteAction {
        method,
        path,
        recording,
    }
}

/// What is recorded of a route.
pub fn of_route(method: Method, path: &str) -> Option<&'static RouteAction> {
    let mut rows = ROUTE_ACTIONS.iter();
    let row = rows.find(|row| row.method == method && row.path == path)?;
    (!matches!(row.recording, Recording::Never(_))).then_some(row)
}

/// The action of an event, if it is recorded.
pub fn of_event(name: &str) -> Option<Recording> {
    let (_, recording) = EVENT_ACTIONS.iter().find(|(event, _)| *event == name)?;
    (!matches!(recording, Recording::Never(_))).then_some(*recording)
}

impl Recording {
    /// The action; the reason where it isn't recorded.
    pub fn name(self) -> &'static str {
        let (Always(name) | Refusals(name) | Never(name)) = self;
        name
    }

    /// The action to record for something that was done, or refused with `refusal`. `proven`: who acts had to prove beforehand who
    /// they are.
    pub fn action(self, refusal: Option<ErrorCode>, proven: bool) -> Option<&'static str> {
        let refused = match refusal {
            None => false,
            // What can't be read is no action.
            Some(ErrorCode::Invalid | ErrorCode::TooLarge) => return None,
            // An access token is good for a quarter of an hour, and clients notice its end by this. And who is too fast is
            // counted by the limits; of those who sign in it is worth knowing.
            Some(ErrorCode::Unauthenticated | ErrorCode::RateLimited) if proven => return None,
            Some(_) => true,
        };
        match self {
            Always(action) => Some(action),
            Refusals(action) => refused.then_some(action),
            Never(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use protocol::{CLIENT_EVENTS, ROUTES};

    use super::*;

    #[test]
    fn every_route_that_changes_something_is_recorded_or_says_why_not() {
        let rows: Vec<_> = ROUTE_ACTIONS
            .iter()
            .map(|row| (row.path, row.method))
            .collect();
        let once: BTreeSet<_> = rows.iter().copied().collect();
        assert_eq!(once.len(), rows.len(), "a route has one row");
        let served: BTreeSet<_> = ROUTES
            .iter()
            .map(|route| (route.path, route.method))
            .collect();
        let unknown: Vec<_> = once.difference(&served).collect();
        assert!(unknown.is_empty(), "there are no such routes: {unknown:?}");
        let forgotten: Vec<_> = served
            .iter()
            .filter(|(_, method)| *method != Get)
            .filter(|route| !once.contains(route))
            .collect();
        assert!(
            forgotten.is_empty(),
            "these need a row in ROUTE_ACTIONS, an action or the reason why not: {forgotten:?}"
        );
    }

    #[test]
    fn every_event_of_clients_is_recorded_or_says_why_not() {
        let rows: Vec<_> = EVENT_ACTIONS.iter().map(|(name, _)| *name).collect();
        let mut known: Vec<_> = CLIENT_EVENTS.iter().map(|event| event.name).collect();
        assert_eq!(
            rows, known,
            "the same events, in the protocol's order, each with an action or the reason why not"
        );
        known.dedup();
        assert_eq!(rows.len(), known.len());
    }

    #[test]
    fn actions_have_names_of_one_form() {
        let recordings = ROUTE_ACTIONS.iter().map(|row| row.recording);
        let recordings = recordings.chain(EVENT_ACTIONS.iter().map(|(_, recording)| *recording));
        for recording in recordings {
            match recording {
                Always(action) | Refusals(action) => {
                    let (noun, verb) = action.split_once('.').unwrap();
                    let plain = |word: &str| {
                        let letter = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
                        !word.is_empty() && word.bytes().all(letter)
                    };
                    assert!(plain(noun) && plain(verb), "{action}");
                }
                Never(why) => assert!(!why.is_empty()),
            }
        }
    }

    #[test]
    fn what_is_no_action_is_not_recorded() {
        let always = Always("room.create");
        assert_eq!(always.action(None, true), Some("room.create"));
        assert_eq!(
            always.action(Some(ErrorCode::Forbidden), true),
            Some("room.create")
        );
        assert_eq!(
            always.action(Some(ErrorCode::Unavailable), true),
            Some("room.create")
        );
        assert_eq!(always.action(Some(ErrorCode::Invalid), true), None);
        assert_eq!(always.action(Some(ErrorCode::RateLimited), true), None);
        assert_eq!(
            always.action(Some(ErrorCode::RateLimited), false),
            Some("room.create")
        );
        let refusals = Refusals("session.refresh");
        assert_eq!(refusals.action(None, false), None);
        assert_eq!(
            refusals.action(Some(ErrorCode::Unauthenticated), false),
            Some("session.refresh")
        );
    }
}
