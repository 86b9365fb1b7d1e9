//! Sessions and their refresh tokens: the same tests on the embedded store's file, on one Redis and on a Cluster.

use std::sync::LazyLock;

use protocol::{Secret, SessionId, Timestamp, UserId};
use redis_client::{Options, RedisClient, RedisUrl, cmd};
use storage::{
    NO_SIGN_IN, NewSession, Refresh, Refreshed, SessionRef, SessionSeen, Sessions, StoreError,
    StoredSession, TokenHash,
};

use crate::{Fixture, assert_error};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

/// One back end, for one test alone.
struct SignIns {
    sessions: Sessions,
    location: Location,
}

enum Location {
    Embedded(Fixture),
    Redis { url: RedisUrl, prefix: String },
}

impl SignIns {
    async fn embedded() -> Self {
        let fixture = Fixture::embedded().await;
        Self {
            sessions: fixture.sessions(),
            location: Location::Embedded(fixture),
        }
    }

    fn one_redis() -> Self {
        Self::redis("REDIS_SINGLE_URL", unique("test"))
    }

    fn cluster() -> Self {
        Self::redis("REDIS_URL", unique("test"))
    }

    fn redis(address: &str, prefix: String) -> Self {
        let url: RedisUrl = stack::address(address).parse().unwrap();
        let client = RedisClient::new(url.clone(), Options::new("test"));
        Self {
            sessions: Sessions::redis(client, prefix.clone()),
            location: Location::Redis { url, prefix },
        }
    }

    /// The same, as another instance or after a restart.
    async fn reopened(self) -> Self {
        match self.location {
            Location::Embedded(fixture) => {
                let fixture = fixture.reopened().await;
                Self {
                    sessions: fixture.sessions(),
                    location: Location::Embedded(fixture),
                }
            }
            Location::Redis { url, prefix } => {
                let client = RedisClient::new(url.clone(), Options::new("test"));
                Self {
                    sessions: Sessions::redis(client, prefix.clone()),
                    location: Location::Redis { url, prefix },
                }
            }
        }
    }

    /// Raises the version of a user's sessions where users are kept beside them.
    async fn new_password(&self, user: &UserId) {
        if let Location::Embedded(fixture) = &self.location {
            let store = &fixture.store;
            let version = store.user(user).await.unwrap().sign_in_version;
            let set = store.set_password(user, version, Secret::from("hash"));
            assert_eq!(set.await.unwrap(), version + 1);
        }
    }

    async fn user(&self, name: &str) -> UserId {
        match &self.location {
            Location::Embedded(fixture) => fixture.user(name).await,
            Location::Redis { .. } => unique(name).parse().unwrap(),
        }
    }
}

/// Runs each test on each back end of sessions.
macro_rules! on_each_of_sessions {
    ($($test:ident),* $(,)?) => {
        mod embedded {
            $(#[tokio::test]
            async fn $test() {
                super::$test(super::SignIns::embedded().await).await;
            })*
        }
        mod one_redis {
            $(#[tokio::test]
            async fn $test() {
                super::$test(super::SignIns::one_redis()).await;
            })*
        }
        mod cluster {
            $(#[tokio::test]
            async fn $test() {
                super::$test(super::SignIns::cluster()).await;
            })*
        }
    };
}

on_each_of_sessions! {
    a_session_is_kept_until_it_expires,
    a_token_is_exchanged_for_its_successor,
    a_lost_answer_is_no_theft,
    a_repeat_must_have_the_same_successor,
    a_token_used_again_later_ends_the_session,
    of_two_who_present_a_token_at_once_both_get_the_same,
    a_user_has_twenty_sessions_and_loses_those_last_seen_earliest,
    sessions_are_revoked_one_by_one_or_together,
    of_many_who_come_at_once_twenty_stay,
    users_without_sessions_are_told_apart,
    no_session_is_made_of_what_was_checked_before_all_were_ended,
    a_session_is_good_at_the_version_of_its_user,
    what_has_ended_is_counted_and_removed,
}

