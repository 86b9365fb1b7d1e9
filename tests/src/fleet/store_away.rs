//! The database is away while clients come back.

use serde_json::json;
use stack::Stack;

use crate::server::test_app::TestApp;

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_while_the_database_is_away_gets_the_rooms_later() {
    let stack = Stack::to_break();
    let variables = [
        (
            "MONGODB_URI",
            stack.mongodb(&format!("test-{:016x}", rand::random::<u64>())),
        ),
        ("REDIS_URL", stack.get("REDIS_URL")),
    ];
    let variables = variables
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    let app = TestApp::start_fleet(&variables).await;
    let (ana, bea) = (app.register("ana").await, app.register("bea").await);
    let mut anas = app.connect(&ana).await;
    let mut rooms = Vec::new();
    for name in ["hall", "cellar"] {
        let request = json!({ "kind": "private", "name": name, "members": [bea.id] });
        let made = anas.done("room:create", request).await;
        let room = made["room"]["id"].as_str().unwrap().to_owned();
        anas.say(&room, "missed").await;
        rooms.push(room);
    }
    let points =
        json!({ &rooms[0]: { "seq": 0 }, &rooms[1]: { "seq": 0 }, "nowhere": { "seq": 0 } });

    stack.signal_all("mongodb", "KILL");
    // On each instance one, of which one has nothing of it in memory.
    let mut back = [
        app.resume(&bea, points.clone()).await,
        app.resume(&bea, points).await,
    ];
    stack.up();
    for socket in &mut back {
        for _ in 0..3 {
            let resumed = socket.event("room:resumed").await;
            if resumed["roomId"] == "nowhere" {
                assert_eq!(resumed["error"]["code"], "not_found", "{resumed}");
            } else {
                assert_eq!(
                    (&resumed["headSeq"], &resumed["complete"]),
                    (&json!(1), &json!(true)),
                    "{resumed}"
                );
            }
        }
    }
    app.stop().await;
}
