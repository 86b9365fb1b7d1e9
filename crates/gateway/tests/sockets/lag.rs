//! Subscriptions that end because their client fell behind.

use std::{sync::Arc, thread};

use gateway::{Config, Frame};

use crate::{
    client::{body, open_polling},
    server::{Server, eventually},
};

/// An application that counts what it subscribed must hear of each end exactly once.
#[test]
fn a_topic_ends_by_lag_or_with_the_namespace_never_by_both_or_neither() {
    const ROUNDS: usize = 400;
    let server = Server::start(Config {
        max_queue: 400,
        ..Config::default()
    });
    let frame = Frame::event("/", "e", &"x".repeat(200)).unwrap();
    for round in 1..=ROUNDS {
        let sid = open_polling(&server);
        let keep = format!(r#"42["keep",1]{}42["join","room"]"#, '\u{1e}');
        assert_eq!(body(server.address, "POST", &sid, &keep), "ok");
        let socket = server.notices.kept.lock().pop().unwrap();
        let (hub, frame) = (server.hub.clone(), frame.clone());
        let publishing = thread::spawn(move || {
            for _ in 0..8 {
                hub.publish("room", &frame);
            }
        });
        if round % 2 == 0 {
            thread::yield_now();
        }
        socket.disconnect();
        publishing.join().unwrap();
        let notices = Arc::clone(&server.notices);
        let ends = || {
            let disconnected = notices.disconnected.lock();
            let with_namespace = disconnected.iter().map(|(topics, _)| topics.len());
            with_namespace.sum::<usize>() + notices.lagging.lock().len()
        };
        eventually("the end is told", || ends() == round);
        socket.close(gateway::CloseReason::Server);
    }
}