fn unique(name: &str) -> String {
    format!("{name}-{}", uuid::Uuid::now_v7())
}

/// So many milliseconds after these tests began: sessions in Redis go by the real time.
fn at(ms: i64) -> Timestamp {
    static BEGAN: LazyLock<i64> = LazyLock::new(|| Timestamp::now().unix_ms());
    Timestamp::from_unix_ms(*BEGAN + ms)
}

fn id(name: &str) -> SessionId {
    name.parse().unwrap()
}

fn token(number: u8) -> TokenHash {
    TokenHash([number; 32])
}

fn new(user: &UserId, name: &str, now: Timestamp) -> NewSession {
    NewSession {
        id: id(name),
        user_id: user.clone(),
        device: format!("device of {name} 📱"),
        address: "192.0.2.1".to_owned(),
        refresh: token(1),
        successor: token(2),
        expires_at: Timestamp::from_unix_ms(now.unix_ms() + HOUR),
        sign_in_version: 0,
    }
}

async fn begin(sessions: &Sessions, user: &UserId, name: &str, now: Timestamp) -> Vec<SessionId> {
    let session = new(user, name, now);
    sessions.create_session(session, now).await.unwrap()
}

/// Presents the token of one number for that of the next.
async fn refresh(
    sessions: &Sessions,
    user: &UserId,
    name: &str,
    number: u8,
    now: Timestamp,
) -> Result<Refreshed, StoreError> {
    let refresh = Refresh {
        user_id: user.clone(),
        session_id: id(name),
        presented: token(number),
        successor: token(number + 1),
        after: token(number + 2),
        address: format!("192.0.2.{number}"),
        expires_at: Timestamp::from_unix_ms(now.unix_ms() + HOUR),
        sign_in_version: 0,
    };
    sessions.refresh_session(refresh, now).await
}

async fn good(sessions: &Sessions, user: &UserId, now: Timestamp) -> Vec<String> {
    let live = sessions.sessions(user, now).await.unwrap();
    live.into_iter()
        .map(|session| session.id.to_string())
        .collect()
}

async fn a_session_is_kept_until_it_expires(fixture: SignIns) {
    let sessions = &fixture.sessions;
    let ann = fixture.user("ann").await;
    assert_eq!(begin(sessions, &ann, "s1", at(0)).await, []);
    let session = StoredSession {
        id: id("s1"),
        user_id: ann.clone(),
        device: "device of s1 📱".to_owned(),
        address: "192.0.2.1".to_owned(),
        created_at: at(0),
        last_seen_at: at(0),
        expires_at: at(HOUR),
    };
    for ms in [0, HOUR - 1] {
        let listed = sessions.sessions(&ann, at(ms)).await.unwrap();
        assert_eq!(listed, std::slice::from_ref(&session));
    }
    assert_eq!(sessions.sessions(&ann, at(HOUR)).await.unwrap(), []);
    assert_error!(
        refresh(sessions, &ann, "s1", 1, at(HOUR)).await,
        StoreError::NotFound
    );
    assert_error!(
        sessions.revoke_session(&ann, &id("s1"), at(HOUR)).await,
        StoreError::NotFound
    );
    // Nobody else has it.
    let bob = fixture.user("bob").await;
    assert_eq!(good(sessions, &bob, at(0)).await, [""; 0]);
    for (user, name) in [(&ann, "s2"), (&bob, "s1")] {
        assert_error!(
            refresh(sessions, user, name, 1, at(0)).await,
            StoreError::NotFound
        );
    }
    assert_eq!(good(sessions, &ann, at(0)).await, ["s1"]);
}

