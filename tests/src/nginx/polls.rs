//! Long polling through nginx: nothing is held back, cut off, or asked for twice.

use std::time::Duration;

use gateway::Config;
use http::Method;
use tokio::{io::AsyncReadExt, io::AsyncWriteExt, net::TcpStream};

use super::{bare_instance::BareInstance, problem::problem, proxy::Nginx};
use crate::{client::http::request, deadline::within};

const POLL: &str = "/socket.io/?EIO=4&transport=polling&sid=AAAAAAAAAAAAAAAA";

#[tokio::test]
async fn an_answer_goes_out_as_it_comes() {
    let instance = BareInstance::start().await;
    let nginx = Nginx::start(&[instance.address]).await;
    let mut client = TcpStream::connect(nginx.http).await.unwrap();
    let head = format!("GET {POLL} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    client.write_all(head.as_bytes()).await.unwrap();
    let mut asked = instance.asked().await;
    let mut received = Vec::new();
    let mut expected = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n";
    // The second half isn't written before the first one has arrived.
    for part in ["first", "other"] {
        asked.write(&[expected, part].concat()).await;
        expected = "";
        within(part, async {
            while !received.ends_with(part.as_bytes()) {
                assert_ne!(client.read_buf(&mut received).await.unwrap(), 0);
            }
        })
        .await;
    }
}

#[test]
fn a_connection_may_be_silent_as_long_as_an_instance_allows() {
    let socket = include_str!("../../../nginx/socket.conf");
    let timeout = socket
        .lines()
        .find_map(|line| line.strip_prefix("proxy_read_timeout "))
        .and_then(|value| value.strip_suffix("s;")?.parse().ok())
        .map(Duration::from_secs)
        .expect("a timeout in seconds");
    let config = Config::default();
    assert!(timeout > config.ping_interval + config.ping_timeout);
}

#[tokio::test]
async fn what_was_handed_out_and_lost_isn_t_asked_for_again() {
    let instances = [BareInstance::start().await, BareInstance::start().await];
    let nginx = Nginx::start(&instances.each_ref().map(|i| i.address)).await;
    for (method, target) in [
        (Method::GET, POLL),
        (Method::POST, POLL),
        // An upgrade's request is answered by what it was for going on.
        (Method::GET, "/socket.io/?sid=AAAAAAAAAAAAAAAA&EIO=4"),
    ] {
        let asking = request(nginx.http, method, target, &[], "");
        let losing = async {
            tokio::select! {
                asked = instances[0].asked() => drop(asked),
                asked = instances[1].asked() => drop(asked),
            }
        };
        let (answer, ()) = tokio::join!(asking, losing);
        assert_eq!(problem(&answer).status, 503);
        assert!(!instances.iter().any(BareInstance::is_asked_more));
    }
}
