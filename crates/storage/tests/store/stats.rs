//! What the store counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use protocol::RoomKind;
use storage::Operation;

use crate::{Fixture, send, send_as};

on_each!(writes_are_counted_and_timed);

async fn writes_are_counted_and_timed(fixture: Fixture) {
    let appended = Arc::new(AtomicUsize::new(0));
    let noted = Arc::clone(&appended);
    fixture.store.observe(move |operation, _| {
        if operation == Operation::Append {
            noted.fetch_add(1, Ordering::Relaxed);
        }
    });
    let ann = fixture.user("ann").await;
    let room = fixture.room(RoomKind::Public, &[&ann]).await;
    let before = fixture.store.stats();
    for _ in 0..2 {
        let sent = fixture.append(&room, &ann, send_as("one", "hello")).await;
        sent.unwrap();
    }
    fixture.send(&room, &ann, "hello").await;
    fixture.delete(&room, &ann, 1).await.unwrap();
    // Who isn't a member is refused, which is no failure of the store's.
    let bob = fixture.user("bob").await;
    let refused = fixture.append(&room, &bob, send("hello")).await;
    assert!(refused.is_err());
    let after = fixture.store.stats();
    assert_eq!(appended.load(Ordering::Relaxed), 4);
    assert!(after.grouped_writes >= before.grouped_writes + 5);
    assert!(after.groups > before.groups);
    assert_eq!(after.refused_writes, 0);
    let failures = Operation::ALL.map(|operation| fixture.store.failures(operation));
    assert_eq!(failures, [0; 7]);
    assert!(after.embedded.is_some() != after.fleet.is_some());
    if let Some(embedded) = after.embedded {
        assert!(embedded.wal_bytes > 0, "{embedded:?}");
    }
    if let Some(fleet) = after.fleet {
        assert_eq!((fleet.stored, fleet.duplicates, fleet.failed), (2, 1, 0));
    }
}