async fn a_token_is_exchanged_for_its_successor(fixture: SignIns) {
    let ann = fixture.user("ann").await;
    begin(&fixture.sessions, &ann, "s1", at(0)).await;
    let Refreshed::Rotated(session) = refresh(&fixture.sessions, &ann, "s1", 1, at(1_000))
        .await
        .unwrap()
    else {
        panic!("not rotated");
    };
    assert_eq!(
        (session.last_seen_at, session.expires_at),
        (at(1_000), at(1_000 + HOUR))
    );
    assert_eq!(
        (&session.user_id, session.address.as_str()),
        (&ann, "192.0.2.1")
    );
    let fixture = fixture.reopened().await;
    let listed = fixture.sessions.sessions(&ann, at(HOUR + 999)).await;
    assert_eq!(listed.unwrap(), [session]);
    let rotated = refresh(&fixture.sessions, &ann, "s1", 2, at(HOUR))
        .await
        .unwrap();
    assert!(matches!(rotated, Refreshed::Rotated(_)), "{rotated:?}");
}

async fn a_lost_answer_is_no_theft(fixture: SignIns) {
    let sessions = &fixture.sessions;
    let ann = fixture.user("ann").await;
    begin(sessions, &ann, "s1", at(0)).await;
    refresh(sessions, &ann, "s1", 1, at(1_000)).await.unwrap();
    for ms in [1_000, 5_000, 31_000] {
        let repeated = refresh(sessions, &ann, "s1", 1, at(ms)).await.unwrap();
        let Refreshed::Repeated(session) = repeated else {
            panic!("{repeated:?}")
        };
        assert_eq!(session.expires_at, at(1_000 + HOUR));
    }
    // The successor that both answers gave is good.
    let rotated = refresh(sessions, &ann, "s1", 2, at(32_000)).await.unwrap();
    assert!(matches!(rotated, Refreshed::Rotated(_)), "{rotated:?}");
}

async fn a_repeat_must_have_the_same_successor(fixture: SignIns) {
    let sessions = &fixture.sessions;
    let ann = fixture.user("ann").await;
    begin(sessions, &ann, "s1", at(0)).await;
    refresh(sessions, &ann, "s1", 1, at(1_000)).await.unwrap();
    let other = Refresh {
        user_id: ann.clone(),
        session_id: id("s1"),
        presented: token(1),
        successor: token(9),
        after: token(10),
        address: String::new(),
        expires_at: at(HOUR),
        sign_in_version: 0,
    };
    assert_error!(
        sessions.refresh_session(other, at(2_000)).await,
        StoreError::NotFound
    );
    // The client that has the right one isn't harmed.
    assert!(refresh(sessions, &ann, "s1", 2, at(3_000)).await.is_ok());
}

async fn a_token_used_again_later_ends_the_session(fixture: SignIns) {
    let sessions = &fixture.sessions;
    let ann = fixture.user("ann").await;
    // Too late; and older than the one before, however soon.
    for (name, uses) in [
        ("late", &[(1, 0), (1, 30_001)][..]),
        ("old", &[(1, 0), (2, 1), (1, 2)]),
    ] {
        begin(sessions, &ann, name, at(0)).await;
        let mut last = None;
        for (number, ms) in uses {
            last = Some(
                refresh(sessions, &ann, name, *number, at(*ms))
                    .await
                    .unwrap(),
            );
        }
        let Some(Refreshed::Reused(session)) = last else {
            panic!("{name}: {last:?}")
        };
        assert_eq!(session.id, id(name));
        let successor = uses.len() as u8;
        assert_error!(
            refresh(sessions, &ann, name, successor, at(40_000)).await,
            StoreError::NotFound
        );
        assert_eq!(good(sessions, &ann, at(2)).await, [""; 0]);
    }
    let mut revoked = sessions.revoked_sessions(at(0)).await.unwrap();
    revoked.sort();
    assert_eq!(revoked, [(id("late"), at(30_001)), (id("old"), at(2))]);
}

