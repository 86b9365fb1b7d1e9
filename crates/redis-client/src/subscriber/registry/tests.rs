use tokio::sync::oneshot;

use super::*;

type Confirmed = oneshot::Receiver<Result<(), RedisError>>;

fn subscribe(registry: &mut Registry, name: &str) -> Confirmed {
    let (done, confirmed) = oneshot::channel();
    registry.subscribe(Kind::Shard, name.into(), done);
    confirmed
}

/// Sends all that is to_send on a connection, as one command.
fn send(registry: &mut Registry, connection: u64, asked: &mut VecDeque<Asked>) -> usize {
    let to_send = std::mem::take(&mut registry.to_send);
    let to_send: Vec<Pending> = to_send
        .into_iter()
        .filter(|pending| registry.slot_of(pending).is_some())
        .collect();
    let names: Names = to_send
        .into_iter()
        .map(|pending| registry.sent(pending, connection))
        .collect();
    let count = names.len();
    if count > 0 {
        asked.push_back(Asked::Subscribe {
            kind: Kind::Shard,
            slot: 0,
            names,
        });
    }
    count
}

fn names(asked: Option<Asked>) -> Names {
    match asked {
        Some(Asked::Subscribe { names, .. }) => names,
        _ => panic!("not a subscription"),
    }
}

#[test]
fn a_confirmation_counts_for_the_wish_that_it_was_sent_for() {
    let (mut registry, mut asked) = (Registry::default(), VecDeque::new());
    let mut first = subscribe(&mut registry, "a");
    assert_eq!(send(&mut registry, 1, &mut asked), 1);
    registry.unsubscribe(Kind::Shard, "a".into());
    assert_eq!(registry.leaving.len(), 1);
    let mut second = subscribe(&mut registry, "a");
    assert_eq!(send(&mut registry, 1, &mut asked), 1);

    registry
        .confirmed(Kind::Shard, b"a", 1, &mut asked)
        .unwrap();
    assert!(first.try_recv().is_err() && second.try_recv().is_err());
    registry
        .confirmed(Kind::Shard, b"a", 1, &mut asked)
        .unwrap();
    assert_eq!(second.try_recv(), Ok(Ok(())));
    assert!(registry.interrupted.is_empty() && asked.is_empty());
    // Nobody asked for another one.
    assert!(
        registry
            .confirmed(Kind::Shard, b"a", 1, &mut asked)
            .is_err()
    );
}

#[test]
fn what_is_lost_is_told_when_it_works_again_and_not_before() {
    let (mut registry, mut asked) = (Registry::default(), VecDeque::new());
    let confirmed: Vec<Confirmed> = ["a", "b"]
        .into_iter()
        .map(|name| subscribe(&mut registry, name))
        .collect();
    send(&mut registry, 1, &mut asked);
    registry
        .confirmed(Kind::Shard, b"a", 1, &mut asked)
        .unwrap();
    // `b` isn't confirmed when the connection breaks: who waits for it goes on waiting, and nothing is to be reported.
    registry.connection_closed(1);
    asked.clear();
    assert_eq!(send(&mut registry, 2, &mut asked), 2);
    assert!(registry.interrupted.is_empty());
    let order: Vec<Arc<str>> = match asked.front() {
        Some(Asked::Subscribe { names, .. }) => {
            names.iter().map(|(name, _)| Arc::clone(name)).collect()
        }
        _ => panic!("not a subscription"),
    };
    for name in order {
        registry
            .confirmed(Kind::Shard, name.as_bytes(), 2, &mut asked)
            .unwrap();
    }
    assert_eq!(registry.interrupted, [Arc::from("a")]);
    drop(confirmed);

    // Who has given up waiting is reported in the same way.
    drop(subscribe(&mut registry, "c"));
    send(&mut registry, 2, &mut asked);
    registry
        .confirmed(Kind::Shard, b"c", 2, &mut asked)
        .unwrap();
    assert_eq!(registry.interrupted[1..], [Arc::from("c")]);
}

