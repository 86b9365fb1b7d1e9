//! Servers that speak TLS only.

use std::path::PathBuf;

use stack::Stack;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_checked_by_the_authority_that_is_named() {
    let stack = Stack::start_with(&["postgresql"], true);
    let config = |ca_file: Option<PathBuf>, parameters: &str| PostgresConfig {
        url: format!("{}{parameters}", stack.get("DATABASE_URL"))
            .parse()
            .unwrap(),
        replica_urls: vec![stack.get("DATABASE_REPLICA_URLS").parse().unwrap()],
        write_pool_size: 1,
        read_pool_size: 1,
        ca_file,
    };
    let ca_file = PathBuf::from(stack.get("TLS_CA_FILE"));
    let postgres = Postgres::connect(config(Some(ca_file.clone()), "")).unwrap();
    postgres.ping().await.unwrap();
    is_in(&postgres, ReplicaState::InRotation).await;
    // Without the authority, and without TLS at all.
    for (ca_file, parameters) in [
        (None, "?sslmode=verify-full"),
        (Some(ca_file), "?sslmode=disable"),
    ] {
        let postgres = Postgres::connect(config(ca_file, parameters)).unwrap();
        let result = postgres.ping().await;
        assert!(
            matches!(result, Err(StoreError::Unavailable(_))),
            "{parameters}: {result:?}"
        );
    }
    Postgres::migrate(&config(Some(stack.get("TLS_CA_FILE").into()), ""))
        .await
        .unwrap();
    postgres.close().await;
}