async fn of_two_who_present_a_token_at_once_both_get_the_same(fixture: SignIns) {
    let sessions = &fixture.sessions;
    let ann = fixture.user("ann").await;
    begin(sessions, &ann, "s1", at(0)).await;
    let (one, other) = tokio::join!(
        refresh(sessions, &ann, "s1", 1, at(1)),
        refresh(sessions, &ann, "s1", 1, at(2))
    );
    match (one.unwrap(), other.unwrap()) {
        (Refreshed::Rotated(_), Refreshed::Repeated(_))
        | (Refreshed::Repeated(_), Refreshed::Rotated(_)) => {}
        outcomes => panic!("{outcomes:?}"),
    }
}

async fn a_user_has_twenty_sessions_and_loses_those_last_seen_earliest(fixture: SignIns) {
    let sessions = &fixture.sessions;
    let ann = fixture.user("ann").await;
    let bob = fixture.user("bob").await;
    begin(sessions, &bob, "of-bob", at(0)).await;
    for number in 0..20 {
        assert_eq!(
            begin(sessions, &ann, &format!("s{number}"), at(number)).await,
            []
        );
    }
    let seen = |name: &str, ms| SessionSeen {
        user_id: ann.clone(),
        id: id(name),
        at: at(ms),
        address: "198.51.100.7".to_owned(),
    };
    sessions
        .touch_sessions(vec![seen("s0", 100), seen("s5", 2), seen("nobody", 100)])
        .await
        .unwrap();
    assert_eq!(begin(sessions, &ann, "s20", at(200)).await, [id("s1")]);
    assert_eq!(begin(sessions, &ann, "s21", at(200)).await, [id("s2")]);
    let live = sessions.sessions(&ann, at(200)).await.unwrap();
    assert_eq!(live.len(), 20);
    let first: Vec<_> = live
        .iter()
        .map(|session| session.id.as_str())
        .take(3)
        .collect();
    assert_eq!(first, ["s21", "s20", "s0"]);
    assert_eq!(live[2].last_seen_at, at(100));
    assert_eq!(live[2].address, "198.51.100.7");
    let fifth = live.iter().find(|session| session.id == id("s5")).unwrap();
    assert_eq!(
        (fifth.last_seen_at, fifth.address.as_str()),
        (at(5), "192.0.2.1")
    );
    // Expired ones don't count.
    assert_eq!(begin(sessions, &ann, "s22", at(2 * HOUR)).await, []);
    assert_eq!(good(sessions, &bob, at(200)).await, ["of-bob"]);
}

async fn sessions_are_revoked_one_by_one_or_together(fixture: SignIns) {
    let sessions = &fixture.sessions;
    let ann = fixture.user("ann").await;
    let bob = fixture.user("bob").await;
    for name in ["s1", "s2", "s3", "s4"] {
        begin(sessions, &ann, name, at(0)).await;
    }
    begin(sessions, &bob, "of-bob", at(0)).await;
    assert_error!(
        sessions.revoke_session(&ann, &id("of-bob"), at(10)).await,
        StoreError::NotFound
    );
    assert_error!(
        sessions.revoke_session(&ann, &id("s9"), at(10)).await,
        StoreError::NotFound
    );
    sessions
        .revoke_session(&ann, &id("s1"), at(10))
        .await
        .unwrap();
    assert_error!(
        sessions.revoke_session(&ann, &id("s1"), at(11)).await,
        StoreError::NotFound
    );
    assert_error!(
        refresh(sessions, &ann, "s1", 1, at(11)).await,
        StoreError::NotFound
    );
    let mut others = sessions
        .revoke_sessions(&ann, Some(&id("s3")), 0, at(20))
        .await
        .unwrap();
    others.sort();
    assert_eq!(others, [id("s2"), id("s4")]);
    assert_eq!(good(sessions, &ann, at(21)).await, ["s3"]);
    assert_eq!(
        sessions
            .revoke_sessions(&ann, None, 0, at(30))
            .await
            .unwrap(),
        [id("s3")]
    );
    assert_eq!(
        sessions
            .revoke_sessions(&ann, None, 0, at(30))
            .await
            .unwrap(),
        []
    );
    assert_eq!(good(sessions, &bob, at(31)).await, ["of-bob"]);
    let fixture = fixture.reopened().await;
    let mut revoked = fixture.sessions.revoked_sessions(at(20)).await.unwrap();
    revoked.sort();
    let wanted = [(id("s2"), at(20)), (id("s3"), at(30)), (id("s4"), at(20))];
    assert_eq!(revoked, wanted);
}

