//! Rooms, public, private and direct.

use std::sync::Arc;

use protocol::{RoomId, RoomKind, RoomRole};
use storage::{MadeRoom, NewRoom, StoreError};

use crate::{Fixture, assert_error, at, now, send};

on_each! {
    a_room_begins_with_its_owner_and_members,
    a_room_is_refused_whole,
    two_people_have_one_direct_room,
    a_direct_room_stays_that_of_its_two,
    public_rooms_are_found_by_part_of_their_name,
    a_renamed_room_is_found_by_its_new_name,
    a_deleted_room_is_gone_at_once,
    my_rooms_are_paged_with_what_is_unread,
}

fn new_room(kind: RoomKind, name: &str, owner: &protocol::UserId) -> NewRoom {
    NewRoom {
        kind,
        name: name.to_owned(),
        owner: owner.clone(),
        members: Vec::new(),
    }
}

async fn a_room_begins_with_its_owner_and_members(fixture: Fixture) {
    let store = &fixture.store;
    let ann = fixture.user("ann").await;
    let bob = fixture.user("bob").await;
    let eve = fixture.user("eve").await;
    let mut new = new_room(RoomKind::Private, "Garden", &ann);
    new.members = vec![bob.clone(), ann.clone(), bob.clone()];
    let MadeRoom { room, joined } = store.create_room(new, at(0)).await.unwrap();
    // Once, however often it was asked for, and without its owner.
    assert_eq!(joined, std::slice::from_ref(&bob));
    assert_eq!(
        (room.kind, room.name.as_str()),
        (RoomKind::Private, "Garden")
    );
    assert_eq!(
        (room.created_at, room.member_count, room.head_seq),
        (at(0), 2, 0)
    );
    let viewer = room.viewer.clone().unwrap();
    assert_eq!(
        (viewer.role, viewer.read_seq, viewer.unread),
        (RoomRole::Owner, 0, 0)
    );
    assert_eq!(room.peer, None);
    assert_eq!(store.room(&room.id, Some(&ann)).await.unwrap(), room);
    let seen = store.room(&room.id, Some(&bob)).await.unwrap();
    assert_eq!(seen.viewer.unwrap().role, RoomRole::Member);
    assert_eq!(store.room(&room.id, Some(&eve)).await.unwrap().viewer, None);
    assert_eq!(store.room(&room.id, None).await.unwrap().viewer, None);
    assert_eq!(fixture.role(&room.id, &bob).await, Some(RoomRole::Member));
    assert_eq!(fixture.role(&room.id, &eve).await, None);
    assert_eq!(
        fixture.role(&room.id, &"nobody".parse().unwrap()).await,
        None
    );
    let nowhere = "nowhere".parse().unwrap();
    assert_error!(store.room(&nowhere, None).await, StoreError::NotFound);
    assert_error!(store.membership(&nowhere, &ann).await, StoreError::NotFound);
    let fixture = fixture.reopened().await;
    assert_eq!(
        fixture.store.room(&room.id, Some(&ann)).await.unwrap(),
        room
    );
}

async fn a_room_is_refused_whole(fixture: Fixture) {
    let store = &fixture.store;
    let ann = fixture.user("ann").await;
    let bob = fixture.user("bob").await;
    let eve = fixture.user("eve").await;
    store.block(&eve, &ann, now()).await.unwrap();
    let with = |members: &[&protocol::UserId]| {
        let mut room = new_room(RoomKind::Public, "Garden", &ann);
        room.members = members.iter().map(|id| (*id).clone()).collect();
        room
    };
    let nobody = "nobody".parse().unwrap();
    assert_error!(
        store.create_room(with(&[&bob, &nobody]), now()).await,
        StoreError::Conflict {
            field: "members",
            ..
        }
    );
    assert_error!(
        store.create_room(with(&[&bob, &eve]), now()).await,
        StoreError::Forbidden
    );
    assert_error!(
        store
            .create_room(new_room(RoomKind::Direct, "", &ann), now())
            .await,
        StoreError::Invalid { field: "kind", .. }
    );
    let of_nobody = new_room(RoomKind::Public, "Garden", &nobody);
    assert_error!(
        store.create_room(of_nobody, now()).await,
        StoreError::NotFound
    );
    assert_eq!(
        store
            .public_rooms(None, None, 10, None)
            .await
            .unwrap()
            .items,
        []
    );
    assert_eq!(store.room_ids(&bob, None, 10).await.unwrap().items, []);
}

