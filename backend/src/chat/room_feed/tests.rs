use futures_util::FutureExt;
use gateway::InstanceId;
use protocol::{Epoch, MessageId, Reaction, RoomEvent, Sender, Timestamp, UserId};
use storage::{EventBody, StoredEvent, StoredMessage};

use super::{
    pending::{ALL_PENDING_BYTES, PENDING_BYTES, PENDING_EVENTS},
    *,
};
use crate::{
    auth::signing_secret::SigningSecret,
    fleet::bus::{Link, round_trip},
    media_urls::MediaUrls,
};

fn message(seq: u64, sender: &UserId) -> StoredMessage {
    StoredMessage {
        id: MessageId::trusted(format!("m-{seq}")),
        room_id: RoomId::trusted("r"),
        seq,
        sender: Sender {
            id: sender.clone(),
            display_name: "Ana".into(),
            guest: false,
        },
        body: "hola".into(),
        at: Timestamp::from_unix_ms(1_800_000_000_000),
        client_id: Some(format!("c-{seq}")),
        reply_to: None,
        mentions: Vec::new(),
        attachments: Vec::new(),
        edited_at: None,
        deleted_at: None,
        reactions: Vec::new(),
    }
}

fn sent(seq: u64) -> FeedEvent {
    long(seq, 4)
}

/// An event whose text has this length.
fn long(seq: u64, length: usize) -> FeedEvent {
    let ana = UserId::trusted("ana");
    let mut message = message(seq, &ana);
    message.body = "x".repeat(length);
    let stored = StoredEvent {
        room_id: RoomId::trusted("r"),
        seq,
        body: EventBody::Sent(message),
    };
    FeedEvent::new(stored, &ana, &urls()).unwrap()
}

fn urls() -> MediaUrls {
    MediaUrls::new(
        SigningSecret::from_bytes("a secret").mac_for("media urls"),
        "",
    )
}

fn feed() -> RoomFeed {
    RoomFeed::new(RoomId::trusted("r"), &Bus::in_process(), Arc::default())
}

fn head(seq: u64) -> Head {
    Head {
        seq,
        epoch: Epoch::new("1"),
    }
}

fn seqs(feed: &RoomFeed, after: u64) -> Option<Vec<u64>> {
    let recent = feed.lock().recent_after(after)?;
    Some(recent.iter().map(|event| event.seq).collect())
}

#[tokio::test]
async fn events_are_released_once_and_in_order() {
    let hub = Hub::new(Some(1));
    let feed = feed();
    // What comes while the head is read is released behind it, as far as the head hasn't got it.
    assert_eq!(feed.release(&hub, sent(5)), Released::Yes);
    assert_eq!(feed.release(&hub, sent(6)), Released::Yes);
    assert_eq!(feed.head_seq(), None);
    assert_eq!(feed.loaded(&hub, head(5)), Released::Yes);
    assert_eq!(feed.head_seq(), Some(6));
    assert_eq!(feed.release(&hub, sent(6)), Released::Yes);
    assert_eq!(feed.head_seq(), Some(6));
    assert!(!feed.needs_repair());
    assert_eq!(feed.release(&hub, sent(9)), Released::Early);
    assert_eq!(feed.release(&hub, sent(8)), Released::Early);
    assert_eq!(feed.head_seq(), Some(6));
    assert!(feed.needs_repair());
    assert_eq!(feed.release(&hub, sent(7)), Released::Yes);
    assert_eq!(feed.head_seq(), Some(9));
    assert!(!feed.needs_repair());
    assert_eq!(seqs(&feed, 5), Some(vec![6, 7, 8, 9]));
}

#[tokio::test]
async fn what_comes_too_early_is_bounded() {
    let hub = Hub::new(Some(1));
    let feed = feed();
    feed.loaded(&hub, head(0));
    for seq in 2..2 + PENDING_EVENTS as u64 {
        assert_eq!(feed.release(&hub, sent(seq)), Released::Early);
    }
    assert_eq!(feed.release(&hub, sent(1_000_000)), Released::TooMany);
    assert_eq!(feed.release(&hub, sent(2)), Released::Early, "known");
}

/// What waits in feeds whose events are of so many bytes, until one has too much of it.
fn until_too_many(hub: &Hub, all: &Arc<AtomicUsize>, feeds: usize, length: usize) -> usize {
    let feeds: Vec<_> = (0..feeds)
        .map(|n| {
            let id = RoomId::trusted(format!("r-{n}"));
            let feed = RoomFeed::new(id, &Bus::in_process(), all.clone());
            feed.loaded(hub, head(0));
            feed
        })
        .collect();
    let mut seq = 1;
    loop {
        for feed in &feeds {
            seq += 1;
            match feed.release(hub, long(seq, length)) {
                Released::Early => {}
                Released::TooMany => {
                    let waiting = all.load(Ordering::Relaxed);
                    // What was waiting is given back.
                    feeds[0].retire();
                    assert!(all.load(Ordering::Relaxed) <= waiting - waiting / feeds.len() / 2);
                    return waiting;
                }
                Released::Yes => panic!("nothing is released"),
            }
        }
    }
}

