//! Sessions and their refresh tokens.

use protocol::{SessionId, Timestamp, UserId};
use storage::{
    MessageStore, NewSession, Refresh, Refreshed, SessionSeen, StoreError, StoredSession, TokenHash,
};

use crate::{Fixture, assert_error, at};

const HOUR: i64 = 3_600_000;

fn id(name: &str) -> SessionId {
    name.parse().unwrap()
}

fn token(number: u8) -> TokenHash {
    TokenHash([number; 32])
}

async fn begin(store: &MessageStore, user: &UserId, name: &str, now: Timestamp) -> Vec<SessionId> {
    let session = NewSession {
        id: id(name),
        user_id: user.clone(),
        device: format!("device of {name}"),
        address: "192.0.2.1".to_owned(),
        refresh: token(1),
        expires_at: Timestamp::from_unix_ms(now.unix_ms() + HOUR),
    };
    store.create_session(session, now).await.unwrap()
}

/// Presents the token of one number for that of the next.
async fn refresh(
    store: &MessageStore,
    name: &str,
    number: u8,
    now: Timestamp,
) -> Result<Refreshed, StoreError> {
    let refresh = Refresh {
        session_id: id(name),
        presented: token(number),
        successor: token(number + 1),
        address: format!("192.0.2.{number}"),
        expires_at: Timestamp::from_unix_ms(now.unix_ms() + HOUR),
    };
    store.refresh_session(refresh, now).await
}

async fn live(store: &MessageStore, user: &UserId, now: Timestamp) -> Vec<String> {
    let sessions = store.sessions(user, now).await.unwrap();
    sessions
        .into_iter()
        .map(|session| session.id.to_string())
        .collect()
}

#[tokio::test]
async fn a_session_is_kept_until_it_expires() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let ann = fixture.user("ann").await;
    assert_eq!(begin(store, &ann, "s1", at(0)).await, []);
    let session = StoredSession {
        id: id("s1"),
        user_id: ann.clone(),
        device: "device of s1".to_owned(),
        address: "192.0.2.1".to_owned(),
        created_at: at(0),
        last_seen_at: at(0),
        expires_at: at(HOUR),
    };
    assert_eq!(
        store.session(&id("s1"), at(HOUR - 1)).await.unwrap(),
        session
    );
    assert_eq!(store.sessions(&ann, at(0)).await.unwrap(), [session]);
    assert_error!(
        store.session(&id("s1"), at(HOUR)).await,
        StoreError::NotFound
    );
    assert_eq!(store.sessions(&ann, at(HOUR)).await.unwrap(), []);
    assert_error!(
        refresh(store, "s1", 1, at(HOUR)).await,
        StoreError::NotFound
    );
    assert_error!(store.session(&id("s2"), at(0)).await, StoreError::NotFound);
    assert_error!(refresh(store, "s2", 1, at(0)).await, StoreError::NotFound);
    let nobody = NewSession {
        id: id("s3"),
        user_id: "nobody".parse().unwrap(),
        device: String::new(),
        address: String::new(),
        refresh: token(1),
        expires_at: at(HOUR),
    };
    assert_error!(
        store.create_session(nobody, at(0)).await,
        StoreError::NotFound
    );
}

#[tokio::test]
async fn a_token_is_exchanged_for_its_successor() {
    let fixture = Fixture::new().await;
    let ann = fixture.user("ann").await;
    begin(&fixture.store, &ann, "s1", at(0)).await;
    let Refreshed::Rotated(session) = refresh(&fixture.store, "s1", 1, at(1_000)).await.unwrap()
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
    assert_eq!(
        fixture
            .store
            .session(&id("s1"), at(HOUR + 999))
            .await
            .unwrap(),
        session
    );
    let rotated = refresh(&fixture.store, "s1", 2, at(HOUR)).await.unwrap();
    assert!(matches!(rotated, Refreshed::Rotated(_)), "{rotated:?}");
}

