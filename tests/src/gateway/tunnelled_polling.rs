//! Polling requests that reach another instance than the one their connection belongs to.

use std::time::{Duration, Instant};

use ::http::{Method, StatusCode};
use gateway::{CloseReason, Config, Frame};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use super::fleet::{Instance, fleet, linked};
use crate::{
    client::{
        http::{Response, request},
        polling::{Polling, packets},
    },
    deadline::{becomes, within},
};

/// Longer than any of these tests takes: nothing here may end by it.
fn no_pings() -> Config {
    Config {
        ping_interval: Duration::from_secs(300),
        ..Config::default()
    }
}

fn is_unknown(response: &Response) -> bool {
    response.status == StatusCode::BAD_REQUEST
        && response.text() == r#"{"code":1,"message":"Session ID unknown"}"#
}

/// A poll that is on its way by this instance.
async fn waits(polling: &Polling, through: &Instance) -> tokio::task::JoinHandle<Response> {
    let before = through.hub.stats().tunnelled_polls();
    let polling = polling.through(through.address);
    let poll = tokio::spawn(async move { polling.get().await });
    becomes("the poll is on its way", before + 1, || {
        through.hub.stats().tunnelled_polls()
    })
    .await;
    poll
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_may_go_elsewhere() {
    let [owner, second, third] = fleet(Config::default()).await;
    let polling = Polling::open(owner.address).await;
    let through = |n: usize| polling.through([&second, &third, &owner][n % 3].address);
    through(0).send("40").await;
    let mut received = Vec::new();
    for n in 1.. {
        received.extend(through(n).receive().await);
        if received.last().is_some_and(|p| p.contains("welcome")) {
            break;
        }
    }
    assert!(received[0].starts_with("40{"), "{received:?}");
    // In both directions at once, and in order.
    let count = 200;
    let sending = async {
        for n in 0..count {
            through(n).send(&format!("42[\"echo\",{n}]")).await;
        }
    };
    let receiving = async {
        let mut echoed = Vec::new();
        for n in 0.. {
            echoed.extend(through(n).receive().await);
            if echoed.len() == count {
                break;
            }
        }
        echoed
    };
    let (echoed, ()) = tokio::join!(receiving, sending);
    let expected: Vec<_> = (0..count).map(|n| format!("42[\"echo\",{n}]")).collect();
    assert_eq!(echoed, expected);
    // The application sees the client, not who passed it on.
    through(0).send(r#"421["address"]"#).await;
    let addresses = r#"431[["127.0.0.1","127.0.0.1"]]"#;
    assert_eq!(through(1).receive().await, [addresses]);
    for other in [&second, &third] {
        let stats = other.hub.stats();
        assert!(stats.tunnelled_polls() > count as u64 / 3);
        assert_eq!((stats.failed_tunnels(), stats.opened()), (0, 0));
    }
    assert_eq!(owner.hub.stats().tunnelled_polls(), 0);
    through(1).send("1").await;
    becomes("the end", 0, || owner.gateway.connections()).await;
    assert_eq!(owner.closed(CloseReason::Client), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_those_of_the_owner() {
    let [owner, other] = fleet(Config {
        max_payload: 10_000,
        ..no_pings()
    })
    .await;
    for through in [&owner, &other] {
        let open = || async { owner.polling().await.through(through.address) };
        // All of a large answer, and of a body of the largest size.
        let polling = open().await;
        let text = "x".repeat(9_900);
        polling.send(&format!("421[\"echo\",\"{text}\"]")).await;
        assert_eq!(polling.receive().await, [format!("431[\"{text}\"]")]);
        polling.send(r#"422["text",500000]"#).await;
        let answer = polling.get().await;
        assert_eq!(answer.text().len(), 500_007);
        assert_eq!(answer.headers["content-type"], "text/plain; charset=UTF-8");
        assert_eq!(answer.headers["cache-control"], "no-store");

        let post = polling.post("4".repeat(10_001)).await;
        assert_eq!(post.status, StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(post.text(), "message too large");
        assert!(is_unknown(&polling.get().await));

        let polling = open().await;
        let post = polling.post("nonsense").await;
        assert_eq!(post.status, StatusCode::BAD_REQUEST);
        assert_eq!(post.text(), r#"{"code":3,"message":"Bad request"}"#);

        let polling = open().await;
        let target = format!("/socket.io/?EIO=4&transport=polling&sid={}", polling.sid);
        let put = request(through.address, Method::PUT, &target, &[], "").await;
        assert_eq!(put.text(), r#"{"code":2,"message":"Bad handshake method"}"#);
        polling.send(r#"421["echo",1]"#).await;
        assert_eq!(polling.receive().await, ["431[1]"]);

        // Two polls at a time.
        let first = {
            let polling = polling.clone();
            tokio::spawn(async move { polling.get().await })
        };
        let mut second = polling.get().await;
        let mut first = within("both end", first).await.unwrap();
        if first.text().contains("code") {
            (first, second) = (second, first);
        }
        assert_eq!(first.text(), "1");
        assert_eq!(second.text(), r#"{"code":3,"message":"Bad request"}"#);
    }
    assert_eq!(owner.closed(CloseReason::TooLarge), 2);
    assert_eq!(owner.closed(CloseReason::Protocol), 4);
    assert_eq!(other.hub.stats().failed_tunnels(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_is_broken_off_ends_the_connection() {
    let [owner, other] = fleet(no_pings()).await;
    let link = linked(&owner, &[&other]).await;
    let polling = owner.polling().await;
    let get = format!("/socket.io/?EIO=4&transport=polling&sid={}", polling.sid);
    let mut stream = TcpStream::connect(other.address).await.unwrap();
    let head = format!("GET {get} HTTP/1.1\r\nhost: a\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    becomes("the poll is passed on", true, || link.passed() > 0).await;
    drop(stream);
    becomes("the end", 1, || owner.closed(CloseReason::TransportError)).await;

    let before = link.passed();
    let polling = owner.polling().await;
    let post = format!("/socket.io/?EIO=4&transport=polling&sid={}", polling.sid);
    let mut stream = TcpStream::connect(other.address).await.unwrap();
    let head = format!("POST {post} HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n42[");
    stream.write_all(head.as_bytes()).await.unwrap();
    becomes("the post is passed on", true, || link.passed() > before).await;
    drop(stream);
    becomes("the end", 2, || owner.closed(CloseReason::TransportError)).await;
    assert_eq!(owner.gateway.connections(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_cannot_be_asked_is_one_that_knows_nothing() {
    let [owner, other] = fleet(no_pings()).await;
    let polling = owner.polling().await;
    let elsewhere = polling.through(other.address);
    // An sid that the owner never gave out, or that none did.
    let address = other.address;
    let unknown = |sid: String| async move {
        let target = format!("/socket.io/?EIO=4&transport=polling&sid={sid}");
        for method in [Method::GET, Method::POST] {
            let response = request(address, method, &target, &[], "3").await;
            assert!(is_unknown(&response), "{sid}: {}", response.text());
        }
    };
    unknown(format!("{}AAAAAAAAAAAA", &polling.sid[..4])).await;
    assert_eq!(other.hub.stats().failed_tunnels(), 0);
    unknown("AAAA".into()).await;
    unknown("****************".into()).await;
    // Nobody listens there.
    let link = linked(&owner, &[&other]).await;
    let address = link.address;
    link.cut().await;
    assert!(is_unknown(&elsewhere.get().await));
    assert!(is_unknown(&elsewhere.post("3").await));
    assert_eq!(other.hub.stats().failed_tunnels(), 2);
    // Somebody else does.
    let stranger = tokio::net::TcpListener::bind(address).await.unwrap();
    let answering = tokio::spawn(async move {
        let (mut stream, _) = stranger.accept().await.unwrap();
        let answer = b"HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\nwhat";
        stream.write_all(answer).await.unwrap();
        stranger
    });
    assert!(is_unknown(&elsewhere.get().await));
    drop(within("an answer", answering).await.unwrap());
    // An instance of another key.
    let other_fleet = gateway::Peers::new([0; 32]);
    other_fleet.set([(owner.id(), owner.internal)].into());
    let config = Config {
        peers: other_fleet,
        ..no_pings()
    };
    let outsider = super::test_gateway::TestGateway::start(config).await;
    assert!(is_unknown(&polling.through(outsider.address).get().await));
    assert_eq!(outsider.hub.stats().failed_tunnels(), 1);
    assert_eq!(owner.hub.stats().refused_tunnels(), 1);
    // It isn't known at all.
    other.knows(&[]);
    assert!(is_unknown(&elsewhere.get().await));
    assert_eq!(other.hub.stats().failed_tunnels(), 3);
    // None of this was the connection's fault.
    polling.send(r#"421["echo",1]"#).await;
    assert_eq!(polling.receive().await, ["431[1]"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poll_ends_when_its_owner_dies() {
    let [owner, other, another] = fleet(no_pings()).await;
    let link = linked(&owner, &[&other, &another]).await;
    let killed = owner.polling().await;
    let lost = owner.polling().await;
    let first = waits(&killed, &other).await;
    let second = waits(&lost, &another).await;
    // The host falls silent; who keeps the list of instances finds that out.
    link.silence();
    another.knows(&[]);
    let answer = within("the end of the poll", second).await.unwrap();
    assert!(is_unknown(&answer), "{}", answer.text());
    assert!(!first.is_finished());
    link.cut().await;
    let answer = within("the end of the poll", first).await.unwrap();
    assert!(is_unknown(&answer), "{}", answer.text());
    for through in [&other, &another] {
        assert_eq!(through.hub.stats().failed_tunnels(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_owner_is_waited_for_without_end() {
    let [owner, other] = fleet(Config {
        ping_interval: Duration::from_millis(200),
        ping_timeout: Duration::from_millis(300),
        ..Config::default()
    })
    .await;
    let link = linked(&owner, &[&other]).await;
    let polling = owner.polling().await.through(other.address);
    link.silence();
    let begun = Instant::now();
    assert!(is_unknown(&polling.get().await));
    assert!(begun.elapsed() >= Duration::from_millis(500));
    assert_eq!(other.hub.stats().failed_tunnels(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tunnel_leads_into_no_other() {
    let [first, second] = fleet(no_pings()).await;
    let [gone] = fleet(no_pings()).await;
    let polling = gone.polling().await;
    first.knows(&[(gone.id(), second.internal)]);
    second.knows(&[(gone.id(), first.internal)]);
    let response = polling.through(first.address).get().await;
    assert!(is_unknown(&response), "{}", response.text());
    let tunnelled = |instance: &Instance| instance.hub.stats().tunnelled_polls();
    assert_eq!((tunnelled(&first), tunnelled(&second)), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poll_outlives_the_instance_that_passed_it_on() {
    let [owner, mut middle, other] = fleet(no_pings()).await;
    owner.polling().await;
    let polling = owner.polling().await;
    let poll = waits(&polling, &middle).await;
    let no_notice = |_: &str, _: Duration| -> Option<Frame> { None };
    within(
        "the drain",
        middle.gateway.drain(Duration::from_secs(1), no_notice),
    )
    .await;
    let answer = within("the end of the poll", poll).await.unwrap();
    assert_eq!(packets(&answer), ["6"]);
    // As long as it still gets requests it passes them on, and holds none.
    let through = polling.through(middle.address);
    assert_eq!(through.receive().await, ["6"]);
    through.send(r#"421["echo",1]"#).await;
    within("the end of both listeners", middle.stop_listening()).await;
    // The client goes on elsewhere, and has lost nothing.
    let through = polling.through(other.address);
    assert_eq!(through.receive().await, ["431[1]"]);
    assert_eq!(owner.gateway.connections(), 2);
}
