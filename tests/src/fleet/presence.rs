//! Presence, while a part of Redis is away.

use std::{collections::HashMap, time::Duration};

use redis_client::{partition_of, slot, tag};
use serde_json::json;
use stack::Stack;

use crate::{deadline::within, server::test_app::TestApp};

/// The members of the Cluster that have each slot: its master and that one's replicas.
struct Layout {
    /// Of each master: the slots from and to, and its members.
    masters: HashMap<String, (u16, u16, Vec<u16>)>,
}

impl Layout {
    /// Once the first member knows what each of the others is: of one that it has just met it takes a replica for a master
    /// without slots.
    async fn of(stack: &Stack) -> Self {
        within("a Cluster whose members know each other", async {
            loop {
                if let Some(layout) = Self::known(stack) {
                    return layout;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await
    }

    fn known(stack: &Stack) -> Option<Self> {
        let mut masters = HashMap::new();
        let mut replicas = Vec::new();
        for line in stack
            .redis_cli(stack.port(0), &["cluster", "nodes"])
            .lines()
        {
            let words: Vec<&str> = line.split(' ').collect();
            let port = words[1].split(['@', ',']).next().unwrap();
            let port: u16 = port.rsplit(':').next().unwrap().parse().unwrap();
            let number = port - stack.port(0);
            if words[2].contains("master") {
                let (from, to) = words.get(8)?.split_once('-')?;
                let slots = (from.parse().ok()?, to.parse().ok()?);
                masters.insert(words[0].to_owned(), (slots.0, slots.1, vec![number]));
            } else {
                replicas.push((words[3].to_owned(), number));
            }
        }
        for (master, number) in replicas {
            masters.get_mut(&master)?.2.push(number);
        }
        Some(Self { masters })
    }

    /// The master of what is kept of an id.
    fn master_of(&self, id: &str) -> &str {
        let slot = slot(tag(partition_of(id)).as_bytes());
        let has = |(from, to, _): &(u16, u16, Vec<u16>)| (*from..=*to).contains(&slot);
        let mut masters = self.masters.iter();
        masters.find(|(_, master)| has(master)).unwrap().0
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_is_away_freezes_nothing_of_the_rooms_on_the_others() {
    let stack = Stack::start(&["redis-cluster"]);
    let app = TestApp::start_fleet(&[("REDIS_URL", &stack.get("REDIS_URL"))]).await;
    let (ana, bea) = (app.register("ana").await, app.register("bea").await);
    let (mut anas, mut beas) = (app.connect(&ana).await, app.connect(&bea).await);
    let layout = Layout::of(&stack).await;
    // One that doesn't have the list of instances.
    let dying = layout.masters.keys();
    let dying = dying
        .clone()
        .find(|id| *id != layout.master_of("instances"));
    let dying = dying.unwrap().as_str();
    let mut rooms: [Vec<String>; 2] = Default::default();
    while rooms.iter().any(|rooms| rooms.len() < 3) {
        let room = anas.create("public", "hall").await;
        let away = layout.master_of(&room) == dying;
        rooms[usize::from(away)].push(room);
    }
    let [served, frozen] = rooms;

    for number in 0..6 {
        let setting = ["config", "set", "cluster-require-full-coverage", "no"];
        stack.redis_cli(stack.port(number), &setting);
    }
    // The replicas first, so that none takes over.
    for number in layout.masters[dying].2.iter().rev() {
        stack.signal(&format!("redis-cluster/node-{number}"), "KILL");
    }
    for room in &frozen {
        beas.join(room).await;
    }
    within("that it is known to be away", async {
        while beas
            .emit("presence:get", json!({ "roomId": frozen[0] }))
            .await["ok"]
            == true
        {}
    })
    .await;
    for room in &served {
        beas.join(room).await;
        let online = |on: bool| {
            let (room, bea) = (room.clone(), bea.id.clone());
            move |(name, told): &(String, serde_json::Value)| {
                name == "presence:changed"
                    && told["roomId"] == room
                    && told["userId"] == bea
                    && told["online"] == on
            }
        };
        anas.event_that(online(true)).await;
        let there = anas.done("presence:get", json!({ "roomId": room })).await;
        assert_eq!(there["count"], 2);
        beas.done("room:leave", json!({ "roomId": room })).await;
        anas.event_that(online(false)).await;
    }
}
