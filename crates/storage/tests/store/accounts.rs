//! Users and blocks.

use protocol::{ApiKeyId, Role, RoomKind, RoomRole, Secret, UserId};
use storage::{ApiKeyHash, ExternalUser, NewUser, ProfileChange, StoreError, StoredApiKey};

use crate::{Fixture, assert_error, at, new_user, now};

on_each! {
    names_are_unique_without_regard_to_case_and_addresses_are_not,
    of_two_who_want_a_name_at_once_one_gets_it,
    users_are_read_by_many_ids,
    users_are_found_by_part_of_a_name,
    users_are_found_in_pages_in_the_order_of_their_ids,
    a_profile_changes_in_part,
    passwords_and_roles_are_replaced,
    guests_have_no_password_and_are_listed_until_they_are_deleted,
    a_deleted_user_is_nobody,
    blocks_work_both_ways,
    a_user_of_another_application_is_one_and_as_the_latest_token_says,
    keys_of_other_programs_are_kept_until_they_are_revoked,
}

fn with_email(name: &str, email: &str) -> NewUser {
    NewUser {
        email: Some(email.to_owned()),
        ..new_user(name)
    }
}

async fn names_are_unique_without_regard_to_case_and_addresses_are_not(fixture: Fixture) {
    let store = &fixture.store;
    let ann = store
        .create_user(with_email("Ann", "Ann@example.org"), at(0))
        .await
        .unwrap();
    assert_eq!((ann.username.as_str(), ann.created_at), ("Ann", at(0)));
    assert_eq!(
        (ann.role, ann.guest, ann.avatar_url.as_deref()),
        (Role::User, false, None)
    );
    assert_error!(
        store.create_user(new_user("aNN"), now()).await,
        StoreError::Conflict {
            field: "username",
            ..
        }
    );
    // Nobody has proved that it is theirs.
    let bob = with_email("bob", "ann@EXAMPLE.org");
    let bob = store.create_user(bob, now()).await.unwrap();
    assert_eq!(bob.email.as_deref(), Some("ann@EXAMPLE.org"));
    store.create_user(new_user("Élodie"), now()).await.unwrap();
    assert_error!(
        store.create_user(new_user("éLODIE"), now()).await,
        StoreError::Conflict {
            field: "username",
            ..
        }
    );
    let found = store.credentials("ANN").await.unwrap().unwrap();
    assert_eq!(found.user, ann);
    assert_eq!(found.password_hash.unwrap().expose(), "hash");
    assert!(store.credentials("eve").await.unwrap().is_none());
    assert_eq!(store.user(&ann.id).await.unwrap(), ann);
    assert_eq!(store.credentials_of(&ann.id).await.unwrap().user, ann);
    let nobody = "nobody".parse().unwrap();
    assert_error!(store.user(&nobody).await, StoreError::NotFound);
    assert_error!(store.credentials_of(&nobody).await, StoreError::NotFound);
    let fixture = fixture.reopened().await;
    assert_eq!(fixture.store.user(&ann.id).await.unwrap(), ann);
}

async fn of_two_who_want_a_name_at_once_one_gets_it(fixture: Fixture) {
    let (one, other) = tokio::join!(
        fixture.store.create_user(new_user("ann"), now()),
        fixture.store.create_user(new_user("ann"), now()),
    );
    assert!(one.is_ok() != other.is_ok());
}

async fn users_are_read_by_many_ids(fixture: Fixture) {
    let ann = fixture.user("ann").await;
    let bob = fixture.user("bob").await;
    let gone = fixture.user("gone").await;
    fixture.store.delete_user(&gone, now()).await.unwrap();
    let nobody = "nobody".parse().unwrap();
    let users = fixture
        .store
        .users(&[bob.clone(), nobody, gone, ann.clone()])
        .await
        .unwrap();
    let mut ids: Vec<UserId> = users.into_iter().map(|user| user.id).collect();
    ids.sort();
    assert_eq!(ids, [ann, bob]);
    assert_eq!(fixture.store.users(&[]).await.unwrap(), []);
}

