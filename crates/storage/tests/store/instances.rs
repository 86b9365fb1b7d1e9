//! Several instances on one database: what one does, the others see.

use futures_util::{StreamExt, stream};
use protocol::{RoomKind, RoomRole};
use storage::StoreError;

use crate::{Fixture, assert_error, new_user, now};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_unique_is_so_among_all() {
    let fixture = Fixture::mongodb().await;
    let (here, there) = (&fixture.store, &fixture.another_instance().await);
    let (one, other) = tokio::join!(
        here.create_user(new_user("ann"), now()),
        there.create_user(new_user("Ann"), now()),
    );
    assert!(one.is_ok() != other.is_ok());
    let ann = one.or(other).unwrap().id;
    let bob = fixture.user("bob").await;
    let (one, other) = tokio::join!(
        here.direct_room(&ann, &bob, now()),
        there.direct_room(&bob, &ann, now()),
    );
    let (one, other) = (one.unwrap(), other.unwrap());
    assert_eq!(one.room.id, other.room.id);
    assert_eq!(
        one.joined.len() + other.joined.len(),
        1,
        "one of them made it"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_that_joins_at_once_is_counted_right() {
    const CROWD: u64 = 60;
    let fixture = Fixture::mongodb().await;
    let (here, there) = (&fixture.store, &fixture.another_instance().await);
    let ann = fixture.user("ann").await;
    let room = fixture.room(RoomKind::Public, &[&ann]).await;
    let join = async |number| {
        let user = fixture.user(&format!("user{number}")).await;
        // Each twice, on two instances at once.
        let (one, other) = tokio::join!(
            here.add_member(&room, &user, RoomRole::Member, now()),
            there.add_member(&room, &user, RoomRole::Member, now()),
        );
        assert!(one.unwrap() != other.unwrap());
        let rooms = here.room_ids(&user, None, 10).await.unwrap();
        assert_eq!(rooms.items, std::slice::from_ref(&room));
    };
    stream::iter(0..CROWD)
        .map(join)
        .buffer_unordered(20)
        .collect::<()>()
        .await;
    for store in [here, there] {
        let counted = store.room(&room, None).await.unwrap().member_count;
        assert_eq!(counted, CROWD + 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_has_changed_is_known_once_it_is_told() {
    let fixture = Fixture::mongodb().await;
    let (here, there) = (&fixture.store, &fixture.another_instance().await);
    let ann = fixture.user("ann").await;
    let bob = fixture.user("bob").await;
    let room = fixture.room(RoomKind::Public, &[&ann, &bob]).await;
    let role = async || here.membership(&room, &bob).await.unwrap().role;
    let count = async || here.room(&room, None).await.unwrap().member_count;
    assert_eq!((role().await, count().await), (Some(RoomRole::Member), 2));
    there
        .set_member_role(&room, &bob, RoomRole::Moderator)
        .await
        .unwrap();
    here.forget_member(&room, &bob);
    assert_eq!(role().await, Some(RoomRole::Moderator));
    there.remove_member(&room, &bob).await.unwrap();
    here.forget_everything();
    assert_eq!((role().await, count().await), (None, 1));
    // Who wasn't a member is asked for each time: nobody needs to be told.
    there
        .add_member(&room, &bob, RoomRole::Member, now())
        .await
        .unwrap();
    assert_eq!(role().await, Some(RoomRole::Member));
    there.delete_room(&room, &ann, now()).await.unwrap();
    here.forget_room(&room);
    assert_error!(here.membership(&room, &bob).await, StoreError::NotFound);
    there.delete_user(&bob, now()).await.unwrap();
    here.forget_user(&bob);
    assert_error!(here.room_ids(&bob, None, 1).await, StoreError::NotFound);
}