async fn two_people_have_one_direct_room(fixture: Fixture) {
    let fixture = Arc::new(fixture);
    let ann = fixture.user("ann").await;
    let bob = fixture.user("bob").await;
    let eve = fixture.user("eve").await;
    let tasks: Vec<_> = (0..20)
        .map(|number| {
            let store = fixture.store.clone();
            let (one, other) = if number % 2 == 0 {
                (&ann, &bob)
            } else {
                (&bob, &ann)
            };
            let (one, other) = (one.clone(), other.clone());
            tokio::spawn(async move { store.direct_room(&one, &other, now()).await.unwrap() })
        })
        .collect();
    let mut rooms = Vec::new();
    let mut created = 0;
    for task in tasks {
        let made = task.await.unwrap();
        created += made.joined.len();
        rooms.push(made.room.id);
    }
    rooms.dedup();
    assert_eq!((rooms.len(), created), (1, 1));
    let store = &fixture.store;
    let room = store.room(&rooms[0], Some(&ann)).await.unwrap();
    assert_eq!(
        (room.kind, room.name.as_str(), room.member_count),
        (RoomKind::Direct, "", 2)
    );
    assert_eq!(room.peer.unwrap().display_name, "Bob");
    let room = store.room(&rooms[0], Some(&bob)).await.unwrap();
    assert_eq!(room.peer.unwrap().id, ann);
    assert_eq!(store.room(&rooms[0], Some(&eve)).await.unwrap().peer, None);
    let other = store.direct_room(&ann, &eve, now()).await.unwrap();
    assert_eq!(other.joined, std::slice::from_ref(&eve));
    assert!(other.room.id != rooms[0]);
    assert_error!(
        store.direct_room(&ann, &ann, now()).await,
        StoreError::Invalid {
            field: "members",
            ..
        }
    );
    let nobody = "nobody".parse().unwrap();
    assert_error!(
        store.direct_room(&ann, &nobody, now()).await,
        StoreError::NotFound
    );
}

async fn a_direct_room_stays_that_of_its_two(fixture: Fixture) {
    let store = &fixture.store;
    let ann = fixture.user("ann").await;
    let bob = fixture.user("bob").await;
    let eve = fixture.user("eve").await;
    let room = store.direct_room(&ann, &bob, now()).await.unwrap().room.id;
    let added = store.add_member(&room, &eve, RoomRole::Member, now()).await;
    assert_error!(added, StoreError::Forbidden);
    assert_error!(
        store.rename_room(&room, "Us".to_owned()).await,
        StoreError::Forbidden
    );
    assert_error!(
        store.delete_room(&room, &ann, now()).await,
        StoreError::Forbidden
    );
    let promoted = store.set_member_role(&room, &ann, RoomRole::Owner).await;
    assert_error!(promoted, StoreError::Forbidden);
    // Who leaves comes back into the same room.
    fixture.send(&room, &ann, "hello").await;
    assert_eq!(
        store.remove_member(&room, &bob).await.unwrap().new_owner,
        None
    );
    assert_error!(
        fixture.append(&room, &bob, send("hi")).await,
        StoreError::NotFound
    );
    let again = store.direct_room(&ann, &bob, now()).await.unwrap();
    assert_eq!((&again.room.id, again.room.member_count), (&room, 2));
    assert_eq!(again.joined, std::slice::from_ref(&bob));
    let again = store.direct_room(&ann, &bob, now()).await.unwrap();
    assert_eq!(again.joined, []);
    // Who comes back by asking for it is one who joined.
    store.remove_member(&room, &ann).await.unwrap();
    let again = store.direct_room(&ann, &bob, now()).await.unwrap();
    assert_eq!(again.joined, std::slice::from_ref(&ann));
    fixture.send(&room, &bob, "hi").await;
    // A block closes it to both.
    store.block(&bob, &ann, now()).await.unwrap();
    assert_error!(
        store.direct_room(&ann, &bob, now()).await,
        StoreError::Forbidden
    );
    assert_error!(
        store.direct_room(&bob, &ann, now()).await,
        StoreError::Forbidden
    );
}