#[tokio::test]
async fn a_lost_answer_is_no_theft() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let ann = fixture.user("ann").await;
    begin(store, &ann, "s1", at(0)).await;
    refresh(store, "s1", 1, at(1_000)).await.unwrap();
    for ms in [1_000, 5_000, 31_000] {
        let repeated = refresh(store, "s1", 1, at(ms)).await.unwrap();
        let Refreshed::Repeated(session) = repeated else {
            panic!("{repeated:?}")
        };
        assert_eq!(session.expires_at, at(1_000 + HOUR));
    }
    // The successor that both answers gave is good.
    let rotated = refresh(store, "s1", 2, at(32_000)).await.unwrap();
    assert!(matches!(rotated, Refreshed::Rotated(_)), "{rotated:?}");
}

#[tokio::test]
async fn a_repeat_must_have_the_same_successor() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let ann = fixture.user("ann").await;
    begin(store, &ann, "s1", at(0)).await;
    refresh(store, "s1", 1, at(1_000)).await.unwrap();
    let other = Refresh {
        session_id: id("s1"),
        presented: token(1),
        successor: token(9),
        address: String::new(),
        expires_at: at(HOUR),
    };
    assert_error!(
        store.refresh_session(other, at(2_000)).await,
        StoreError::NotFound
    );
    // The client that has the right one isn't harmed.
    assert!(refresh(store, "s1", 2, at(3_000)).await.is_ok());
}

#[tokio::test]
async fn a_token_used_again_later_ends_the_session() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let ann = fixture.user("ann").await;
    // Too late; and older than the one before, however soon.
    for (name, uses) in [
        ("late", &[(1, 0), (1, 30_001)][..]),
        ("old", &[(1, 0), (2, 1), (1, 2)]),
    ] {
        begin(store, &ann, name, at(0)).await;
        let mut last = None;
        for (number, ms) in uses {
            last = Some(refresh(store, name, *number, at(*ms)).await.unwrap());
        }
        let Some(Refreshed::Reused(session)) = last else {
            panic!("{name}: {last:?}")
        };
        assert_eq!(session.id, id(name));
        let successor = uses.len() as u8;
        assert_error!(
            refresh(store, name, successor, at(40_000)).await,
            StoreError::NotFound
        );
        assert_error!(
            store.session(&id(name), at(40_000)).await,
            StoreError::NotFound
        );
    }
    let mut revoked = store.revoked_sessions(at(0)).await.unwrap();
    revoked.sort();
    assert_eq!(revoked, [(id("late"), at(30_001)), (id("old"), at(2))]);
}

#[tokio::test]
async fn of_two_who_present_a_token_at_once_both_get_the_same() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let ann = fixture.user("ann").await;
    begin(store, &ann, "s1", at(0)).await;
    let (one, other) = tokio::join!(
        refresh(store, "s1", 1, at(1)),
        refresh(store, "s1", 1, at(2))
    );
    assert!(matches!(one, Ok(Refreshed::Rotated(_))), "{one:?}");
    assert!(matches!(other, Ok(Refreshed::Repeated(_))), "{other:?}");
}