async fn users_are_found_by_part_of_a_name(fixture: Fixture) {
    for (username, display_name) in [
        ("joan_smith", "Joan"),
        ("bob", "Joanna Lee"),
        ("per%cent", "50% Off"),
        ("li", "王小明"),
        ("zoe", "Zoe\u{308} 🦊"),
    ] {
        let user = NewUser {
            display_name: display_name.to_owned(),
            ..new_user(username)
        };
        fixture.store.create_user(user, now()).await.unwrap();
    }
    let found = async |query: &str| {
        let page = fixture.store.find_users(query, None, 10).await.unwrap();
        assert!(!page.has_more);
        page.items
            .into_iter()
            .map(|user| user.username)
            .collect::<Vec<_>>()
    };
    for (query, wanted) in [
        ("joan", &["joan_smith", "bob"][..]),
        ("JOAN", &["joan_smith", "bob"]),
        ("jo", &["joan_smith", "bob"]),
        ("smith", &["joan_smith"]),
        ("_smi", &["joan_smith"]),
        ("Lee", &["bob"]),
        ("na l", &["bob"]),
        // Fewer than three characters of a script with spaces are the beginning.
        ("sm", &[]),
        ("b", &["bob"]),
        ("Jöanña", &["bob"]),
        ("jö", &["joan_smith", "bob"]),
        ("王", &["li"]),
        ("小明", &["li"]),
        ("明", &["li"]),
        ("明小", &[]),
        ("王小明", &["li"]),
        ("zo\u{eb}", &["zoe"]),
        ("ＺＯ", &["zoe"]),
        ("ë", &[]),
        ("🦊", &["zoe"]),
        ("\u{200b}", &[]),
        ("50", &["per%cent"]),
        ("%", &[]),
        ("_", &[]),
        ("r%c", &["per%cent"]),
        ("r_c", &[]),
        ("\"", &[]),
        ("nobody", &[]),
    ] {
        assert_eq!(found(query).await, wanted, "{query:?}");
    }
}

async fn users_are_found_in_pages_in_the_order_of_their_ids(fixture: Fixture) {
    let mut ids = Vec::new();
    for number in 0..7 {
        ids.push(fixture.user(&format!("sam{number}")).await);
    }
    assert!(ids.is_sorted());
    for query in ["sam", "s"] {
        let mut seen: Vec<UserId> = Vec::new();
        loop {
            let page = fixture
                .store
                .find_users(query, seen.last(), 3)
                .await
                .unwrap();
            assert!(page.items.len() <= 3);
            seen.extend(page.items.into_iter().map(|user| user.id));
            if !page.has_more {
                break;
            }
        }
        assert_eq!(seen, ids);
    }
    let (first, last) = ("0".parse().unwrap(), "zzz".parse().unwrap());
    let found = async |after| {
        fixture
            .store
            .find_users("sam", Some(after), 3)
            .await
            .unwrap()
    };
    assert_eq!(found(&first).await.items.len(), 3);
    assert_eq!(found(&last).await.items, []);
}

async fn a_profile_changes_in_part(fixture: Fixture) {
    let store = &fixture.store;
    let ann = store
        .create_user(with_email("ann", "ann@example.org"), now())
        .await
        .unwrap()
        .id;
    store
        .create_user(with_email("bob", "bob@example.org"), now())
        .await
        .unwrap();
    let change = ProfileChange {
        display_name: Some("Anna".to_owned()),
        avatar_url: Some(Some("https://example.org/a.png".to_owned())),
        email: None,
    };
    let changed = store.update_user(&ann, change).await.unwrap();
    assert_eq!(changed.display_name, "Anna");
    assert_eq!(
        changed.avatar_url.as_deref(),
        Some("https://example.org/a.png")
    );
    assert_eq!(changed.email.as_deref(), Some("ann@example.org"));
    assert_eq!(store.user(&ann).await.unwrap(), changed);
    let email = |email: Option<&str>| ProfileChange {
        email: Some(email.map(str::to_owned)),
        ..ProfileChange::default()
    };
    for address in ["BOB@example.org", "ANN@example.org"] {
        let changed = store.update_user(&ann, email(Some(address))).await.unwrap();
        assert_eq!(changed.email.as_deref(), Some(address));
    }
    let changed = store.update_user(&ann, email(None)).await.unwrap();
    assert_eq!((changed.email, changed.avatar_url.is_some()), (None, true));
    // Found by the new name only.
    let found = store.find_users("anna", None, 10).await.unwrap();
    assert_eq!(found.items.len(), 1);
    let nobody = "nobody".parse().unwrap();
    let missing = store.update_user(&nobody, ProfileChange::default()).await;
    assert_error!(missing, StoreError::NotFound);
}

