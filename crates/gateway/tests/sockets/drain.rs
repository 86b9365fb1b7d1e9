//! The end of all connections at once.

use std::time::Duration;

use gateway::{Config, Frame};
use tungstenite::Message;

use crate::{client::Client, server::Server};

#[test]
fn every_client_gets_its_notice_and_then_the_close_frame() {
    for _ in 0..8 {
        let server = Server::start(Config::default());
        let mut clients: Vec<_> = (0..50).map(|_| Client::connect(&server)).collect();
        let draining = server.gateway.drain(Duration::ZERO, |namespace, _| {
            Frame::event(namespace, "draining", &1).ok()
        });
        server.runtime.block_on(draining);
        assert_eq!(server.gateway.connections(), 0);
        for client in &mut clients {
            assert_eq!(client.text(), r#"42["draining",1]"#);
            match client.0.read().unwrap() {
                Message::Close(Some(frame)) => assert_eq!(u16::from(frame.code), 1001),
                other => panic!("{other:?}"),
            }
        }
    }
}
