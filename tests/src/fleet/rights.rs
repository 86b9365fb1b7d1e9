//! Whoever loses a right loses it on every instance, though what the instances tell each other is lost; and nobody loses
//! one because nobody could look.

use std::net::SocketAddr;

use serde_json::{Value, json};
use stack::Stack;

use super::{fleet::Fleet, link::Link};
use crate::server::{api::Person, chat_client::ChatClient, server_process::ServerProcess};

/// Two instances, of which one reaches Redis over a link that can be cut, and a private room of two people, one on each.
struct Scene {
    _stack: Stack,
    link: Link,
    /// Whose link can be cut, and its owner of the room.
    cut: ServerProcess,
    ana: Person,
    anas: ChatClient,
    whole: ServerProcess,
    bea: Person,
    beas: ChatClient,
    room: String,
}

impl Scene {
    async fn set() -> Self {
        let stack = Stack::start(&["redis"]);
        let url = stack.get("REDIS_SINGLE_URL");
        let address: SocketAddr = url.strip_prefix("redis://").unwrap().parse().unwrap();
        let link = Link::to(address).await;
        let fleet = Fleet::on(&url, stack::mongodb);
        let whole = fleet.start().await;
        let fleet = fleet.with("REDIS_URL", format!("redis://{}", link.address()));
        let cut = fleet.start().await;
        let (ana, bea) = (cut.register("ana").await, whole.register("bea").await);
        let (mut anas, mut beas) = (cut.connect(&ana).await, whole.connect(&bea).await);
        let room = anas.create("private", "cellar").await;
        let member = format!("/api/v1/rooms/{room}/members/{}", bea.id);
        cut.put(&member, &ana, json!({})).await.expect(200);
        beas.join(&room).await;
        anas.say(&room, "before").await;
        beas.before("before").await;
        Self {
            _stack: stack,
            link,
            cut,
            ana,
            anas,
            whole,
            bea,
            beas,
            room,
        }
    }

    /// On the instance whose link can be cut.
    async fn remove_bea(&self) {
        let member = format!("/api/v1/rooms/{}/members/{}", self.room, self.bea.id);
        self.cut.delete(&member, &self.ana).await.expect(204);
    }

    /// Waits until she is unsubscribed, and makes sure of it.
    async fn bea_is_out(&mut self) {
        let told = json!({ "roomId": self.room, "userId": self.bea.id, "role": null });
        let gone = |(name, event): &(String, Value)| name == "room:member" && *event == told;
        self.beas.event_that(gone).await;
        self.beas.so_far().await;
        self.anas.say(&self.room, "psst").await;
        let typing = json!({ "roomId": self.room, "on": true });
        let (code, _) = self.beas.refused("typing:set", typing).await;
        assert_eq!(code, "not_found");
        // What is written to another room later has come, so the first would have.
        let hall = self.anas.create("public", "hall").await;
        self.beas.join(&hall).await;
        self.anas.say(&hall, "later").await;
        let heard = self.beas.before("later").await;
        assert!(
            heard.iter().all(|(name, _)| !name.starts_with("message:")),
            "{heard:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_removed_while_a_link_is_cut_is_out_when_it_is_whole_again() {
    for silent in [false, true] {
        let mut scene = Scene::set().await;
        scene.link.cut(silent);
        scene.remove_bea().await;
        scene.link.mend();
        scene.bea_is_out().await;
        // Nothing was lost on the way to this one: it was told that something was on the way from the other.
        let (_, printed) = scene.whole.stop().await;
        assert!(
            printed.contains("messages between instances may have been lost"),
            "{printed}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_removed_while_a_link_stays_cut_is_out_without_it() {
    for silent in [false, true] {
        let mut scene = Scene::set().await;
        scene.link.cut(silent);
        scene.remove_bea().await;
        scene.bea_is_out().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cant_be_looked_up_after_an_interruption_stays() {
    let stack = Stack::start(&["redis", "mongodb"]);
    let fleet = Fleet::on(&stack.get("REDIS_SINGLE_URL"), |name| stack.mongodb(name));
    let (one, other) = (fleet.start().await, fleet.start().await);
    let (ana, bea) = (one.register("ana").await, other.register("bea").await);
    let (mut anas, mut beas) = (one.connect(&ana).await, other.connect(&bea).await);
    let room = anas.create("public", "hall").await;
    beas.join(&room).await;
    anas.say(&room, "before").await;
    beas.before("before").await;

    stack.signal_all("mongodb", "KILL");
    stack.signal_all("redis", "KILL");
    stack.up();
    let send = json!({ "roomId": room, "clientId": "after", "body": "after" });
    crate::deadline::within("a message", async {
        while anas.emit("message:send", send.clone()).await["ok"] != true {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    })
    .await;
    // On the subscription that she had.
    let heard = beas.before("after").await;
    assert!(
        heard.iter().all(|(name, _)| name != "room:member"),
        "{heard:?}"
    );
}
