//! A master and a replica under Sentinel.

use redis_client::cmd;

use crate::ledger::Ledger;
use crate::servers::{Servers, until, until_ok};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_dies() {
    let servers = Servers::start(&["sentinel"]);
    let ledger = Ledger::start(
        &servers,
        "SENTINEL_URL",
        vec!["a".to_owned(), "b".to_owned()],
    )
    .await;
    ledger.flows().await;
    let role = cmd("ROLE").take();
    let (role_before, ..): (String, u64, redis_client::Value) =
        ledger.client.run(role).await.unwrap();
    assert_eq!(role_before, "master");
    servers.signal("sentinel/redis-0", "KILL");
    ledger.flows().await;
    let set = cmd("SET").arg("k").arg("v").take();
    until_ok("the replica took over", async || {
        ledger.client.run::<()>(set.clone()).await
    })
    .await;
    assert!(
        servers
            .redis_cli(servers.port(31), &["role"])
            .starts_with("master")
    );
    until("interruptions are told", async || {
        ledger.interrupted().len() == 2
    })
    .await;
    ledger.close().await;
}
