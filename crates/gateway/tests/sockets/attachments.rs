//! Packets with attachments: how many, and for how long.

use std::time::Duration;

use gateway::Config;

use crate::{client::Client, server::Server};

#[test]
fn a_packet_cannot_announce_attachments_without_bound() {
    let server = Server::start(Config::default());
    let mut client = Client::connect(&server);
    client.send(r#"451001-["echo",1]"#);
    assert_eq!(u16::from(client.closed().code), 1009);
}

#[test]
fn a_packet_does_not_wait_for_its_attachments_for_ever() {
    let server = Server::start(Config {
        ping_interval: Duration::from_millis(50),
        ping_timeout: Duration::from_millis(300),
        ..Config::default()
    });
    let mut client = Client::connect(&server);
    client.send(r#"451-["echo",{"_placeholder":true,"num":0}]"#);
    // The client is alive and answers pings.
    assert_eq!(u16::from(client.closed().code), 1002);
}