async fn public_rooms_are_found_by_part_of_their_name(fixture: Fixture) {
    let store = &fixture.store;
    let ann = fixture.user("ann").await;
    let bob = fixture.user("bob").await;
    let mut ids: Vec<RoomId> = Vec::new();
    for name in [
        "Rust news",
        "Trust & safety",
        "Go",
        "ÉCOLE",
        "100%",
        "王小明之家",
    ] {
        let room = new_room(RoomKind::Public, name, &ann);
        ids.push(store.create_room(room, now()).await.unwrap().room.id);
    }
    store
        .create_room(new_room(RoomKind::Private, "Rust secrets", &ann), now())
        .await
        .unwrap();
    store.direct_room(&ann, &bob, now()).await.unwrap();
    assert!(ids.is_sorted());
    let found = async |query: Option<&str>| {
        let page = store
            .public_rooms(query, None, 10, Some(&bob))
            .await
            .unwrap();
        page.items
            .into_iter()
            .map(|room| room.name)
            .collect::<Vec<_>>()
    };
    for (query, wanted) in [
        (
            None,
            &[
                "Rust news",
                "Trust & safety",
                "Go",
                "ÉCOLE",
                "100%",
                "王小明之家",
            ][..],
        ),
        (Some("rust"), &["Rust news", "Trust & safety"]),
        (Some("t & s"), &["Trust & safety"]),
        (Some("go"), &["Go"]),
        (Some("g"), &["Go"]),
        (Some("o"), &[]),
        (Some("éc"), &["ÉCOLE"]),
        (Some("école"), &["ÉCOLE"]),
        (Some("ecole"), &["ÉCOLE"]),
        (Some("ec"), &["ÉCOLE"]),
        (Some("小"), &["王小明之家"]),
        (Some("明之"), &["王小明之家"]),
        (Some("%"), &[]),
        (Some("00%"), &["100%"]),
        (Some("secret"), &[]),
    ] {
        assert_eq!(found(query).await, wanted, "{query:?}");
    }
    for query in [None, Some("")] {
        let mut seen: Vec<RoomId> = Vec::new();
        loop {
            let page = store
                .public_rooms(query, seen.last(), 2, None)
                .await
                .unwrap();
            seen.extend(page.items.into_iter().map(|room| room.id));
            if !page.has_more {
                break;
            }
        }
        assert_eq!(seen, ids);
    }
    // What the last page ended with may be gone by now.
    for (gone, has_rooms) in [("0", true), ("zzz", false)] {
        let gone = gone.parse().unwrap();
        let page = store.public_rooms(None, Some(&gone), 2, None).await;
        assert_eq!(!page.unwrap().items.is_empty(), has_rooms);
    }
    let page = store
        .public_rooms(Some("rust"), None, 1, Some(&ann))
        .await
        .unwrap();
    assert!(page.has_more);
    assert_eq!(page.items[0].viewer.as_ref().unwrap().role, RoomRole::Owner);
}

async fn a_renamed_room_is_found_by_its_new_name(fixture: Fixture) {
    let store = &fixture.store;
    let ann = fixture.user("ann").await;
    let public = fixture.room(RoomKind::Public, &[&ann]).await;
    let private = fixture.room(RoomKind::Private, &[&ann]).await;
    for room in [&public, &private] {
        store.rename_room(room, "Kitchen".to_owned()).await.unwrap();
        assert_eq!(store.room(room, None).await.unwrap().name, "Kitchen");
    }
    for (query, wanted) in [("kitchen", 1), ("ki", 1), ("room", 0), ("ro", 0)] {
        let page = store
            .public_rooms(Some(query), None, 10, None)
            .await
            .unwrap();
        assert_eq!(page.items.len(), wanted, "{query}");
    }
    let nowhere = "nowhere".parse().unwrap();
    let missing = store.rename_room(&nowhere, "Kitchen".to_owned()).await;
    assert_error!(missing, StoreError::NotFound);
}

