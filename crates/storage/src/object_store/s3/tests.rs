//! A bucket that fails, in each of the ways in which one does.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that panics has failed"
)]

use circuit_breaker::Settings;
use futures_util::stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::super::{Bytes, ObjectStore};
use super::*;

/// Less than anybody waits, and more than a busy machine takes.
const SHORT: Duration = Duration::from_millis(300);

/// A store whose every connection is answered by this, which is sent a moment after a request has begun; then nothing happens
/// unless it `ends`.
async fn answering(answer: &'static str, ends: bool) -> S3Objects {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut open = Vec::new();
        loop {
            let (mut connection, _) = listener.accept().await.unwrap();
            read_head(&mut connection).await;
            connection.write_all(answer.as_bytes()).await.unwrap();
            match ends {
                true => connection.shutdown().await.unwrap(),
                false => open.push(connection),
            }
        }
    });
    at(port)
}

async fn read_head(connection: &mut TcpStream) {
    let mut head = Vec::new();
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        head.push(connection.read_u8().await.unwrap());
    }
}

fn at(port: u16) -> S3Objects {
    let mut objects = S3Objects::new(&S3Config {
        endpoint: S3Endpoint {
            url: format!("http://127.0.0.1:{port}").parse().unwrap(),
            public_url: None,
        },
        bucket: "pictures".to_owned(),
        region: "us-east-1".to_owned(),
        path_style: true,
        credentials: S3Credentials {
            access_key_id: "key".to_owned(),
            secret_access_key: "secret".into(),
        },
        ca_file: None,
    })
    .unwrap();
    objects.client.patience = SHORT;
    objects
}

fn key() -> ObjectKey {
    "a/b".parse().unwrap()
}

fn is_unavailable<T>(result: Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::Unavailable(_)))
}

async fn put(objects: &S3Objects) -> Result<(), StoreError> {
    let body = stream::iter([Ok(Bytes::from_static(b"hello"))]).boxed();
    objects.put(&key(), "text/plain", 5, body).await
}

/// Reads an object to its end.
async fn read(objects: S3Objects) -> Result<Bytes, StoreError> {
    let store = ObjectStore {
        backend: super::super::Backend::S3(Arc::new(objects)),
    };
    store.read(&key(), 1_000).await
}

#[tokio::test]
async fn one_that_is_down_is_unavailable_and_soon_left_alone() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let objects = at(listener.local_addr().unwrap().port());
    drop(listener);
    let breaker = Arc::new(Breaker::new(Settings {
        failure_threshold: 50,
        recovery_timeout: Duration::from_secs(60),
        minimum_calls: 2,
        window: Duration::from_secs(60),
        slow_call: None,
    }));
    objects.guard(breaker.clone());
    assert!(is_unavailable(put(&objects).await));
    assert!(is_unavailable(objects.head(&key()).await));
    let refused = objects.head(&key()).await.unwrap_err();
    let StoreError::Unavailable(reason) = refused else {
        panic!("{refused:?}")
    };
    assert!(reason.to_string().contains("failed too often"), "{reason}");
}

#[tokio::test]
async fn one_that_is_slow_is_unavailable() {
    assert!(is_unavailable(put(&answering("", false).await).await));
    // It begins, and goes no further.
    let begun = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234";
    assert!(is_unavailable(read(answering(begun, false).await).await));
}

#[tokio::test]
async fn what_breaks_off_is_not_whole() {
    let cut = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234";
    assert!(is_unavailable(read(answering(cut, true).await).await));
    let head_alone = "HTTP/1.1 200 OK\r\nContent-";
    assert!(is_unavailable(
        put(&answering(head_alone, true).await).await
    ));
    // A proxy between that turned lengths into chunks has cut a whole answer: how long it is isn't known.
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n0\r\n\r\n";
    assert!(is_unavailable(read(answering(chunked, true).await).await));
}

#[tokio::test]
async fn one_that_is_full_or_refuses_is_unavailable() {
    for answer in [
        "HTTP/1.1 507 Insufficient Storage\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 503 Slow Down\r\nContent-Length: 33\r\n\r\n<Error><Code>SlowDown</Code></Err>",
        "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
    ] {
        let objects = answering(answer, true).await;
        assert!(is_unavailable(put(&objects).await), "{answer}");
    }
}

#[tokio::test]
async fn a_copy_that_fails_half_way_has_failed() {
    let failed =
        "HTTP/1.1 200 OK\r\nContent-Length: 41\r\n\r\n<Error><Code>InternalError</Code></Error>\n";
    let objects = answering(failed, true).await;
    let to = "a/c".parse().unwrap();
    assert!(is_unavailable(
        objects.rename(&key(), &to, "text/plain").await
    ));
}
