//! Clients whose connection breaks in the middle of what they asked for: what was done by then is told to all whom it
//! concerns.

use rusqlite::Connection;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::net::TcpStream;

use super::{
    chat_client::{ChatClient, Told},
    test_app::{Person, TestApp},
};
use crate::deadline::within;

/// Makes rooms, and people who hear what becomes of an event whose connection is reset.
struct Scene {
    app: TestApp,
    ana: Person,
    bea: Person,
    /// Subscribed to the room in which there is traffic.
    anas: ChatClient,
    noise: String,
}

impl Scene {
    async fn new() -> Self {
        let app = TestApp::start_embedded().await;
        let (ana, bea) = (app.register("ana").await, app.register("bea").await);
        let mut anas = app.connect(&ana).await;
        let noise = anas.create("public", "noise").await;
        Self {
            app,
            ana,
            bea,
            anas,
            noise,
        }
    }

    /// Bea sends an event, and her connection is reset while the server waits for the database, which is locked. There is
    /// traffic on the connection, so that the server learns of the reset before the lock is gone.
    async fn reset_during(&mut self, event: &str, payload: Value) {
        let stream = TcpStream::connect(self.app.address()).await.unwrap();
        let auth = json!({ "token": self.bea.access_token });
        let connection = socket2::Socket::from(stream.into_std().unwrap());
        let stream = TcpStream::from_std(connection.try_clone().unwrap().into()).unwrap();
        let mut beas = ChatClient::try_connect_on(stream, &format!("40{auth}"))
            .await
            .unwrap();
        beas.join(&self.noise).await;
        let online = |online: bool| {
            let id = self.bea.id.clone();
            move |(name, told): &Told| {
                name == "presence:changed" && told["userId"] == id && told["online"] == online
            }
        };
        self.anas.event_that(online(true)).await;
        let database = Connection::open(self.app.data_dir().join("messages.db")).unwrap();
        database.execute_batch("BEGIN IMMEDIATE").unwrap();
        beas.start(event, payload).await;
        // Whether it is taken up by then shows in its effect.
        tokio::time::sleep(Duration::from_millis(50)).await;
        connection.set_linger(Some(Duration::ZERO)).unwrap();
        drop(connection);
        drop(beas);
        let typing = json!({ "roomId": self.noise, "on": true });
        within("the end of the connection", async {
            while self.anas.take_that(online(false)).is_none() {
                self.anas.done("typing:set", typing.clone()).await;
            }
        })
        .await;
        database.execute_batch("ROLLBACK").unwrap();
    }

    /// The ids of Bea's rooms.
    async fn rooms(&self) -> Vec<String> {
        let mine = self.app.get("/api/v1/me/rooms", Some(&self.bea)).await;
        let rooms = mine.expect(200)["rooms"].take();
        let id = |room: &Value| room["id"].as_str().unwrap().to_owned();
        rooms.as_array().unwrap().iter().map(id).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_joins_and_is_cut_off_has_joined_and_the_room_knows() {
    let mut scene = Scene::new().await;
    let hall = scene.anas.create("public", "hall").await;
    within("a join", async {
        while !scene.rooms().await.contains(&hall) {
            scene
                .reset_during("room:join", json!({ "roomId": hall }))
                .await;
        }
    })
    .await;
    let joined = |(name, told): &Told| name == "room:member" && told["roomId"] == hall;
    let told = scene.anas.event_that(joined).await.1;
    assert_eq!(
        told,
        json!({ "roomId": hall, "userId": scene.bea.id, "role": "member" })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_makes_a_room_and_is_cut_off_has_made_it_and_its_members_know() {
    let mut scene = Scene::new().await;
    let with_ana = json!({ "kind": "private", "name": "den", "members": [scene.ana.id] });
    within("a room", async {
        // The room with the traffic is hers too.
        while scene.rooms().await.len() < 2 {
            scene.reset_during("room:create", with_ana.clone()).await;
        }
    })
    .await;
    let own = |(name, told): &Told| name == "room:member" && told["userId"] == scene.ana.id;
    let told = scene.anas.event_that(own).await.1;
    assert_eq!(told["role"], "member");
    assert_ne!(told["roomId"], scene.noise);
}
