//! Everything of a fleet breaks once while a crowd writes, edits and reconnects. Afterwards every acked event is in the
//! log and in the history, once, and everybody has seen all of it, in order.

use serde_json::Value;
use stack::Stack;

use super::{crowd::Crowd, fleet::Fleet, link::Link};
use crate::{
    nginx::proxy::Nginx,
    server::{api::Person, server_process::ServerProcess},
};

/// Six, so that each transport of the official client is there twice.
async fn people(server: &ServerProcess) -> Vec<Person> {
    let mut people = Vec::new();
    for number in 0..6 {
        people.push(server.register(&format!("user-{number}")).await);
    }
    people
}

/// Two instances on services that may break, and a crowd on both.
async fn broken(stack: &Stack) -> ([ServerProcess; 2], Crowd) {
    let fleet = Fleet::on(&stack.get("REDIS_URL"), |name| stack.mongodb(name));
    let instances = [fleet.start().await, fleet.start().await];
    let people = people(&instances[0]).await;
    let addresses = instances.each_ref().map(|instance| instance.address());
    let mut crowd = Crowd::start(&addresses, &people).await;
    crowd.go_on(20).await;
    (instances, crowd)
}

fn count(counts: &Value, name: &str) -> u64 {
    counts[name].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_are_killed_stopped_and_replaced_behind_nginx() {
    let fleet = Fleet::new();
    let [killed, stopped, stays] = [
        fleet.start().await,
        fleet.start().await,
        fleet.start().await,
    ];
    let addresses = [&killed, &stopped, &stays].map(|instance| instance.address());
    let nginx = Nginx::start(&addresses).await;
    let mut crowd = Crowd::start(&[nginx.http], &people(&stays).await).await;
    crowd.go_on(20).await;
    // So that whoever is on it waits for an answer when it is killed.
    killed.pause();
    crowd.stand_still().await;
    killed.kill().await;
    crowd.go_on(40).await;
    let new = fleet.start().await;
    nginx.reload(&[stopped.address(), stays.address(), new.address()]);
    crowd.go_on(20).await;
    let (status, _) = stopped.stop().await;
    assert!(status.success());
    crowd.go_on(40).await;
    let counts = crowd.check().await;
    assert!(count(&counts, "retried") > 0, "{counts}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_of_redis_is_killed() {
    let stack = Stack::to_break();
    let (_instances, mut crowd) = broken(&stack).await;
    for master in stack.redis_masters() {
        stack.signal(&format!("redis-cluster/node-{master}"), "KILL");
        crowd.go_on(30).await;
        stack.up();
    }
    crowd.go_on(30).await;
    crowd.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_is_wholly_killed_and_comes_back_empty() {
    let stack = Stack::to_break();
    let (_instances, mut crowd) = broken(&stack).await;
    stack.signal_all("redis-cluster", "KILL");
    crowd.go_on(40).await;
    stack.up();
    crowd.go_on(20).await;
    stack.flush_redis();
    crowd.go_on(40).await;
    crowd.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_instance_loses_its_link_to_redis() {
    let stack = Stack::start(&["redis"]);
    let url = stack.get("REDIS_SINGLE_URL");
    let address = url.strip_prefix("redis://").unwrap().parse().unwrap();
    let link = Link::to(address).await;
    let fleet = Fleet::on(&url, stack::mongodb);
    let whole = fleet.start().await;
    let fleet = fleet.with("REDIS_URL", format!("redis://{}", link.address()));
    let cut = fleet.start().await;
    let people = people(&whole).await;
    let mut crowd = Crowd::start(&[whole.address(), cut.address()], &people).await;
    crowd.go_on(20).await;
    for silent in [false, true] {
        link.cut(silent);
        crowd.go_on(40).await;
        link.mend();
        crowd.go_on(40).await;
    }
    crowd.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_primary_of_mongodb_is_killed_and_paused() {
    let stack = Stack::to_break();
    let (_instances, mut crowd) = broken(&stack).await;
    stack.signal(&stack.primary().await, "KILL");
    crowd.go_on(30).await;
    stack.up();
    crowd.go_on(30).await;
    let primary = stack.primary().await;
    stack.signal(&primary, "STOP");
    crowd.go_on(30).await;
    stack.signal(&primary, "CONT");
    crowd.go_on(30).await;
    crowd.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_of_three_members_of_mongodb_are_killed() {
    let stack = Stack::to_break();
    let (_instances, mut crowd) = broken(&stack).await;
    let primary = stack.primary().await;
    for member in 0..3 {
        let member = format!("mongodb/member-{member}");
        if member != primary {
            stack.signal(&member, "KILL");
        }
    }
    crowd.stand_still().await;
    stack.up();
    crowd.go_on(40).await;
    crowd.check().await;
}