async fn of_many_who_come_at_once_twenty_stay(fixture: SignIns) {
    let ann = fixture.user("ann").await;
    let fixture = fixture.reopened().await;
    let other = &fixture.sessions;
    let begun = (0..50).map(|number| {
        let (sessions, session) = (other.clone(), new(&ann, &format!("s{number}"), at(0)));
        tokio::spawn(async move { sessions.create_session(session, at(0)).await.unwrap() })
    });
    let mut ended = std::collections::HashSet::new();
    for ids in futures_util::future::join_all(begun).await {
        for id in ids.unwrap() {
            assert!(ended.insert(id), "ended twice");
        }
    }
    assert_eq!(ended.len(), 30);
    for name in good(other, &ann, at(1)).await {
        assert!(!ended.contains(&id(&name)));
    }
    assert_eq!(good(other, &ann, at(1)).await.len(), 20);
}

async fn users_without_sessions_are_told_apart(fixture: SignIns) {
    let sessions = &fixture.sessions;
    let mut users = Vec::new();
    for name in ["here", "gone", "expired", "never"] {
        users.push(fixture.user(name).await);
    }
    begin(sessions, &users[0], "s1", at(0)).await;
    begin(sessions, &users[1], "s2", at(0)).await;
    begin(sessions, &users[2], "s3", at(MINUTE - HOUR)).await;
    sessions
        .revoke_sessions(&users[1], None, 0, at(0))
        .await
        .unwrap();
    let without = async |ms| {
        let users = users.clone();
        sessions.without_sessions(users, at(ms)).await.unwrap()
    };
    assert_eq!(without(0).await, [users[1].clone(), users[3].clone()]);
    assert_eq!(without(MINUTE).await, users[1..]);
    assert_eq!(without(HOUR).await, users);
    let none = sessions.without_sessions(Vec::new(), at(0)).await;
    assert_eq!(none.unwrap(), []);
}

fn at_version(user: &UserId, name: &str, version: u64) -> NewSession {
    NewSession {
        sign_in_version: version,
        ..new(user, name, at(0))
    }
}

fn looked_for(user: &UserId, name: &str, version: u64) -> SessionRef {
    SessionRef {
        id: id(name),
        user_id: user.clone(),
        sign_in_version: version,
    }
}

async fn no_session_is_made_of_what_was_checked_before_all_were_ended(fixture: SignIns) {
    let sessions = &fixture.sessions;
    let (ann, bob) = (fixture.user("ann").await, fixture.user("bob").await);
    let begun = at_version(&ann, "before", 0);
    begin(sessions, &ann, "own", at(0)).await;
    begin(sessions, &ann, "other", at(0)).await;
    fixture.new_password(&ann).await;
    let own = id("own");
    let ended = sessions.revoke_sessions(&ann, Some(&own), 1, at(1));
    assert_eq!(ended.await.unwrap(), [id("other")]);
    assert_error!(
        sessions.create_session(begun, at(2)).await,
        StoreError::NotFound
    );
    let after = at_version(&ann, "after", 1);
    assert_eq!(sessions.create_session(after, at(2)).await.unwrap(), []);
    // Told again, or late, it changes nothing.
    let again = sessions.revoke_sessions(&bob, None, 0, at(3));
    assert_eq!(again.await.unwrap(), []);
    begin(sessions, &bob, "of-bob", at(3)).await;
    let mut names = good(sessions, &ann, at(4)).await;
    names.sort();
    assert_eq!(names, ["after", "own"]);
    let looked_for = ["after", "own", "other", "before"].map(|name| looked_for(&ann, name, 1));
    let mut found = sessions
        .good_sessions(looked_for.to_vec(), at(4))
        .await
        .unwrap();
    found.sort();
    assert_eq!(found, [(id("after"), at(HOUR)), (id("own"), at(HOUR))]);
    // Nobody signs in any more.
    let all = sessions.revoke_sessions(&ann, None, NO_SIGN_IN, at(5));
    assert_eq!(all.await.unwrap().len(), 2);
    if let Location::Redis { .. } = fixture.location {
        let last = at_version(&ann, "last", 1);
        assert_error!(
            sessions.create_session(last, at(6)).await,
            StoreError::NotFound
        );
    }
}