async fn passwords_and_roles_are_replaced(fixture: Fixture) {
    let store = &fixture.store;
    let ann = fixture.user("ann").await;
    for version in 0..2 {
        let credentials = store.credentials_of(&ann).await.unwrap();
        assert_eq!(credentials.user.sign_in_version, version);
        let set = store.set_password(&ann, version, Secret::from("other"));
        assert_eq!(set.await.unwrap(), version + 1);
    }
    // Of two who know the old one, the second learns that it is over.
    assert_error!(
        store.set_password(&ann, 1, Secret::from("late")).await,
        StoreError::Conflict {
            field: "currentPassword",
            ..
        }
    );
    let credentials = store.credentials("ann").await.unwrap().unwrap();
    assert_eq!(
        credentials.password_hash.as_ref().unwrap().expose(),
        "other"
    );
    assert!(!format!("{credentials:?}").contains("other"));
    store.set_user_role(&ann, Role::Admin).await.unwrap();
    let changed = store.user(&ann).await.unwrap();
    assert_eq!((changed.role, changed.sign_in_version), (Role::Admin, 2));
    // What a user shows has nothing to do with it.
    let change = ProfileChange {
        display_name: Some("Anna".to_owned()),
        ..ProfileChange::default()
    };
    let changed = store.update_user(&ann, change).await.unwrap();
    assert_eq!((changed.role, changed.sign_in_version), (Role::Admin, 2));
    let nobody = "nobody".parse().unwrap();
    assert_error!(
        store.set_password(&nobody, 0, Secret::from("x")).await,
        StoreError::NotFound
    );
    assert_error!(
        store.set_user_role(&nobody, Role::Staff).await,
        StoreError::NotFound
    );
}

async fn guests_have_no_password_and_are_listed_until_they_are_deleted(fixture: Fixture) {
    let store = &fixture.store;
    let mut early = Vec::new();
    for ms in [0, 0, 999] {
        let guest = store
            .create_guest("Guest".to_owned(), at(ms))
            .await
            .unwrap();
        assert!(guest.guest && guest.username.starts_with("guest-"));
        let credentials = store.credentials(&guest.username).await.unwrap().unwrap();
        assert!(credentials.password_hash.is_none());
        early.push(guest);
    }
    assert_ne!(early[0].username, early[1].username);
    let later = store.create_guest("Guest".to_owned(), at(1_000)).await;
    let later = later.unwrap().id;
    store.create_user(new_user("ann"), at(0)).await.unwrap();
    let mut early: Vec<UserId> = early.into_iter().map(|guest| guest.id).collect();
    early.sort();

    // One by one, each behind the one before.
    let listed = async |before, limit| {
        let mut listed: Vec<UserId> = Vec::new();
        loop {
            let page = store.guests(before, listed.last(), limit).await.unwrap();
            assert!(page.len() <= limit as usize);
            if page.is_empty() {
                listed.sort();
                return listed;
            }
            listed.extend(page);
        }
    };
    for limit in [1, 2, 10] {
        assert_eq!(listed(at(1_000), limit).await, early);
    }
    assert_eq!(store.guests(at(1_000), None, 0).await.unwrap(), []);
    assert_eq!(store.guests(at(0), None, 10).await.unwrap(), []);
    // One who is deleted meanwhile is still a place in the list.
    let page = store.guests(at(2_000), None, 2).await.unwrap();
    store.delete_user(&page[1], at(1_000)).await.unwrap();
    let rest = store.guests(at(2_000), Some(&page[1]), 10).await.unwrap();
    assert!(rest.len() == 2 && rest.contains(&later), "{rest:?}");
    early.retain(|guest| *guest != page[1]);
    assert_eq!(listed(at(1_000), 10).await, early);
    let nobody = "nobody".parse().unwrap();
    assert_error!(
        store.guests(at(0), Some(&nobody), 1).await,
        StoreError::Invalid { field: "after", .. }
    );
}

