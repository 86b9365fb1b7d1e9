//! Who is in a room, and as what.

use protocol::{RoomKind, RoomRole, UserId};
use storage::{NewUser, SMALL_ROOM, StoreError};

use crate::{Fixture, assert_error, at, new_user, now};

on_each! {
    members_come_and_go_and_are_counted,
    joining_at_once_counts_once,
    a_room_always_has_an_owner,
    what_one_is_to_many_rooms_is_read_at_once,
    members_are_listed_in_pages_in_the_order_of_their_ids,
    members_are_found_by_their_names,
    members_of_a_large_room_are_found_by_their_names,
    members_are_told_from_others,
    members_are_told_from_others_in_many_rooms_at_once,
}

async fn members_come_and_go_and_are_counted(fixture: Fixture) {
    let store = &fixture.store;
    let ann = fixture.user("ann").await;
    let bob = fixture.user("bob").await;
    let room = fixture.room(RoomKind::Public, &[&ann]).await;
    assert!(
        store
            .add_member(&room, &bob, RoomRole::Moderator, now())
            .await
            .unwrap()
    );
    // Who is in it keeps the role.
    assert!(
        !store
            .add_member(&room, &bob, RoomRole::Member, now())
            .await
            .unwrap()
    );
    assert_eq!(fixture.role(&room, &bob).await, Some(RoomRole::Moderator));
    assert_eq!(store.room(&room, None).await.unwrap().member_count, 2);
    store.remove_member(&room, &bob).await.unwrap();
    assert_error!(store.remove_member(&room, &bob).await, StoreError::NotFound);
    assert_eq!(fixture.role(&room, &bob).await, None);
    assert_eq!(store.room(&room, None).await.unwrap().member_count, 1);
    let nobody = "nobody".parse().unwrap();
    let nowhere = "nowhere".parse().unwrap();
    let role = RoomRole::Member;
    assert_error!(
        store.add_member(&room, &nobody, role, now()).await,
        StoreError::NotFound
    );
    assert_error!(
        store.add_member(&nowhere, &bob, role, now()).await,
        StoreError::NotFound
    );
    assert_error!(
        store.remove_member(&room, &nobody).await,
        StoreError::NotFound
    );
    assert_eq!(store.room(&room, None).await.unwrap().member_count, 1);
}