async fn a_session_is_good_at_the_version_of_its_user(fixture: SignIns) {
    let sessions = &fixture.sessions;
    let ann = fixture.user("ann").await;
    begin(sessions, &ann, "s1", at(0)).await;
    refresh(sessions, &ann, "s1", 1, at(1)).await.unwrap();
    // The end of all sessions was noted with the user, and is on its way here.
    fixture.new_password(&ann).await;
    let late = Refresh {
        user_id: ann.clone(),
        session_id: id("s1"),
        presented: token(2),
        successor: token(3),
        after: token(4),
        address: String::new(),
        expires_at: at(2 * HOUR),
        sign_in_version: 1,
    };
    assert_error!(
        sessions.refresh_session(late.clone(), at(2)).await,
        StoreError::NotFound
    );
    let wanted = vec![looked_for(&ann, "s1", 1)];
    assert_eq!(sessions.good_sessions(wanted, at(2)).await.unwrap(), []);
    // The one that stays is raised.
    let own = id("s1");
    let ended = sessions.revoke_sessions(&ann, Some(&own), 1, at(3));
    assert_eq!(ended.await.unwrap(), []);
    let rotated = sessions.refresh_session(late, at(4)).await.unwrap();
    assert!(matches!(rotated, Refreshed::Rotated(_)), "{rotated:?}");
    let wanted = vec![
        looked_for(&ann, "s1", 1),
        looked_for(&ann, "s2", 0),
        looked_for(&"nobody".parse().unwrap(), "s1", 0),
    ];
    let found = sessions.good_sessions(wanted.clone(), at(5)).await.unwrap();
    assert_eq!(found, [(id("s1"), at(2 * HOUR))]);
    let found = sessions.good_sessions(wanted, at(2 * HOUR)).await.unwrap();
    assert_eq!(found, []);
}

#[tokio::test]
async fn what_is_left_of_ended_sessions_is_purged_from_the_file() {
    let fixture = SignIns::embedded().await;
    let sessions = &fixture.sessions;
    let ann = fixture.user("ann").await;
    begin(sessions, &ann, "expired", at(-2 * HOUR)).await;
    begin(sessions, &ann, "revoked", at(0)).await;
    begin(sessions, &ann, "good", at(0)).await;
    sessions
        .revoke_session(&ann, &id("revoked"), at(10))
        .await
        .unwrap();
    assert_eq!(sessions.purge_sessions(at(10)).await.unwrap(), 1);
    assert_eq!(sessions.revoked_sessions(at(0)).await.unwrap().len(), 1);
    assert_eq!(sessions.purge_sessions(at(11)).await.unwrap(), 1);
    assert_eq!(sessions.revoked_sessions(at(0)).await.unwrap(), []);
    assert_eq!(sessions.purge_sessions(at(11)).await.unwrap(), 0);
    assert_eq!(good(sessions, &ann, at(11)).await, ["good"]);
}

