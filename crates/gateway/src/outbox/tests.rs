//! What is queued, dropped and written, and in which order.

use std::io;

use super::{queued::OVERHEAD, *};

const LIMIT: usize = 10_000;

/// A frame that costs as much, `OVERHEAD` included.
fn frame(cost: usize) -> Frame {
    let header = if cost - OVERHEAD < 128 { 2 } else { 4 };
    let frame = Frame::engine_text(&"x".repeat(cost - OVERHEAD - header));
    assert_eq!(frame.size() + OVERHEAD, cost);
    frame
}

fn websocket() -> Outbox {
    Outbox::new(Transport::WebSocket)
}

/// Writes at most `max` bytes in all, then blocks.
fn flush(outbox: &mut Outbox, max: usize) -> Vec<u8> {
    let out = std::cell::RefCell::new(Vec::new());
    let mut batch = outbox.begin_flush().unwrap();
    let blocked = batch
        .write(|slices| {
            let mut taken = 0;
            for slice in slices {
                let room = max - out.borrow().len();
                let part = slice.len().min(room);
                out.borrow_mut().extend_from_slice(&slice[..part]);
                taken += part;
            }
            if taken == 0 {
                Err(io::ErrorKind::WouldBlock.into())
            } else {
                Ok(taken)
            }
        })
        .unwrap();
    outbox.end_flush(batch, blocked);
    out.into_inner()
}

#[test]
fn only_the_first_frame_makes_it_dirty() {
    let mut outbox = websocket();
    assert_eq!(outbox.push(&frame(200), 1, LIMIT), Push::Dirty);
    assert_eq!(outbox.push(&frame(200), 1, LIMIT), Push::Queued);
    assert_eq!(flush(&mut outbox, 1000).len(), 400 - 2 * OVERHEAD);
    assert_eq!(outbox.cost, 0);
    assert_eq!(outbox.push(&frame(200), 1, LIMIT), Push::Dirty);
}

#[test]
fn a_partial_write_continues_where_it_stopped() {
    let mut outbox = websocket();
    let (a, b, c) = (frame(4_000), frame(3_000), frame(1_000));
    outbox.push(&a, 1, LIMIT);
    outbox.push(&b, 1, LIMIT);
    let mut out = flush(&mut outbox, 5_000);
    assert!(outbox.is_blocked());
    assert_eq!(outbox.cost, 3_000);
    assert_eq!(outbox.push(&c, 1, LIMIT), Push::Queued);
    for _ in 0..4 {
        out.extend(flush(&mut outbox, 700));
    }
    assert_eq!(out, [a.wire(), b.wire(), c.wire()].concat());
    assert_eq!((outbox.cost, outbox.is_blocked()), (0, false));
}

#[test]
fn who_is_writing_looks_again() {
    let mut outbox = websocket();
    outbox.push(&frame(200), 1, LIMIT);
    let mut batch = outbox.begin_flush().unwrap();
    assert_eq!(outbox.push(&frame(200), 1, LIMIT), Push::Queued);
    assert!(outbox.begin_flush().is_none());
    assert!(
        !batch
            .write(|s| Ok(s.iter().map(|s| s.len()).sum()))
            .unwrap()
    );
    assert!(outbox.end_flush(batch, false));
}

#[test]
fn volatile_events_go_first() {
    let mut outbox = websocket();
    outbox.push(&frame(5_000).volatile(), 1, LIMIT);
    outbox.push(&frame(4_000), 1, LIMIT);
    let volatile = frame(2_000).volatile();
    assert_eq!(outbox.push(&volatile, 1, LIMIT), Push::Dropped);
    assert_eq!(outbox.push(&frame(3_000), 1, LIMIT), Push::Queued);
    assert_eq!(outbox.cost, 7_000);
    assert!(outbox.first_lagging().is_none());
}