async fn what_one_is_to_many_rooms_is_read_at_once(fixture: Fixture) {
    let store = &fixture.store;
    let ann = fixture.user("ann").await;
    let bob = fixture.user("bob").await;
    let own = fixture.room(RoomKind::Private, &[&bob, &ann]).await;
    let others = fixture.room(RoomKind::Private, &[&ann]).await;
    let public = fixture.room(RoomKind::Public, &[&ann]).await;
    let direct = store.direct_room(&ann, &bob, now()).await.unwrap().room.id;
    let deleted = fixture.room(RoomKind::Public, &[&ann, &bob]).await;
    store.delete_room(&deleted, &ann, now()).await.unwrap();
    let nowhere: protocol::RoomId = "nowhere".parse().unwrap();
    let rooms = [public, own, nowhere, others, deleted, direct];
    let read = async |user: &UserId| {
        let memberships = store.memberships(user, &rooms).await.unwrap();
        let pair = |membership: storage::Membership| (membership.kind, membership.role);
        memberships
            .into_iter()
            .map(|membership| membership.map(pair))
            .collect::<Vec<_>>()
    };
    let expected = [
        Some((RoomKind::Public, None)),
        Some((RoomKind::Private, Some(RoomRole::Owner))),
        None,
        Some((RoomKind::Private, None)),
        None,
        Some((RoomKind::Direct, Some(RoomRole::Member))),
    ];
    assert_eq!(read(&bob).await, expected);
    // As it is now, however short ago it was asked.
    store.remove_member(&rooms[1], &bob).await.unwrap();
    let role = RoomRole::Moderator;
    store
        .add_member(&rooms[3], &bob, role, now())
        .await
        .unwrap();
    let now = read(&bob).await;
    assert_eq!(now[1], Some((RoomKind::Private, None)));
    assert_eq!(now[3], Some((RoomKind::Private, Some(role))));
    for (room, read) in rooms.iter().zip(now) {
        let alone = store.membership(room, &bob).await.ok();
        assert_eq!(read, alone.map(|alone| (alone.kind, alone.role)));
    }
    assert_eq!(store.memberships(&bob, &[]).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_that_asks_at_once_is_answered() {
    let fixture = Fixture::embedded().await;
    let store = &fixture.store;
    let ann = fixture.user("ann").await;
    let mut rooms = Vec::new();
    for _ in 0..20 {
        rooms.push(fixture.room(RoomKind::Private, &[&ann]).await);
    }
    let asking = (0..10_000).map(|_| store.memberships(&ann, &rooms));
    for answer in futures_util::future::join_all(asking).await {
        let memberships = answer.unwrap();
        assert!(memberships.iter().flatten().count() == 20);
    }
}

async fn joining_at_once_counts_once(fixture: Fixture) {
    let ann = fixture.user("ann").await;
    let bob = fixture.user("bob").await;
    let room = fixture.room(RoomKind::Public, &[&ann]).await;
    let join = || {
        fixture
            .store
            .add_member(&room, &bob, RoomRole::Member, now())
    };
    let (one, two, three) = tokio::join!(join(), join(), join());
    let new = [one, two, three]
        .into_iter()
        .filter(|added| *added.as_ref().unwrap())
        .count();
    assert_eq!(new, 1);
    assert_eq!(
        fixture.store.room(&room, None).await.unwrap().member_count,
        2
    );
}

async fn a_room_always_has_an_owner(fixture: Fixture) {
    let store = &fixture.store;
    let ann = fixture.user("ann").await;
    let room = fixture.room(RoomKind::Public, &[&ann]).await;
    let mut others: Vec<UserId> = Vec::new();
    for (number, role) in [
        RoomRole::Member,
        RoomRole::Member,
        RoomRole::Moderator,
        RoomRole::Moderator,
    ]
    .into_iter()
    .enumerate()
    {
        let user = fixture.user(&format!("user{number}")).await;
        // The later ones have been there longer.
        let joined = at(10 - i64::try_from(number).unwrap());
        store.add_member(&room, &user, role, joined).await.unwrap();
        others.push(user);
    }
    assert_error!(
        store.set_member_role(&room, &ann, RoomRole::Member).await,
        StoreError::Conflict { field: "role", .. }
    );
    assert_eq!(fixture.role(&room, &ann).await, Some(RoomRole::Owner));
    store
        .set_member_role(&room, &others[0], RoomRole::Owner)
        .await
        .unwrap();
    store
        .set_member_role(&room, &ann, RoomRole::Member)
        .await
        .unwrap();
    let nobody = "nobody".parse().unwrap();
    let missing = store
        .set_member_role(&room, &nobody, RoomRole::Member)
        .await;
    assert_error!(missing, StoreError::NotFound);
    store
        .set_member_role(&room, &ann, RoomRole::Owner)
        .await
        .unwrap();
    // One of two owners goes: nothing else changes. The last goes: the moderators, then the rest.
    for (leaving, successor) in [
        (&ann, None),
        (&others[0], Some(&others[3])),
        (&others[3], Some(&others[2])),
        (&others[2], Some(&others[1])),
        (&others[1], None),
    ] {
        let removal = store.remove_member(&room, leaving).await.unwrap();
        assert_eq!(removal.new_owner.as_ref(), successor);
        if let Some(successor) = successor {
            assert_eq!(fixture.role(&room, successor).await, Some(RoomRole::Owner));
        }
    }
    assert_eq!(store.room(&room, None).await.unwrap().member_count, 0);
}

async fn members_are_listed_in_pages_in_the_order_of_their_ids(fixture: Fixture) {
    let store = &fixture.store;
    let mut users = Vec::new();
    for number in 0..7 {
        users.push(fixture.user(&format!("user{number}")).await);
    }
    // Added in another order than they came.
    let room = fixture.room(RoomKind::Public, &[&users[3]]).await;
    for user in users.iter().rev() {
        store
            .add_member(&room, user, RoomRole::Member, at(5))
            .await
            .unwrap();
    }
    fixture.send(&room, &users[0], "hello").await;
    store.set_read(&room, &users[0], 1).await.unwrap();
    let mut listed = Vec::new();
    let mut ids: Vec<UserId> = Vec::new();
    loop {
        let last = ids.last().cloned();
        let page = store.member_ids(&room, last.as_ref(), 3).await.unwrap();
        let members = store.members(&room, last.as_ref(), 3).await.unwrap();
        assert_eq!(members.has_more, page.has_more);
        ids.extend(page.items);
        listed.extend(members.items);
        if !page.has_more {
            break;
        }
    }
    assert_eq!(ids, users);
    assert_eq!(
        listed
            .iter()
            .map(|member| member.user.id.clone())
            .collect::<Vec<_>>(),
        users
    );
    assert_eq!(
        (listed[3].role, listed[4].role),
        (RoomRole::Owner, RoomRole::Member)
    );
    assert_eq!((listed[0].read_seq, listed[1].read_seq), (1, 0));
    assert_eq!(
        (listed[0].joined_at, listed[0].user.username.as_str()),
        (at(5), "user0")
    );
    let (first, last) = ("0".parse().unwrap(), "zzz".parse().unwrap());
    let page = store.member_ids(&room, Some(&first), 3).await.unwrap();
    assert_eq!(page.items, users[..3]);
    let page = store.member_ids(&room, Some(&last), 3).await.unwrap();
    assert_eq!((page.items, page.has_more), (vec![], false));
}

async fn members_are_found_by_their_names(fixture: Fixture) {
    let store = &fixture.store;
    let ann = fixture.user("ann").await;
    let mut members = vec![ann.clone()];
    for (username, display_name) in [
        ("bob", "Ánnika B."),
        ("cyd", "王小明"),
        ("dan", "Dan"),
        ("hannes", "Johannes"),
    ] {
        let user = NewUser {
            display_name: display_name.to_owned(),
            ..new_user(username)
        };
        members.push(store.create_user(user, now()).await.unwrap().id);
    }
    let [_, bob, cyd, dan, hannes] = &members[..] else {
        unreachable!()
    };
    let room = fixture
        .room(RoomKind::Public, &[&ann, bob, cyd, hannes])
        .await;
    let found = async |query: &str, after: Option<&UserId>, limit| {
        let page = store
            .find_members(&room, query, after, limit)
            .await
            .unwrap();
        let ids: Vec<UserId> = page.items.into_iter().map(|it| it.user.id).collect();
        (ids, page.has_more)
    };
    let all = (vec![ann.clone(), bob.clone(), hannes.clone()], false);
    assert_eq!(found("ANN", None, 10).await, all);
    assert_eq!(
        found("ann", None, 2).await,
        (vec![ann.clone(), bob.clone()], true)
    );
    assert_eq!(
        found("ann", Some(bob), 2).await,
        (vec![hannes.clone()], false)
    );
    assert_eq!(found("小明", None, 10).await, (vec![cyd.clone()], false));
    assert_eq!(found("dan", None, 10).await, (vec![], false), "{dan}");
    let nowhere = "nowhere".parse().unwrap();
    assert_error!(
        store.find_members(&nowhere, "ann", None, 10).await,
        StoreError::NotFound
    );
}

async fn members_of_a_large_room_are_found_by_their_names(fixture: Fixture) {
    let store = &fixture.store;
    let ann = fixture.user("ann").await;
    let room = fixture.room(RoomKind::Public, &[&ann]).await;
    for n in 0..=SMALL_ROOM {
        let guest = store
            .create_guest(format!("Visitor {n}"), now())
            .await
            .unwrap();
        store
            .add_member(&room, &guest.id, RoomRole::Member, now())
            .await
            .unwrap();
    }
    let zoe = fixture.user("zoe").await;
    fixture.user("zoella").await;
    let role = RoomRole::Member;
    store.add_member(&room, &zoe, role, now()).await.unwrap();
    let found = async |query: &str, after: Option<&UserId>, limit| {
        let page = store
            .find_members(&room, query, after, limit)
            .await
            .unwrap();
        let names: Vec<String> = page
            .items
            .into_iter()
            .map(|it| it.user.display_name)
            .collect();
        (names, page.has_more)
    };
    assert_eq!(found("zoe", None, 10).await, (vec!["Zoe".into()], false));
    assert_eq!(
        found("visitor 77", None, 3).await,
        (
            vec![
                "Visitor 77".into(),
                "Visitor 770".into(),
                "Visitor 771".into()
            ],
            true
        )
    );
}

async fn members_are_told_from_others(fixture: Fixture) {
    let store = &fixture.store;
    let [ann, bob, cyd, dan] = [
        fixture.user("ann").await,
        fixture.user("Bob").await,
        fixture.user("cyd").await,
        fixture.user("dan").await,
    ];
    let room = fixture.room(RoomKind::Private, &[&ann, &bob, &cyd]).await;
    let among = async |ids: &[UserId], names: &[&str]| {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let members = store.members_among(&room, ids, &names).await.unwrap();
        let mut ids: Vec<UserId> = members.into_iter().map(|it| it.user.id).collect();
        ids.sort();
        ids
    };
    let nobody: UserId = "nobody".parse().unwrap();
    assert_eq!(
        among(&[cyd.clone(), dan.clone(), nobody], &["bOB", "dan", "who"]).await,
        [bob.clone(), cyd.clone()]
    );
    assert_eq!(among(std::slice::from_ref(&ann), &["ANN"]).await, [ann]);
    assert_eq!(among(&[], &[]).await, []);
    let nowhere = "nowhere".parse().unwrap();
    assert_error!(
        store.members_among(&nowhere, &[bob], &[]).await,
        StoreError::NotFound
    );
}

async fn members_are_told_from_others_in_many_rooms_at_once(fixture: Fixture) {
    let store = &fixture.store;
    let ann = fixture.user("ann").await;
    let bob = fixture.user("bob").await;
    let nobody: UserId = "nobody".parse().unwrap();
    let both = fixture.room(RoomKind::Private, &[&ann, &bob]).await;
    let left = fixture.room(RoomKind::Public, &[&ann, &bob]).await;
    let deleted = fixture.room(RoomKind::Public, &[&ann, &bob]).await;
    let nowhere = "nowhere".parse().unwrap();
    // Remembered, and wrong a moment later.
    fixture.role(&left, &bob).await;
    store.remove_member(&left, &bob).await.unwrap();
    store.delete_room(&deleted, &ann, now()).await.unwrap();
    let all = vec![ann.clone(), bob.clone(), nobody];
    let asked = [
        (left, all.clone()),
        (deleted, all.clone()),
        (both.clone(), all.clone()),
        (nowhere, all),
        (both, Vec::new()),
    ];
    let members = store.members_in_rooms(&asked).await.unwrap();
    let expected: [&[&UserId]; 5] = [&[&ann], &[], &[&ann, &bob], &[], &[]];
    let expected = expected.map(|users| users.iter().map(|user| (*user).clone()).collect());
    assert_eq!(members, expected);
    assert_eq!(store.members_in_rooms(&[]).await.unwrap(), []);
}