async fn a_deleted_user_is_nobody(fixture: Fixture) {
    let store = &fixture.store;
    let ann = store
        .create_user(with_email("ann", "ann@example.org"), now())
        .await
        .unwrap()
        .id;
    let bob = fixture.user("bob").await;
    let own = fixture.room(RoomKind::Private, &[&ann, &bob]).await;
    let other = fixture.room(RoomKind::Public, &[&bob, &ann]).await;
    let direct = store.direct_room(&ann, &bob, now()).await.unwrap().room.id;
    fixture.send(&other, &ann, "hello").await;
    store.block(&bob, &ann, now()).await.unwrap();
    let left = store.delete_user(&ann, now()).await.unwrap();
    let mut left: Vec<_> = left
        .into_iter()
        .map(|departure| (departure.room, departure.removal.new_owner))
        .collect();
    left.sort();
    assert_eq!(
        left,
        [
            (own.clone(), Some(bob.clone())),
            (other.clone(), None),
            (direct, None)
        ]
    );
    // Nothing is left of the person.
    assert_error!(store.user(&ann).await, StoreError::NotFound);
    assert!(store.credentials("ann").await.unwrap().is_none());
    assert!(store.credentials("deleted").await.unwrap().is_none());
    assert_error!(store.delete_user(&ann, now()).await, StoreError::NotFound);
    for query in ["ann", "del", "a", "d"] {
        assert_eq!(
            store.find_users(query, None, 10).await.unwrap().items,
            [],
            "{query}"
        );
    }
    assert_eq!(store.blocked_by(&bob).await.unwrap(), []);
    assert_error!(
        fixture.append(&other, &ann, crate::send("x")).await,
        StoreError::NotFound
    );
    // The rooms go on.
    let room = store.room(&own, Some(&bob)).await.unwrap();
    assert_eq!(
        (room.member_count, room.viewer.unwrap().role),
        (1, RoomRole::Owner)
    );
    let message = store.message(&other, 1, None).await.unwrap();
    assert_eq!(
        (message.body.as_str(), message.sender.display_name.as_str()),
        ("hello", "deleted")
    );
    assert_eq!(message.sender.id, ann);
    // The name is free, and another deletion doesn't collide.
    let second = store
        .create_user(with_email("ann", "ann@example.org"), now())
        .await
        .unwrap()
        .id;
    store.delete_user(&second, now()).await.unwrap();
}

async fn blocks_work_both_ways(fixture: Fixture) {
    let store = &fixture.store;
    let ann = fixture.user("ann").await;
    let bob = fixture.user("bob").await;
    let eve = fixture.user("eve").await;
    assert!(store.block(&ann, &bob, now()).await.unwrap());
    assert!(!store.block(&ann, &bob, now()).await.unwrap());
    assert_eq!(
        store.blocked_by(&ann).await.unwrap(),
        std::slice::from_ref(&bob)
    );
    assert_eq!(store.blocked_by(&bob).await.unwrap(), []);
    for (one, other, blocked) in [(&ann, &bob, true), (&bob, &ann, true), (&ann, &eve, false)] {
        assert_eq!(store.is_blocked(one, other).await.unwrap(), blocked);
    }
    assert!(!store.unblock(&bob, &ann).await.unwrap());
    assert!(store.unblock(&ann, &bob).await.unwrap());
    assert!(!store.is_blocked(&ann, &bob).await.unwrap());
    let nobody = "nobody".parse().unwrap();
    assert_error!(
        store.block(&ann, &nobody, now()).await,
        StoreError::NotFound
    );
    assert_error!(
        store.block(&ann, &ann, now()).await,
        StoreError::Conflict {
            field: "userId",
            ..
        }
    );
}

/// In the embedded store alone, where a thousand accounts are quickly made. For MongoDB it is beside the code.
#[tokio::test]
async fn a_user_blocks_a_thousand_at_most() {
    let fixture = Fixture::embedded().await;
    let ann = fixture.user("ann").await;
    let mut last = Ok(false);
    for _ in 0..=1_000 {
        let guest = fixture
            .store
            .create_guest("Guest".to_owned(), now())
            .await
            .unwrap();
        last = fixture.store.block(&ann, &guest.id, now()).await;
    }
    assert_error!(
        last,
        StoreError::Conflict {
            field: "userId",
            ..
        }
    );
    let blocked = fixture.store.blocked_by(&ann).await.unwrap();
    assert_eq!(blocked.len(), 1_000);
    // One who is blocked already is no new one.
    assert!(!fixture.store.block(&ann, &blocked[0], now()).await.unwrap());
    // Who is deleted leaves a place.
    fixture.store.delete_user(&blocked[0], now()).await.unwrap();
    let eve = fixture.user("eve").await;
    assert!(fixture.store.block(&ann, &eve, now()).await.unwrap());
}

fn external(issued_at: i64, name: Option<&str>, role: Option<Role>) -> ExternalUser {
    ExternalUser {
        id: UserId::trusted("xAbc-123"),
        display_name: name.map(str::to_owned),
        role,
        issued_at: at(issued_at),
    }
}