#[tokio::test]
async fn in_the_file_only_who_exists_signs_in() {
    let fixture = SignIns::embedded().await;
    let Location::Embedded(store) = &fixture.location else {
        panic!("not embedded")
    };
    let sessions = &fixture.sessions;
    let ann = fixture.user("ann").await;
    begin(sessions, &ann, "s1", at(0)).await;
    store.store.delete_user(&ann, at(1)).await.unwrap();
    for user in [ann.clone(), "nobody".parse().unwrap()] {
        assert_error!(
            sessions
                .create_session(new(&user, "s2", at(2)), at(2))
                .await,
            StoreError::NotFound
        );
    }
    // One that began before the deletion was done can still be ended.
    let ended = sessions
        .revoke_sessions(&ann, None, NO_SIGN_IN, at(3))
        .await
        .unwrap();
    assert_eq!(ended, [id("s1")]);
}

/// A Redis of one server, what keys of this test it has, and a client.
async fn keys_of(fixture: &SignIns) -> (RedisClient, Vec<String>) {
    let Location::Redis { url, prefix } = &fixture.location else {
        panic!("not in Redis")
    };
    let client = RedisClient::new(url.clone(), Options::new("test"));
    let keys = client.run(cmd("KEYS").arg(format!("*{prefix}*"))).await;
    (client, keys.unwrap())
}

#[tokio::test]
async fn everything_in_redis_expires() {
    let fixture = SignIns::one_redis();
    let sessions = &fixture.sessions;
    let ann = fixture.user("ann").await;
    begin(sessions, &ann, "s1", at(0)).await;
    begin(sessions, &ann, "s2", at(5_000)).await;
    begin(sessions, &ann, "s3", at(1_000)).await;
    refresh(sessions, &ann, "s1", 1, at(2_000)).await.unwrap();
    sessions
        .revoke_session(&ann, &id("s3"), at(3_000))
        .await
        .unwrap();
    let (client, keys) = keys_of(&fixture).await;
    assert_eq!(keys.len(), 3, "{keys:?}");
    for key in keys {
        let ends: i64 = client.run(cmd("PEXPIRETIME").arg(&key)).await.unwrap();
        if key.contains(":sessions:") {
            assert_eq!(ends, at(5_000 + HOUR).unix_ms(), "{key}");
        } else {
            let ends_in = ends - Timestamp::now().unix_ms();
            // What expires when is listed for longer than any session lasts.
            let is_list = key.ends_with(":session-expiry");
            let most = if is_list {
                40 * 24 * HOUR
            } else {
                HOUR + MINUTE
            };
            assert!(ends_in > 0 && ends_in <= most, "{key}: {ends_in}");
        }
    }
    sessions
        .revoke_sessions(&ann, None, 0, at(4_000))
        .await
        .unwrap();
    let (_, keys) = keys_of(&fixture).await;
    assert!(
        keys.len() == 1 && keys[0].ends_with(":revoked-sessions"),
        "{keys:?}"
    );
}

#[tokio::test]
async fn ends_are_forgotten_after_an_hour() {
    let fixture = SignIns::one_redis();
    let sessions = &fixture.sessions;
    let ann = fixture.user("ann").await;
    begin(sessions, &ann, "s1", at(-MINUTE)).await;
    begin(sessions, &ann, "s2", at(0)).await;
    for (name, ms) in [("s1", -1), ("s2", HOUR - 1)] {
        sessions
            .revoke_session(&ann, &id(name), at(ms))
            .await
            .unwrap();
    }
    let revoked = sessions.revoked_sessions(at(-HOUR)).await.unwrap();
    assert_eq!(revoked, [(id("s2"), at(HOUR - 1))]);
}