async fn a_deleted_room_is_gone_at_once(fixture: Fixture) {
    let store = &fixture.store;
    let ann = fixture.user("ann").await;
    let bob = fixture.user("bob").await;
    let eve = fixture.user("eve").await;
    let room = fixture.room(RoomKind::Public, &[&ann, &bob]).await;
    let other = fixture.room(RoomKind::Public, &[&ann, &bob]).await;
    fixture.send(&room, &ann, "hello").await;
    fixture.send(&other, &ann, "hello").await;
    assert_error!(
        store.delete_room(&room, &bob, now()).await,
        StoreError::Forbidden
    );
    assert_error!(
        store.delete_room(&room, &eve, now()).await,
        StoreError::NotFound
    );
    store.delete_room(&room, &ann, now()).await.unwrap();
    assert_error!(
        store.delete_room(&room, &ann, now()).await,
        StoreError::NotFound
    );
    assert_error!(store.room(&room, Some(&ann)).await, StoreError::NotFound);
    assert_error!(store.membership(&room, &ann).await, StoreError::NotFound);
    assert_error!(store.head(&room).await, StoreError::NotFound);
    assert_error!(
        store.history(&room, None, None, 10, None).await,
        StoreError::NotFound
    );
    assert_error!(
        store.events(&room, 0, 10, 10, None).await,
        StoreError::NotFound
    );
    assert_error!(
        store.search(&room, "hello", None, 10, None).await,
        StoreError::NotFound
    );
    assert_error!(store.members(&room, None, 10).await, StoreError::NotFound);
    assert_error!(store.unread_for(&room, &[]).await, StoreError::NotFound);
    assert_error!(store.set_read(&room, &bob, 1).await, StoreError::NotFound);
    assert_error!(store.remove_member(&room, &bob).await, StoreError::NotFound);
    assert_error!(
        fixture.append(&room, &ann, send("x")).await,
        StoreError::NotFound
    );
    assert_eq!(
        store.room_ids(&bob, None, 10).await.unwrap().items,
        std::slice::from_ref(&other)
    );
    let mine = store.my_rooms(&bob, None, 10).await.unwrap().items;
    assert_eq!(
        mine.iter().map(|room| &room.id).collect::<Vec<_>>(),
        [&other]
    );
    let public = store
        .public_rooms(Some("room"), None, 10, None)
        .await
        .unwrap()
        .items;
    assert_eq!(
        public.iter().map(|room| &room.id).collect::<Vec<_>>(),
        [&other]
    );
    // The other room kept everything.
    assert_eq!(fixture.log(&other).await.len(), 1);
    assert_eq!(
        store
            .search(&other, "hello", None, 10, None)
            .await
            .unwrap()
            .items
            .len(),
        1
    );
}

async fn my_rooms_are_paged_with_what_is_unread(fixture: Fixture) {
    let store = &fixture.store;
    let ann = fixture.user("ann").await;
    let bob = fixture.user("bob").await;
    let mut rooms = Vec::new();
    for number in 0..5 {
        let room = fixture.room(RoomKind::Private, &[&ann, &bob]).await;
        for _ in 0..number {
            fixture.send(&room, &ann, "hello").await;
        }
        rooms.push(room);
    }
    fixture.room(RoomKind::Public, &[&ann]).await;
    let direct = store.direct_room(&ann, &bob, now()).await.unwrap().room.id;
    rooms.push(direct);
    let mut seen = Vec::new();
    let mut after: Option<RoomId> = None;
    loop {
        let page = store.my_rooms(&bob, after.as_ref(), 4).await.unwrap();
        after = page.items.last().map(|room| room.id.clone());
        seen.extend(page.items);
        if !page.has_more {
            break;
        }
    }
    let ids: Vec<_> = seen.iter().map(|room| room.id.clone()).collect();
    assert_eq!(ids, rooms);
    let unread: Vec<_> = seen
        .iter()
        .map(|room| room.viewer.as_ref().unwrap().unread)
        .collect();
    assert_eq!(unread, [0, 1, 2, 3, 4, 0]);
    assert_eq!(seen[5].peer.as_ref().unwrap().display_name, "Ann");
    assert_eq!(seen[4].head_seq, 4);
    let page = store.room_ids(&bob, Some(&rooms[3]), 1).await.unwrap();
    assert_eq!((page.items, page.has_more), (vec![rooms[4].clone()], true));
    let nobody = "nobody".parse().unwrap();
    assert_error!(
        store.my_rooms(&nobody, None, 10).await,
        StoreError::NotFound
    );
}
