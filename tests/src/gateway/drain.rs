//! The end of an instance.

use std::time::Duration;

use ::http::{Method, StatusCode};
use gateway::{CloseReason, Config, Frame};

use super::test_gateway::TestGateway;
use crate::{
    client::{
        http::request,
        websocket::{Incoming, WebSocket},
    },
    deadline::within,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_are_told_and_nobody_is_left() {
    let mut gateway = TestGateway::start(Config::default()).await;
    let mut sockets = Vec::new();
    for _ in 0..30 {
        let mut socket = gateway.websocket().await;
        socket.send(r#"421["join","room"]"#).await;
        assert!(socket.text().await.starts_with("431"));
        sockets.push(socket);
    }
    let polling = gateway.polling().await;
    let polled = tokio::spawn(async move { (polling.receive().await, polling.get().await.status) });

    let draining = gateway.gateway.clone();
    let drained = tokio::spawn(async move {
        let notice = |namespace: &str, after: Duration| {
            Frame::event(namespace, "draining", &(after.as_millis() as u64)).ok()
        };
        draining.drain(Duration::from_millis(300), notice).await;
    });
    for socket in &mut sockets {
        let notice = socket.text().await;
        assert!(notice.starts_with(r#"42["draining","#), "{notice}");
        assert!(matches!(socket.next().await, Incoming::Close(1001, _)));
    }
    let (notice, then) = polled.await.unwrap();
    assert!(notice[0].starts_with(r#"42["draining","#), "{notice:?}");
    assert_eq!(then, StatusCode::BAD_REQUEST);

    // Who comes now is sent to another instance.
    let target = "/socket.io/?EIO=4&transport=polling";
    let response = request(gateway.address, Method::GET, target, &[], "").await;
    assert_eq!(response.status, StatusCode::SERVICE_UNAVAILABLE);
    let refused = WebSocket::handshake(gateway.address, "EIO=4&transport=websocket").await;
    assert_eq!(refused.err().unwrap().0, StatusCode::SERVICE_UNAVAILABLE);

    within("the end of the drain", drained).await.unwrap();
    assert_eq!(gateway.gateway.connections(), 0);
    assert_eq!(gateway.hub.topics(), 0);
    assert_eq!(gateway.closed(CloseReason::Draining), 31);
    let ended = gateway.rooms.ended.lock().clone();
    assert_eq!(ended.len(), 31);
    assert!(ended.iter().all(|end| end.reason == CloseReason::Draining));
    within("the end of the listener", gateway.stop_listening()).await;
}

#[test]
fn a_runtime_that_is_lost_in_a_panic_ends_all_the_same() {
    let ended = std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let gateway = TestGateway::start(Config::default()).await;
            let _socket = gateway.websocket().await;
            panic!("with a connection open");
        });
    });
    assert!(ended.join().is_err());
}