#[test]
fn a_server_that_ends_a_subscription_is_asked_again() {
    let (mut registry, mut asked) = (Registry::default(), VecDeque::new());
    let _confirmed = subscribe(&mut registry, "a");
    send(&mut registry, 1, &mut asked);
    registry
        .confirmed(Kind::Shard, b"a", 1, &mut asked)
        .unwrap();
    // The end of a subscription that is elsewhere by now, or to_send by nobody, means nothing.
    registry.ended(Kind::Shard, b"a", 7);
    registry.ended(Kind::Shard, b"x", 1);
    registry.ended(Kind::Pattern, b"a", 1);
    assert!(registry.to_send.is_empty());
    registry.ended(Kind::Shard, b"a", 1);
    assert_eq!(registry.to_send.len(), 1);
    // Servers that send it on and on are asked at once a few times, then at the tick.
    let mut at_once = 0;
    while registry.later.is_empty() {
        at_once += 1;
        assert_eq!(send(&mut registry, 1, &mut asked), 1);
        registry.postponed(Kind::Shard, names(asked.pop_front()), true);
    }
    assert_eq!(at_once, u32::from(MAX_HOPS) + 1);
    registry.tick(false);
    assert_eq!(send(&mut registry, 2, &mut asked), 1);
    registry
        .confirmed(Kind::Shard, b"a", 2, &mut asked)
        .unwrap();
    assert_eq!(registry.interrupted, [Arc::from("a")]);
}

#[test]
fn live_channels_follow_their_slot_and_are_listened_to_meanwhile() {
    let (mut registry, mut asked) = (Registry::default(), VecDeque::new());
    let _confirmed = [subscribe(&mut registry, "a"), subscribe(&mut registry, "b")];
    send(&mut registry, 1, &mut asked);
    registry
        .confirmed(Kind::Shard, b"a", 1, &mut asked)
        .unwrap();
    registry
        .confirmed(Kind::Shard, b"b", 1, &mut asked)
        .unwrap();
    let moved = slot(b"a");
    registry.follow(|slot| Some(if slot == moved { 2 } else { 1 }));
    assert_eq!(
        registry
            .to_send
            .iter()
            .map(|pending| &*pending.name)
            .collect::<Vec<_>>(),
        ["a"]
    );
    assert!(registry.leaving.is_empty());
    assert_eq!(
        registry.name(Kind::Shard, b"a").map(|name| &**name),
        Some("a")
    );
    // Nothing changes for those that are on their way already.
    registry.follow(|_| Some(1));
    assert_eq!(registry.to_send.len(), 1);
}

#[test]
fn a_refusal_is_told_and_tried_again_at_leisure() {
    let (mut registry, mut asked) = (Registry::default(), VecDeque::new());
    let mut confirmed = subscribe(&mut registry, "a");
    send(&mut registry, 1, &mut asked);
    let error = RedisError::Refused {
        code: "NOPERM".into(),
        message: String::new(),
    };
    registry.refuse(Kind::Shard, names(asked.pop_front()), &error);
    assert_eq!(confirmed.try_recv(), Ok(Err(error)));
    registry.tick(false);
    assert!(registry.to_send.is_empty());
    registry.tick(true);
    assert_eq!(send(&mut registry, 1, &mut asked), 1);
    registry
        .confirmed(Kind::Shard, b"a", 1, &mut asked)
        .unwrap();
    assert_eq!(registry.interrupted, [Arc::from("a")]);
}

#[test]
fn nobody_waits_for_a_master_that_is_away() {
    let (mut registry, mut asked) = (Registry::default(), VecDeque::new());
    let strand = |registry: &mut Registry, is_away| {
        for pending in std::mem::take(&mut registry.to_send) {
            registry.strand(pending, is_away);
        }
    };
    let mut first = subscribe(&mut registry, "a");
    strand(&mut registry, false);
    assert!(first.try_recv().is_err(), "it is being dialled");
    registry.servers_changed(false);
    registry.tick(false);
    strand(&mut registry, true);
    let mut second = subscribe(&mut registry, "a");
    for waiting in [&mut first, &mut second] {
        let reported = waiting.try_recv().unwrap();
        assert!(
            matches!(reported, Err(RedisError::Unavailable(_))),
            "{reported:?}"
        );
    }
    // It stays to_send, and its coming back is reported.
    registry.servers_changed(true);
    assert_eq!(send(&mut registry, 1, &mut asked), 1);
    let mut third = subscribe(&mut registry, "a");
    assert!(third.try_recv().is_err());
    drop(third);
    registry
        .confirmed(Kind::Shard, b"a", 1, &mut asked)
        .unwrap();
    assert_eq!(registry.interrupted, [Arc::from("a")]);
}

#[test]
fn wishes_that_are_taken_back_do_not_add_up() {
    let mut registry = Registry::default();
    for index in 0..100_000 {
        let name: Arc<str> = format!("c{index}").into();
        drop(subscribe(&mut registry, &name));
        for pending in std::mem::take(&mut registry.to_send) {
            registry.strand(pending, false);
        }
        registry.unsubscribe(Kind::Shard, name);
    }
    assert!(registry.stranded.len() < 2_000);
    // Nor do those who wait for one and the same, and give up.
    for _ in 0..10_000 {
        drop(subscribe(&mut registry, "a"));
    }
    assert!(registry.shard["a"].waiting.len() < 10);
}
