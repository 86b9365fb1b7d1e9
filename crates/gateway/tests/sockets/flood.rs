//! More events than are admitted.

use gateway::{CloseReason, Config};
use tungstenite::Message;

use crate::{
    client::Client,
    server::{Server, eventually},
};

#[test]
fn any_rate_may_be_configured() {
    let server = Server::start(Config {
        events_per_second: 3_000_000,
        ..Config::default()
    });
    let mut client = Client::connect(&server);
    assert_eq!(client.call("echo", "7"), "[7]");
}

#[test]
fn connecting_again_and_again_is_a_flood() {
    let server = Server::start(Config {
        events_per_second: 1,
        event_burst: 10,
        event_abuse: 10,
        ..Config::default()
    });
    let mut client = Client::open(&server);
    for _ in 0..30 {
        for packet in ["40", "41"] {
            // The server may have had enough already.
            if client.0.send(Message::text(packet)).is_err() {
                break;
            }
        }
    }
    eventually("closed as a flood", || {
        server.closed(CloseReason::Flood) == 1
    });
}
