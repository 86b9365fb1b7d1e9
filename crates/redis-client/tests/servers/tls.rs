//! All three over TLS, with user and password.

use redis_client::{Options, RedisClient, RedisError, Subscriber, cmd};

use crate::servers::{Servers, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_and_credentials() {
    let servers = Servers::start_guarded(&["redis", "redis-cluster", "sentinel"]);
    for name in ["REDIS_SINGLE_URL", "REDIS_URL", "SENTINEL_URL"] {
        let client = servers.client(name);
        let (subscriber, mut incoming) = servers.subscriber(name, 10);
        until("connected", async || {
            client.is_connected() && subscriber.is_connected()
        })
        .await;
        subscriber.subscribe("a").await.unwrap();
        // On a busy machine the nodes of a new Cluster lose sight of each other for a moment.
        until("the slot is served", async || {
            client.run::<()>(cmd("SET").arg("a").arg("1")).await.is_ok()
        })
        .await;
        assert_eq!(client.publish_sharded("a", &[1; 100_000]).await, Ok(1));
        let received = incoming.recv().await.unwrap();
        let redis_client::Received::Message { payload, .. } = received else {
            panic!("{received:?}");
        };
        assert_eq!(payload, [1; 100_000][..]);
    }

    // Errors say what is wrong, and nothing that is secret.
    let url = servers.get("REDIS_SINGLE_URL");
    let password = url.split([':', '@']).nth(2).unwrap();
    let fails = async |url: &str, options: Options| {
        let client = RedisClient::new(url.parse().unwrap(), options.clone());
        let error = client.ping().await.unwrap_err();
        let RedisError::Unavailable(reason) = error else {
            panic!("{error}");
        };
        assert!(
            !reason.contains(password) && !reason.contains("wrong-password"),
            "{reason}"
        );
        let (subscriber, _incoming) = Subscriber::new(url.parse().unwrap(), options, 10);
        assert!(subscriber.subscribe("a").await.is_err());
        reason
    };
    let wrong = url.replace(password, "wrong-password");
    assert!(fails(&wrong, servers.options()).await.contains("WRONGPASS"));
    let untrusted = fails(
        &url,
        Options {
            ca_file: None,
            ..servers.options()
        },
    )
    .await;
    assert!(untrusted.contains("certificate"), "{untrusted}");
    let missing = fails(
        &url,
        Options {
            ca_file: Some("/nonexistent/ca.pem".into()),
            ..servers.options()
        },
    )
    .await;
    assert!(missing.contains("/nonexistent/ca.pem"), "{missing}");
}