#[tokio::test]
async fn what_comes_too_early_is_bounded_in_bytes() {
    let (hub, all) = (Hub::new(Some(1)), Arc::default());
    let waiting = until_too_many(&hub, &all, 1, 20_000);
    assert!((PENDING_BYTES - 50_000..=PENDING_BYTES).contains(&waiting));
    assert_eq!(all.load(Ordering::Relaxed), 0);
    let waiting = until_too_many(&hub, &all, 20, 20_000);
    assert!((ALL_PENDING_BYTES - 50_000..=ALL_PENDING_BYTES).contains(&waiting));
    assert_eq!(all.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn who_gives_up_on_the_way_into_a_room_leaves_no_subscription_behind() {
    // Nobody listens there, so entering waits.
    let url: redis_client::RedisUrl = "redis://127.0.0.1:1".parse().unwrap();
    let options = || redis_client::Options::new("test");
    let client = redis_client::RedisClient::new(url.clone(), options());
    let subscriber = redis_client::Subscriber::new(url, options(), 16);
    let secret = SigningSecret::from_bytes("secret");
    let own = InstanceId::new([1, 2, 3]);
    let (link, _tasks) = Link::new(client, subscriber, &secret, own, "tertulia");
    let bus = Bus::redis(link);
    let topics = || bus.link().unwrap().topics();
    let feed = RoomFeed::new(RoomId::trusted("r"), &bus, Arc::default());
    let of_room = topics();
    for _ in 0..3 {
        assert!(feed.subscribed().now_or_never().is_none());
        assert_eq!(topics(), of_room);
    }
    let entering = feed.subscribed();
    feed.retire();
    assert_eq!(topics(), of_room - 1);
    entering.await;
    assert_eq!(topics(), of_room - 1);
}

#[test]
fn an_event_is_the_same_on_every_instance() {
    let ana = UserId::trusted("ana");
    let event = sent(3);
    let received = Mutex::new(None);
    round_trip(&event, |_, mut fields| {
        *received.lock() = Some(FeedEvent::read(&mut fields)?);
        Ok(())
    });
    let received = received.into_inner().unwrap();
    for viewer in [&ana, &UserId::trusted("bea")] {
        let text = |event: &FeedEvent| event.frame_for(viewer).arguments().map(str::to_owned);
        assert_eq!(text(&received), text(&event));
        let mut json = [String::new(), String::new()];
        received.write_json_for(viewer, &mut json[0]);
        event.write_json_for(viewer, &mut json[1]);
        assert_eq!(json[0], json[1]);
    }
}

#[tokio::test]
async fn only_what_is_kept_whole_is_replayed_from_memory() {
    let hub = Hub::new(Some(1));
    let feed = feed();
    feed.loaded(&hub, head(10));
    assert_eq!(seqs(&feed, 10), Some(vec![]));
    assert_eq!(seqs(&feed, 9), None);
    for seq in 11..=300 {
        assert_eq!(feed.release(&hub, sent(seq)), Released::Yes);
    }
    assert_eq!(seqs(&feed, 300), Some(vec![]));
    assert_eq!(seqs(&feed, 298), Some(vec![299, 300]));
    assert_eq!(seqs(&feed, 10), None);
    let state = feed.lock();
    assert!(state.recent.len() <= RECENT_EVENTS && state.recent_bytes <= RECENT_BYTES);
    let kept: usize = state.recent.iter().map(|event| event.bytes()).sum();
    assert_eq!(state.recent_bytes, kept);
    let first = state.recent.front().unwrap().seq;
    drop(state);
    assert_eq!(seqs(&feed, first - 1).unwrap().len() as u64, 301 - first);
    assert_eq!(seqs(&feed, first - 2), None);
}

#[tokio::test]
async fn what_was_read_for_one_is_there_for_the_next() {
    let hub = Hub::new(Some(1));
    let read = |from, to| -> Vec<_> { (from..=to).map(|seq| Arc::new(sent(seq))).collect() };
    let feed = feed();
    feed.loaded(&hub, head(10));
    feed.lock().remember(&read(7, 10), 10);
    assert_eq!(seqs(&feed, 6), Some(vec![7, 8, 9, 10]));
    feed.lock().remember(&read(5, 8), 10);
    assert_eq!(seqs(&feed, 4), Some((5..=10).collect()));
    // What doesn't join on, and what was read before something was published.
    feed.lock().remember(&read(1, 2), 10);
    assert_eq!(seqs(&feed, 3), None);
    feed.release(&hub, sent(11));
    feed.lock().remember(&read(1, 4), 10);
    assert_eq!(seqs(&feed, 3), None);
    feed.lock().remember(&read(1, 11), 11);
    assert_eq!(seqs(&feed, 0), Some((1..=11).collect()));
    let long: Vec<_> = (1..=11).map(|seq| Arc::new(long(seq, 10_000))).collect();
    let other = self::feed();
    other.loaded(&hub, head(11));
    other.lock().remember(&long, 11);
    let state = other.lock();
    assert!(!state.recent.is_empty() && state.recent_bytes <= RECENT_BYTES);
}

#[test]
fn a_client_id_and_ones_own_reactions_are_for_the_actor_alone() {
    let (ana, bea) = (UserId::trusted("ana"), UserId::trusted("bea"));
    let mut edited = message(1, &ana);
    edited.reactions = vec![Reaction {
        emoji: "👍".into(),
        count: 2,
        mine: true,
    }];
    let event = FeedEvent::new(
        StoredEvent {
            room_id: RoomId::trusted("r"),
            seq: 4,
            body: EventBody::Edited {
                of: 1,
                message: edited,
            },
        },
        &ana,
        &urls(),
    )
    .unwrap();
    let json = |viewer: &UserId| {
        let mut json = String::new();
        event.write_json_for(viewer, &mut json);
        serde_json::from_str::<serde_json::Value>(&json).unwrap()
    };
    let (own, other) = (json(&ana), json(&bea));
    assert_eq!(own["type"], "message:edited");
    assert_eq!(own["message"]["clientId"], "c-1");
    assert_eq!(own["message"]["reactions"][0]["mine"], true);
    assert_eq!(other["message"].get("clientId"), None);
    assert_eq!(other["message"]["reactions"][0]["mine"], false);
    assert_eq!(other["seq"], 4);
    serde_json::from_value::<RoomEvent>(other).unwrap();
}