#[tokio::test]
async fn a_rotation_that_redis_lost_is_no_theft() {
    let fixture = SignIns::one_redis();
    let sessions = &fixture.sessions;
    let ann = fixture.user("ann").await;
    begin(sessions, &ann, "s1", at(0)).await;
    refresh(sessions, &ann, "s1", 1, at(1)).await.unwrap();
    let (client, keys) = keys_of(&fixture).await;
    let before: Vec<u8> = client.run(cmd("DUMP").arg(&keys[0])).await.unwrap();
    refresh(sessions, &ann, "s1", 2, at(2)).await.unwrap();
    let mut restore = cmd("RESTORE");
    restore.arg(&keys[0]).arg(HOUR).arg(&before).arg("REPLACE");
    client.run::<()>(restore).await.unwrap();
    // The client has the third token, of which this Redis knows nothing but that it follows.
    let rotated = refresh(sessions, &ann, "s1", 3, at(3)).await.unwrap();
    assert!(matches!(rotated, Refreshed::Rotated(_)), "{rotated:?}");
    let rotated = refresh(sessions, &ann, "s1", 4, at(4)).await.unwrap();
    assert!(matches!(rotated, Refreshed::Rotated(_)), "{rotated:?}");
    let reused = refresh(sessions, &ann, "s1", 2, at(5)).await.unwrap();
    assert!(matches!(reused, Refreshed::Reused(_)), "{reused:?}");
}

#[tokio::test]
async fn without_redis_sessions_are_unavailable() {
    // A port that nobody listens on: it was somebody's a moment ago.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", closed.local_addr().unwrap());
    drop(closed);
    let client = RedisClient::new(url.parse().unwrap(), Options::new("test"));
    let sessions = Sessions::redis(client, "test");
    let ann: UserId = "ann".parse().unwrap();
    macro_rules! unavailable {
        ($($call:expr),* $(,)?) => { $(assert_error!($call.await, StoreError::Unavailable(_));)* };
    }
    let seen = SessionSeen {
        user_id: ann.clone(),
        id: id("s1"),
        at: at(0),
        address: String::new(),
    };
    unavailable!(
        sessions.create_session(new(&ann, "s1", at(0)), at(0)),
        refresh(&sessions, &ann, "s1", 1, at(0)),
        sessions.sessions(&ann, at(0)),
        sessions.touch_sessions(vec![seen]),
        sessions.revoke_session(&ann, &id("s1"), at(0)),
        sessions.revoke_sessions(&ann, None, 0, at(0)),
        sessions.good_sessions(vec![looked_for(&ann, "s1", 0)], at(0)),
        sessions.revoked_sessions(at(0)),
        sessions.without_sessions(vec![ann.clone()], at(0)),
    );
}

#[test]
fn hashes_are_not_printed() {
    assert_eq!(format!("{:?}", token(7)), "[hash]");
}

async fn what_has_ended_is_counted_and_removed(fixture: SignIns) {
    let sessions = &fixture.sessions;
    let (ann, bob) = (fixture.user("ann").await, fixture.user("bob").await);
    begin(sessions, &ann, "s1", at(0)).await;
    begin(sessions, &ann, "s2", at(0)).await;
    begin(sessions, &bob, "s3", at(HOUR / 2)).await;
    let counts = async |ms: i64| {
        let counts = sessions.count_sessions(at(ms)).await.unwrap();
        (counts.live, counts.ended)
    };
    assert_eq!(counts(HOUR / 2).await, (3, 0));
    assert_eq!(counts(HOUR + 1).await, (1, 2));
    assert_eq!(sessions.purge_sessions(at(MINUTE)).await.unwrap(), 0);
    assert_eq!(sessions.purge_sessions(at(HOUR + 1)).await.unwrap(), 2);
    assert_eq!(counts(HOUR + 1).await, (1, 0));
    // One that is refreshed goes on.
    refresh(sessions, &bob, "s3", 1, at(HOUR + 1))
        .await
        .unwrap();
    assert_eq!(sessions.purge_sessions(at(2 * HOUR)).await.unwrap(), 0);
    assert_eq!(counts(2 * HOUR).await.0, 1);
    let now = at(2 * HOUR);
    sessions.revoke_session(&bob, &id("s3"), now).await.unwrap();
    assert_eq!(counts(2 * HOUR).await.0, 0);
}
