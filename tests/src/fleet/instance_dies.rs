//! An instance is killed in the middle of its work.

use serde_json::{Value, json};

use super::fleet::Fleet;
use crate::server::chat_client::ChatClient;

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_instance_acked_is_everywhere_once_and_in_order() {
    let fleet = Fleet::new();
    let (dies, lives) = (fleet.start().await, fleet.start().await);
    let (ana, bea) = (dies.register("ana").await, lives.register("bea").await);
    let (mut anas, mut beas) = (dies.connect(&ana).await, lives.connect(&bea).await);
    let room = anas.create("public", "hall").await;
    beas.join(&room).await;
    // Both are there, on one instance each.
    let online = |(name, told): &(String, Value)| {
        name == "presence:changed" && told["userId"] == bea.id && told["online"] == true
    };
    anas.event_that(online).await;

    // Many in flight when it dies: some are acked, of some nobody knows.
    let mut sent = Vec::new();
    for n in 0..400 {
        let send = json!({ "roomId": room, "clientId": format!("c-{n}"), "body": format!("{n}") });
        sent.push(anas.start("message:send", send).await);
    }
    let mut acked = Vec::new();
    for (n, id) in sent.iter().enumerate().take(100) {
        let answer = anas.ack(*id).await;
        acked.push((n, answer["message"]["seq"].as_u64().unwrap()));
    }
    dies.kill().await;
    for (n, id) in sent.iter().enumerate().skip(100) {
        if let Some(answer) = anas.take_ack(*id)
            && answer["ok"] == true
        {
            acked.push((n, answer["message"]["seq"].as_u64().unwrap()));
        }
    }

    // She comes back on the other one and sends everything again.
    let mut anas = lives.connect(&ana).await;
    anas.join(&room).await;
    let mut seqs = Vec::new();
    for n in 0..400 {
        let send = json!({ "roomId": room, "clientId": format!("c-{n}"), "body": format!("{n}") });
        let answer = anas.done("message:send", send).await;
        seqs.push(answer["message"]["seq"].as_u64().unwrap());
    }
    for (n, seq) in &acked {
        assert_eq!(seqs[*n], *seq, "message {n} has the place that was acked");
    }
    // Whoever was there all the time has seen each once, in the order of the log, with nothing left out.
    let last = *seqs.iter().max().unwrap();
    let mut heard: Vec<(u64, Option<String>)> = Vec::new();
    for expected in 1..=last {
        let (name, event) = beas.next_of_log().await;
        assert_eq!(event["seq"], expected, "{name}");
        heard.push((expected, event["body"].as_str().map(str::to_owned)));
    }
    let mut bodies: Vec<_> = heard.iter().filter_map(|(_, body)| body.clone()).collect();
    bodies.sort_unstable();
    let mut all: Vec<_> = (0..400).map(|n| n.to_string()).collect();
    all.sort_unstable();
    assert_eq!(bodies, all);
    // And the history is the same.
    assert_eq!(bodies_of(&mut beas, &room).await, heard_bodies(&heard));
    let (status, _) = lives.stop().await;
    assert!(status.success());
}

fn heard_bodies(heard: &[(u64, Option<String>)]) -> Vec<String> {
    heard.iter().filter_map(|(_, body)| body.clone()).collect()
}

async fn bodies_of(socket: &mut ChatClient, room: &str) -> Vec<String> {
    let mut bodies = Vec::new();
    let mut after = 0;
    loop {
        let page = json!({ "roomId": room, "after": after, "limit": 200 });
        let page = socket.done("message:history", page).await;
        for message in page["messages"].as_array().unwrap() {
            bodies.push(message["body"].as_str().unwrap().to_owned());
            after = message["seq"].as_u64().unwrap();
        }
        if page["hasMore"] == false {
            return bodies;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_on_a_killed_instance_goes_offline_and_leaves_no_ghost() {
    let fleet = Fleet::new();
    let (dies, lives) = (fleet.start().await, fleet.start().await);
    let (ana, bea) = (dies.register("ana").await, lives.register("bea").await);
    let (mut anas, mut beas) = (dies.connect(&ana).await, lives.connect(&bea).await);
    let room = beas.create("public", "hall").await;
    anas.join(&room).await;
    let told = |online: bool| {
        let ana = ana.id.clone();
        move |(name, told): &(String, Value)| {
            name == "presence:changed" && told["userId"] == ana && told["online"] == online
        }
    };
    beas.event_that(told(true)).await;
    // One who is on both stays.
    let mut also_beas = dies.connect(&bea).await;
    also_beas.join(&room).await;
    dies.kill().await;
    beas.event_that(told(false)).await;
    let answer = beas.done("presence:get", json!({ "roomId": room })).await;
    assert_eq!(answer["count"], 1);
    assert_eq!(answer["online"], json!([bea.id]));
    lives.kill().await;
}
