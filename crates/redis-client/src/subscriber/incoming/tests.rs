use super::*;

fn message(channel: &Arc<str>, payload: &'static [u8]) -> Received {
    Received::Message {
        channel: Arc::clone(channel),
        payload: Bytes::from_static(payload),
    }
}

fn interrupted(channels: &[&Arc<str>]) -> Received {
    Received::Interrupted(Interrupted::Channels(
        channels.iter().map(|name| Arc::clone(name)).collect(),
    ))
}

/// What waits, without waiting for more.
fn taken(incoming: &Incoming) -> Vec<Received> {
    let mut waiting = incoming.0.waiting.lock();
    std::iter::from_fn(|| waiting.take()).collect()
}

#[test]
fn what_does_not_fit_is_told_behind_what_waited() {
    let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
    let stats = Arc::new(Stats::default());
    let (sender, incoming) = queue(2, Arc::clone(&stats));
    let mut batch = vec![
        message(&a, b"1"),
        message(&b, b"2"),
        message(&b, b"3"),
        message(&b, b"4"),
    ];
    sender.send(&mut batch, &mut Vec::new());
    assert!(batch.is_empty());
    assert_eq!((stats.received(), stats.dropped()), (4, 2));
    // A receiver that takes one at a time while more comes is told as soon as it has taken what came before.
    assert_eq!(incoming.0.waiting.lock().take(), Some(message(&a, b"1")));
    sender.send(&mut vec![message(&a, b"5")], &mut Vec::new());
    assert_eq!(incoming.0.waiting.lock().take(), Some(message(&b, b"2")));
    sender.send(&mut vec![message(&a, b"6")], &mut Vec::new());
    assert_eq!(
        taken(&incoming),
        [interrupted(&[&b]), message(&a, b"5"), message(&a, b"6")]
    );
    assert_eq!(taken(&incoming), []);
}

#[test]
fn interruptions_have_room_in_a_full_queue() {
    let a: Arc<str> = "a".into();
    let (sender, incoming) = queue(0, Arc::default());
    sender.send(&mut Vec::new(), &mut vec![Arc::clone(&a), Arc::clone(&a)]);
    assert_eq!(taken(&incoming), [interrupted(&[&a])]);
}

#[test]
fn more_names_than_an_interruption_holds_are_all() {
    let (sender, incoming) = queue(0, Arc::default());
    for index in 0..=MAX_NAMES + 10 {
        sender.send(&mut Vec::new(), &mut vec![index.to_string().into()]);
    }
    assert_eq!(taken(&incoming), [Received::Interrupted(Interrupted::All)]);
    assert_eq!(incoming.0.waiting.lock().interrupted.capacity(), 0);
}

#[test]
fn bytes_are_bounded_too() {
    let a: Arc<str> = "a".into();
    let (sender, incoming) = queue(1_000, Arc::default());
    let large = Bytes::from(vec![0; MAX_BYTES / 2 + 1]);
    let message = Received::Message {
        channel: Arc::clone(&a),
        payload: large,
    };
    sender.send(
        &mut vec![message.clone(), message.clone(), message.clone()],
        &mut Vec::new(),
    );
    assert_eq!(taken(&incoming).len(), 3);
    assert_eq!(incoming.0.waiting.lock().bytes, 0);
    sender.send(&mut vec![message], &mut Vec::new());
    assert_eq!(taken(&incoming).len(), 1);
}

#[tokio::test]
async fn either_end_may_go() {
    let a: Arc<str> = "a".into();
    let (sender, mut incoming) = queue(10, Arc::default());
    sender.send(
        &mut vec![message(&a, b"1"), message(&a, b"2")],
        &mut Vec::new(),
    );
    drop(sender);
    let mut batch = Vec::new();
    assert_eq!(incoming.recv_many(&mut batch, 1).await, 1);
    assert_eq!(incoming.recv().await, Some(message(&a, b"2")));
    assert_eq!(incoming.recv().await, None);
    assert_eq!(incoming.recv_many(&mut batch, 1).await, 0);

    let (sender, incoming) = queue(10, Arc::default());
    drop(incoming);
    let mut batch = vec![message(&a, b"1")];
    sender.send(&mut batch, &mut vec![a]);
    assert!(batch.is_empty() && sender.0.waiting.lock().messages.is_empty());
}