async fn a_user_of_another_application_is_one_and_as_the_latest_token_says(fixture: Fixture) {
    let store = &fixture.store;
    let sign_in = async |user: ExternalUser| {
        let signed_in = store.sign_in_external(user, now()).await;
        signed_in.map(|signed_in| signed_in.user)
    };
    let first = external(10, Some("Ann"), Some(Role::Admin));
    let at_once = (0..8).map(|_| sign_in(first.clone()));
    let made = futures_util::future::join_all(at_once).await;
    let ann = made[0].as_ref().unwrap().clone();
    assert!(made.iter().all(|other| *other.as_ref().unwrap() == ann));
    assert_eq!((ann.role, ann.guest), (Role::Admin, false));
    assert_eq!(store.user(&ann.id).await.unwrap(), ann);
    assert!(
        store
            .credentials_of(&ann.id)
            .await
            .unwrap()
            .password_hash
            .is_none()
    );
    // Earlier ones change nothing, later ones what they say.
    let later = sign_in(external(30, Some("Anna"), Some(Role::User)))
        .await
        .unwrap();
    assert_eq!(
        (later.display_name.as_str(), later.role),
        ("Anna", Role::User)
    );
    let same = sign_in(external(20, Some("Ann"), Some(Role::Admin)))
        .await
        .unwrap();
    assert_eq!(same, later);
    let silent = sign_in(external(40, None, None)).await.unwrap();
    assert_eq!(
        (silent.display_name.as_str(), silent.role),
        ("Anna", Role::User)
    );
    let found = store.find_users("anna", None, 10).await.unwrap().items;
    assert_eq!(found.len(), 1);
    // A later one with the same role counts too, or one in between would give back what it took.
    sign_in(external(60, Some("Anna"), Some(Role::User)))
        .await
        .unwrap();
    let between = sign_in(external(50, Some("Anna"), Some(Role::Admin)))
        .await
        .unwrap();
    assert_eq!(between.role, Role::User);
    // Of two that were issued at the same time the lower role holds.
    let twin = sign_in(external(60, Some("Anna"), Some(Role::Admin)))
        .await
        .unwrap();
    assert_eq!(twin.role, Role::User);
    sign_in(external(61, Some("Anna"), Some(Role::Admin)))
        .await
        .unwrap();
    let twin = sign_in(external(61, Some("Anna"), Some(Role::Staff)))
        .await
        .unwrap();
    assert_eq!(twin.role, Role::Staff);
    // What nobody sees is told to nobody.
    for (at, name, shown) in [(62, "Anna", false), (63, "Ann", true), (63, "Eve", false)] {
        let user = external(at, Some(name), Some(Role::Staff));
        let signed_in = store.sign_in_external(user, now()).await.unwrap();
        assert_eq!(signed_in.shown, shown, "{name} at {at}");
    }
    store.end_external_tokens(&ann.id, at(70)).await.unwrap();
    store.end_external_tokens(&ann.id, at(65)).await.unwrap();
    let known = store.user(&ann.id).await.unwrap();
    assert_eq!(known.external.unwrap().valid_from, at(70));
    let local = store.create_user(new_user("bob"), now()).await.unwrap();
    assert_error!(
        store.end_external_tokens(&local.id, at(70)).await,
        StoreError::NotFound
    );
    store.delete_user(&ann.id, now()).await.unwrap();
    assert_error!(
        sign_in(external(90, None, None)).await,
        StoreError::NotFound
    );
    assert_error!(
        store.end_external_tokens(&ann.id, at(90)).await,
        StoreError::NotFound
    );
}

async fn keys_of_other_programs_are_kept_until_they_are_revoked(fixture: Fixture) {
    let store = &fixture.store;
    let key = |name: &str, created: i64| StoredApiKey {
        id: ApiKeyId::trusted(name),
        name: format!("key {name}"),
        scopes: vec!["publish".to_owned(), "publish:/".to_owned()],
        hash: ApiKeyHash([name.as_bytes()[0]; 32]),
        created_at: at(created),
        last_used_at: None,
    };
    assert_eq!(store.api_keys().await.unwrap(), []);
    for one in [key("b", 2), key("a", 1)] {
        store.create_api_key(one).await.unwrap();
    }
    assert_eq!(store.api_keys().await.unwrap(), [key("a", 1), key("b", 2)]);
    let used = |ms| {
        vec![
            (ApiKeyId::trusted("a"), at(ms)),
            (ApiKeyId::trusted("x"), at(ms)),
        ]
    };
    store.touch_api_keys(used(9)).await.unwrap();
    store.touch_api_keys(used(8)).await.unwrap();
    assert_eq!(store.api_keys().await.unwrap()[0].last_used_at, Some(at(9)));
    store.delete_api_key(&ApiKeyId::trusted("a")).await.unwrap();
    assert_error!(
        store.delete_api_key(&ApiKeyId::trusted("a")).await,
        StoreError::NotFound
    );
    assert_eq!(store.api_keys().await.unwrap(), [key("b", 2)]);
    for number in 0..99 {
        let one = key(&format!("k{number}"), 3);
        store.create_api_key(one).await.unwrap();
    }
    assert_error!(
        store.create_api_key(key("z", 4)).await,
        StoreError::Conflict { field: "keys", .. }
    );
}