#[tokio::test]
async fn a_user_has_twenty_sessions_and_loses_those_last_seen_earliest() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let ann = fixture.user("ann").await;
    let bob = fixture.user("bob").await;
    begin(store, &bob, "of-bob", at(0)).await;
    for number in 0..20 {
        assert_eq!(
            begin(store, &ann, &format!("s{number}"), at(number)).await,
            []
        );
    }
    let seen = |name: &str, ms| SessionSeen {
        id: id(name),
        at: at(ms),
        address: "198.51.100.7".to_owned(),
    };
    store
        .touch_sessions(vec![seen("s0", 100), seen("s5", 2), seen("nobody", 100)])
        .await
        .unwrap();
    assert_eq!(begin(store, &ann, "s20", at(200)).await, [id("s1")]);
    assert_eq!(begin(store, &ann, "s21", at(200)).await, [id("s2")]);
    let sessions = store.sessions(&ann, at(200)).await.unwrap();
    assert_eq!(sessions.len(), 20);
    let first: Vec<_> = sessions
        .iter()
        .map(|session| session.id.as_str())
        .take(3)
        .collect();
    assert_eq!(first, ["s21", "s20", "s0"]);
    assert_eq!(sessions[2].last_seen_at, at(100));
    assert_eq!(sessions[2].address, "198.51.100.7");
    let fifth = sessions
        .iter()
        .find(|session| session.id == id("s5"))
        .unwrap();
    assert_eq!(
        (fifth.last_seen_at, fifth.address.as_str()),
        (at(5), "192.0.2.1")
    );
    // Expired ones don't count.
    assert_eq!(begin(store, &ann, "s22", at(2 * HOUR)).await, []);
    assert_eq!(live(store, &bob, at(200)).await, ["of-bob"]);
}

#[tokio::test]
async fn sessions_are_revoked_one_by_one_or_together() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let ann = fixture.user("ann").await;
    let bob = fixture.user("bob").await;
    for name in ["s1", "s2", "s3", "s4"] {
        begin(store, &ann, name, at(0)).await;
    }
    begin(store, &bob, "of-bob", at(0)).await;
    assert_error!(
        store.revoke_session(&ann, &id("of-bob"), at(10)).await,
        StoreError::NotFound
    );
    assert_error!(
        store.revoke_session(&ann, &id("s9"), at(10)).await,
        StoreError::NotFound
    );
    store.revoke_session(&ann, &id("s1"), at(10)).await.unwrap();
    assert_error!(
        store.revoke_session(&ann, &id("s1"), at(11)).await,
        StoreError::NotFound
    );
    assert_error!(refresh(store, "s1", 1, at(11)).await, StoreError::NotFound);
    let mut others = store
        .revoke_sessions(&ann, Some(&id("s3")), at(20))
        .await
        .unwrap();
    others.sort();
    assert_eq!(others, [id("s2"), id("s4")]);
    assert_eq!(live(store, &ann, at(21)).await, ["s3"]);
    assert_eq!(
        store.revoke_sessions(&ann, None, at(30)).await.unwrap(),
        [id("s3")]
    );
    assert_eq!(store.revoke_sessions(&ann, None, at(30)).await.unwrap(), []);
    assert_eq!(live(store, &bob, at(31)).await, ["of-bob"]);
    let fixture = fixture.reopened().await;
    let mut revoked = fixture.store.revoked_sessions(at(20)).await.unwrap();
    revoked.sort();
    let wanted = [(id("s2"), at(20)), (id("s3"), at(30)), (id("s4"), at(20))];
    assert_eq!(revoked, wanted);
}

#[tokio::test]
async fn sessions_that_ended_are_purged() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let ann = fixture.user("ann").await;
    begin(store, &ann, "expired", at(-2 * HOUR)).await;
    begin(store, &ann, "revoked", at(0)).await;
    begin(store, &ann, "good", at(0)).await;
    store
        .revoke_session(&ann, &id("revoked"), at(10))
        .await
        .unwrap();
    assert_eq!(store.purge_sessions(at(10)).await.unwrap(), 1);
    assert_eq!(store.revoked_sessions(at(0)).await.unwrap().len(), 1);
    assert_eq!(store.purge_sessions(at(11)).await.unwrap(), 1);
    assert_eq!(store.revoked_sessions(at(0)).await.unwrap(), []);
    assert_eq!(store.purge_sessions(at(11)).await.unwrap(), 0);
    assert_eq!(live(store, &ann, at(11)).await, ["good"]);
}

#[test]
fn hashes_are_not_printed() {
    assert_eq!(format!("{:?}", token(7)), "[hash]");
}