#[test]
fn then_the_backlog_of_topics_and_never_a_reply() {
    let mut outbox = websocket();
    outbox.push(&frame(2_000), REPLY, LIMIT);
    outbox.push(&frame(4_000), 7, LIMIT);
    outbox.push(&frame(3_000), 8, LIMIT);
    assert_eq!(outbox.push(&frame(4_000), 9, LIMIT), Push::Lagging);
    assert_eq!(outbox.cost, 2_000);
    for topic in [7, 8, 9] {
        assert!(outbox.is_lagging(topic));
        assert_eq!(outbox.push(&frame(200), topic, LIMIT), Push::Dropped);
    }
    assert_eq!(outbox.push(&frame(1_000), 10, LIMIT), Push::Queued);
    while let Some(topic) = outbox.first_lagging() {
        outbox.lag_reported(topic);
        outbox.push(&frame(300), REPLY, LIMIT);
    }
    assert_eq!(outbox.push(&frame(200), 8, LIMIT), Push::Queued);
    assert_eq!(outbox.cost, 2_000 + 1_000 + 3 * 300 + 200);
}

#[test]
fn a_frame_written_in_part_survives_the_shedding() {
    for volatile in [false, true] {
        let mut outbox = websocket();
        let mut first = frame(4_000);
        if volatile {
            first = first.volatile();
        }
        outbox.push(&first, 7, LIMIT);
        outbox.push(&frame(4_000), 7, LIMIT);
        let mut out = flush(&mut outbox, 10);
        assert_eq!(outbox.push(&frame(6_000), 7, LIMIT), Push::Lagging);
        out.extend(flush(&mut outbox, 10_000));
        assert_eq!(out, first.wire());
        assert_eq!(outbox.cost, 0);
    }
}

#[test]
fn replies_beyond_twice_the_bound_are_the_end() {
    let mut outbox = websocket();
    let mut last = Push::Queued;
    for _ in 0..6 {
        last = outbox.push(&frame(4_000), REPLY, LIMIT);
    }
    assert_eq!(last, Push::Full);
    assert!(outbox.cost <= 2 * LIMIT);
}

#[test]
fn many_tiny_frames_count_for_the_memory_they_take() {
    let mut outbox = websocket();
    let pong = Frame::engine_text("");
    let pushed = (0..).find(|_| outbox.push(&pong, REPLY, LIMIT) == Push::Full);
    assert!(pushed.unwrap() <= 2 * LIMIT / OVERHEAD);
}

#[test]
fn one_frame_may_be_larger_than_the_bound() {
    let mut outbox = websocket();
    assert_eq!(outbox.push(&frame(30_000), 1, LIMIT), Push::Dirty);
    assert_eq!(flush(&mut outbox, 100_000).len(), 30_000 - OVERHEAD);
}

#[test]
fn a_polling_payload_has_a_bound_and_keeps_the_order() {
    let mut outbox = Outbox::new(Transport::Polling);
    outbox.push(&Frame::engine_text("4a"), REPLY, LIMIT);
    outbox.push(&Frame::engine_binary(&[1, 2, 3, 4]), REPLY, LIMIT);
    outbox.push(&Frame::engine_text("4b"), REPLY, LIMIT);
    assert_eq!(outbox.take_payload(13), "4a\u{1e}bAQIDBA==");
    assert_eq!(outbox.take_payload(1), "4b");
    assert_eq!(outbox.take_payload(1), "");
    assert_eq!(outbox.cost, 0);
}

#[test]
fn a_closed_outbox_takes_nothing() {
    let mut outbox = websocket();
    outbox.push(&frame(200), 1, LIMIT);
    outbox.close();
    assert_eq!(outbox.push(&frame(200), 1, LIMIT), Push::Dropped);
    assert_eq!(outbox.end().unwrap().queue.len(), 1);
}

#[test]
fn the_end_waits_for_who_is_writing() {
    let mut outbox = websocket();
    outbox.push(&frame(200), 1, LIMIT);
    let batch = outbox.begin_flush().unwrap();
    assert!(outbox.end().is_none());
    outbox.end_flush(batch, true);
    assert_eq!(outbox.end().unwrap().queue.len(), 1);
}

#[test]
fn a_poll_can_be_released_before_it_comes_and_once() {
    let mut outbox = Outbox::new(Transport::Polling);
    let mut waiting = outbox.wait_poll();
    outbox.release_poll();
    assert_eq!(waiting.try_recv(), Ok(()));
    assert!(!outbox.has_poll());
    outbox.release_poll();
    assert_eq!(outbox.wait_poll().try_recv(), Ok(()));
    let mut waiting = outbox.wait_poll();
    assert_eq!(waiting.try_recv(), Err(oneshot::error::TryRecvError::Empty));
    outbox.wake_poll();
    assert_eq!(
        waiting.try_recv(),
        Err(oneshot::error::TryRecvError::Closed)
    );
}
