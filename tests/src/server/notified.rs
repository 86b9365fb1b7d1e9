//! Notifications: who is told of what, and where it was read.

use ::http::Method;
use serde_json::{Value, json};
use stack::PostgresDatabase;

use super::{
    api::Person,
    mail::verified,
    notifications::Notified,
    push::web_device,
    server_process::ServerProcess,
    test_app::{TestApp, on_a_fleet},
};
use crate::deadline::{becomes, within};

const NOTIFICATIONS: &str = "/api/v1/notifications";

/// A server that has tables; on a fleet they are in a database, which goes with this.
async fn start() -> (TestApp, Option<PostgresDatabase>) {
    start_with(&[]).await
}

/// The same with these variables.
pub async fn start_with(variables: &[(&str, &str)]) -> (TestApp, Option<PostgresDatabase>) {
    let database = on_a_fleet().then(PostgresDatabase::shared);
    let Some(database) = database else {
        return (TestApp::start_with(variables).await, None);
    };
    let mut variables = variables.to_vec();
    variables.push(("DATABASE_URL", &database.url));
    let app = TestApp::start_with(&variables).await;
    app.migrate().await;
    // Nothing can be missed once the tables are there and a position is written down.
    within("a reader of the logs", async {
        let (ana, bea) = (app.register("first").await, app.register("second").await);
        let room = direct(&app, &ana, &bea).await;
        loop {
            say(&app, &ana, &room, "hello").await;
            if !list(&app, &bea).await["notifications"]
                .as_array()
                .is_none_or(Vec::is_empty)
            {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    })
    .await;
    (app, Some(database))
}

pub async fn direct(app: &TestApp, one: &Person, other: &Person) -> String {
    let body = json!({ "kind": "direct", "members": [other.id] });
    let made = app.post("/api/v1/rooms", Some(one), body).await.expect(201);
    made["room"]["id"].as_str().unwrap().to_owned()
}

/// A public room of the first one, in which the others are, by their own will.
async fn hall(app: &TestApp, owner: &Person, others: &[&Person]) -> String {
    let mut socket = app.connect(owner).await;
    let room = socket.create("public", "hall").await;
    for other in others {
        app.connect(other).await.join(&room).await;
    }
    room
}

pub async fn say(app: &TestApp, person: &Person, room: &str, body: &str) -> u64 {
    post(app, person, room, json!({ "body": body })).await
}

async fn post(app: &TestApp, person: &Person, room: &str, body: Value) -> u64 {
    let path = format!("/api/v1/rooms/{room}/messages");
    let sent = app.post(&path, Some(person), body).await.expect(201);
    sent["message"]["seq"].as_u64().unwrap()
}

async fn list(app: &TestApp, person: &Person) -> Value {
    let answer = app.get(NOTIFICATIONS, Some(person)).await;
    if answer.status == 503 {
        return json!({ "notifications": [] });
    }
    answer.expect(200)
}

/// Somebody's notifications, the oldest first, as kind and body, once there are so many.
async fn has(app: &TestApp, person: &Person, count: usize) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    within("notifications", async {
        loop {
            let listed = list(app, person).await;
            let found = listed["notifications"].as_array().unwrap();
            assert!(found.len() <= count, "{listed}");
            if found.len() == count {
                let pairs = found.iter().rev();
                return pairs
                    .map(|it| (text(&it["kind"]), text(&it["body"])))
                    .collect();
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await
}

async fn people(app: &TestApp) -> [Person; 3] {
    [
        app.register("ana").await,
        app.register("bea").await,
        app.register("eve").await,
    ]
}

fn pair(kind: &str, body: &str) -> (String, String) {
    (kind.to_owned(), body.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_a_message_concerns_is_told_once_on_every_device() {
    let (app, _database) = start().await;
    let [ana, bea, eve] = people(&app).await;
    let room = hall(&app, &ana, &[&bea, &eve]).await;
    let mut devices = [
        Notified::connect(&app, &bea).await,
        Notified::connect(&app, &bea).await,
    ];
    let question = say(&app, &bea, &room, "Who is there?").await;
    let seq = say(&app, &ana, &room, "Me, @bea").await;
    for device in &mut devices {
        let told = device.told("notification:new").await;
        assert_eq!(
            (&told["kind"], &told["title"], &told["body"], &told["data"]),
            (
                &json!("mention"),
                &json!("ana · hall"),
                &json!("Me, @bea"),
                &json!({ "roomId": room, "seq": seq, "senderId": ana.id })
            )
        );
        assert_eq!(told.get("readAt"), None);
    }
    // An answer in which the other is named is one notification.
    let answer = json!({ "body": "I am, @bea", "replyTo": question });
    post(&app, &ana, &room, answer).await;
    let answer = json!({ "body": "So am I", "replyTo": question });
    post(&app, &eve, &room, answer).await;
    let two = direct(&app, &ana, &bea).await;
    say(&app, &ana, &two, "Between us").await;
    let mut told = has(&app, &bea, 4).await;
    told.sort();
    let mut expected = [
        pair("mention", "Me, @bea"),
        pair("mention", "I am, @bea"),
        pair("reply", "So am I"),
        pair("direct", "Between us"),
    ];
    expected.sort();
    assert_eq!(told, expected);
    assert_eq!(has(&app, &eve, 0).await, []);
    assert_eq!(has(&app, &ana, 0).await, []);

    // What is read here is read there.
    let page = devices[0]
        .ask("notification:list", json!({ "unread": true, "limit": 3 }))
        .await;
    assert_eq!(
        (&page["ok"], &page["unread"], &page["hasMore"]),
        (&json!(true), &json!(4), &json!(true))
    );
    let ids: Vec<_> = page["notifications"].as_array().unwrap()[..2]
        .iter()
        .map(|it| it["id"].clone())
        .collect();
    let left = devices[0]
        .ask("notification:read", json!({ "ids": ids }))
        .await;
    assert_eq!((&left["ok"], &left["unread"]), (&json!(true), &json!(2)));
    let read = devices[1].told("notification:read").await;
    let mut read: Vec<_> = read["ids"].as_array().unwrap().clone();
    let mut wanted = ids.clone();
    for ids in [&mut read, &mut wanted] {
        ids.sort_by_key(ToString::to_string);
    }
    assert_eq!(read, wanted);
    let last = page["notifications"][2]["id"].as_str().unwrap();
    let path = format!("{NOTIFICATIONS}/{last}/read");
    // Another's isn't there.
    assert_eq!(
        app.post(&path, Some(&eve), json!({})).await.code(),
        "not_found"
    );
    for _ in 0..2 {
        app.post(&path, Some(&bea), json!({})).await.expect(204);
    }
    assert_eq!(list(&app, &bea).await["unread"], 1);
    let path = format!("{NOTIFICATIONS}/read-all");
    app.post(&path, Some(&bea), json!({})).await.expect(204);
    let listed = list(&app, &bea).await;
    assert_eq!(listed["unread"], 0);
    let all = listed["notifications"].as_array().unwrap();
    assert!(all.iter().all(|it| it["readAt"].is_string()), "{listed}");
    // Pages.
    let path = format!("{NOTIFICATIONS}?limit=3");
    let first = app.get(&path, Some(&bea)).await.expect(200);
    let before = first["notifications"][2]["id"].as_str().unwrap();
    let path = format!("{path}&before={before}");
    let second = app.get(&path, Some(&bea)).await.expect(200);
    assert_eq!(second["notifications"].as_array().unwrap().len(), 1);
    assert_eq!(second["hasMore"], false);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_are_told_of_as_each_wishes_and_blocks_hold() {
    let (app, _database) = start().await;
    let [ana, bea, eve] = people(&app).await;
    let room = hall(&app, &ana, &[&bea, &eve]).await;
    let path = format!("/api/v1/rooms/{room}/preferences");
    let said = app.get(&path, Some(&bea)).await.expect(200);
    assert_eq!(said, json!({ "notify": "mentions" }));
    for (person, notify) in [(&bea, "all"), (&eve, "nothing")] {
        app.put(&path, person, json!({ "notify": notify }))
            .await
            .expect(204);
        let said = app.get(&path, Some(person)).await.expect(200);
        assert_eq!(said, json!({ "notify": notify }));
    }
    assert_eq!(
        app.put(&path, &bea, json!({ "notify": "some" }))
            .await
            .code(),
        "invalid"
    );
    let stranger = app.register("stranger").await;
    let refused = app.put(&path, &stranger, json!({ "notify": "all" })).await;
    assert_eq!(refused.code(), "forbidden");
    say(&app, &ana, &room, "to nobody").await;
    say(&app, &ana, &room, "to @bea and @eve").await;
    assert_eq!(
        has(&app, &bea, 2).await,
        [
            pair("message", "to nobody"),
            pair("mention", "to @bea and @eve")
        ]
    );
    assert_eq!(has(&app, &eve, 0).await, []);

    // Who has left, and who has blocked the other, isn't told.
    let me = format!("/api/v1/rooms/{room}/members/{}", bea.id);
    app.delete(&me, &bea).await.expect(204);
    say(&app, &ana, &room, "behind your back").await;
    app.connect(&bea).await.join(&room).await;
    let block = format!("/api/v1/me/blocks/{}", ana.id);
    app.put(&block, &bea, json!({})).await.expect(204);
    say(&app, &ana, &room, "can you hear me, @bea?").await;
    // It is behind those before it.
    say(&app, &eve, &room, "hello").await;
    let told = has(&app, &bea, 3).await;
    assert_eq!(told[2], pair("message", "hello"));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_a_room_reads_what_is_about_it_and_a_deleted_message_leaves_no_text() {
    let (app, _database) = start().await;
    let (ana, bea) = (app.register("ana").await, app.register("bea").await);
    let room = hall(&app, &ana, &[&bea]).await;
    let mut device = Notified::connect(&app, &bea).await;
    let first = say(&app, &ana, &room, "one @bea").await;
    let second = say(&app, &ana, &room, "two @bea").await;
    has(&app, &bea, 2).await;
    let mut socket = app.connect(&bea).await;
    socket
        .done("read:set", json!({ "roomId": room, "seq": first }))
        .await;
    device.told("notification:read").await;
    assert_eq!(list(&app, &bea).await["unread"], 1);
    let path = format!("{NOTIFICATIONS}?unread=true");
    let unread = app.get(&path, Some(&bea)).await.expect(200);
    assert_eq!(unread["notifications"][0]["body"], "two @bea");
    let mut anas = app.connect(&ana).await;
    anas.done("message:delete", json!({ "roomId": room, "seq": second }))
        .await;
    within("no text", async {
        while list(&app, &bea).await["notifications"][0]["body"] != "" {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_added_to_a_room_is_told_by_whom() {
    let (app, _database) = start().await;
    let (ana, bea) = (app.register("ana").await, app.register("bea").await);
    let mut device = Notified::connect(&app, &bea).await;
    let body = json!({ "kind": "private", "name": "study", "members": [bea.id] });
    let made = app
        .post("/api/v1/rooms", Some(&ana), body)
        .await
        .expect(201);
    let told = device.told("notification:new").await;
    assert_eq!(
        (&told["kind"], &told["title"], &told["data"]),
        (
            &json!("invitation"),
            &json!("ana · study"),
            &json!({ "roomId": made["room"]["id"], "senderId": ana.id })
        )
    );
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_is_derived_once_whoever_restarts() {
    let (app, _database) = start().await;
    let (ana, bea) = (app.register("ana").await, app.register("bea").await);
    let room = direct(&app, &ana, &bea).await;
    let mut bodies = Vec::new();
    for n in 0..5 {
        let body = format!("before {n}");
        say(&app, &ana, &room, &body).await;
        bodies.push(pair("direct", &body));
    }
    // Some are derived already, others not.
    let app = app.restart().await;
    let (ana, bea) = (app.sign_in("ana").await, app.sign_in("bea").await);
    say(&app, &ana, &room, "after").await;
    bodies.push(pair("direct", "after"));
    assert_eq!(has(&app, &bea, 6).await, bodies);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn preferences_are_ones_own_and_are_checked() {
    let (app, _database) = start().await;
    let ana = app.register("ana").await;
    let path = "/api/v1/me/preferences";
    let default = json!({ "mail": true, "push": true, "language": "en" });
    assert_eq!(app.get(path, Some(&ana)).await.expect(200), default);
    let hours = json!({ "from": "22:00", "to": "07:30", "timeZone": "Europe/Madrid" });
    let change = json!({ "mail": false, "quietHours": hours, "language": "es" });
    let changed = json!({ "mail": false, "push": true, "quietHours": hours, "language": "es" });
    assert_eq!(app.patch(path, &ana, change).await.expect(200), changed);
    for (wrong, field) in [
        (
            json!({ "quietHours": { "from": "22:00", "to": "25:00", "timeZone": "UTC" } }),
            "quietHours.to",
        ),
        (
            json!({ "quietHours": { "from": "22:00", "to": "07:00", "timeZone": "Mars/Crater" } }),
            "quietHours.timeZone",
        ),
        (
            json!({ "quietHours": { "from": "22:00" } }),
            "quietHours.to",
        ),
        (json!({ "mail": "yes" }), "mail"),
        (json!({ "language": "tlh" }), "language"),
    ] {
        let refused = app.patch(path, &ana, wrong).await;
        assert_eq!(refused.code(), "invalid");
        let detail = refused.body["detail"].as_str().unwrap();
        assert!(detail.starts_with(field), "{detail}");
    }
    assert_eq!(app.get(path, Some(&ana)).await.expect(200), changed);
    let never = json!({ "quietHours": null });
    let left = json!({ "mail": false, "push": true, "language": "es" });
    assert_eq!(app.patch(path, &ana, never).await.expect(200), left);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_without_tables_has_none() {
    if !on_a_fleet() {
        return;
    }
    let app = TestApp::start().await;
    let ana = app.register("ana").await;
    for (method, path) in [
        (Method::GET, NOTIFICATIONS),
        (Method::GET, "/api/v1/me/preferences"),
    ] {
        let answer = app.request(method, path, Some(&ana), None).await;
        assert_eq!(answer.code(), "not_found");
    }
    let mut device = Notified::connect(&app, &ana).await;
    let refused = device.ask("notification:list", json!({})).await;
    assert_eq!(refused["error"]["code"], "not_found");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_account_is_named_to_nobody() {
    let (app, _database) = start_with(&[]).await;
    let [ana, bea, eve] = people(&app).await;
    let (first, second) = (
        direct(&app, &ana, &bea).await,
        direct(&app, &ana, &eve).await,
    );
    say(&app, &bea, &first, "hello").await;
    say(&app, &eve, &second, "good day").await;
    has(&app, &ana, 2).await;
    let mut device = Notified::connect(&app, &ana).await;
    app.delete("/api/v1/me", &bea).await.expect(204);
    let left = list(&app, &ana).await;
    let left = left["notifications"].as_array().unwrap();
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(left[0]["title"], "eve");
    let gone = device.told("notification:read").await;
    assert_eq!(gone["ids"].as_array().unwrap().len(), 1);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_deleted_account_stays() {
    if on_a_fleet() {
        return;
    }
    let app = TestApp::start_embedded().await;
    let (ana, bea) = (app.register("ana").await, verified(&app, "bea").await);
    let room = hall(&app, &ana, &[&bea]).await;
    let wish = json!({ "notify": "all" });
    let path = format!("/api/v1/rooms/{room}/preferences");
    app.put(&path, &bea, wish).await.expect(204);
    let device = web_device("https://push.example.org/bea");
    app.put("/api/v1/devices/laptop", &bea, device)
        .await
        .expect(204);
    say(&app, &ana, &room, "one").await;
    has(&app, &bea, 1).await;
    app.delete("/api/v1/me", &bea).await.expect(204);
    let (app, left) = app
        .changed_while_stopped(|data| {
            let tables = rusqlite::Connection::open(data.join("tables/tables.db")).unwrap();
            let user = [
                "notifications",
                "room_preferences",
                "devices",
                "verified_emails",
                "verification_emails",
            ];
            user.map(|table| {
                let count = format!("SELECT count(*) FROM {table} WHERE user_id = ?1");
                let left = tables.query_row(&count, [&bea.id], |row| row.get::<_, i64>(0));
                left.unwrap()
            })
        })
        .await;
    assert_eq!(left, [0; 5]);
    app.stop().await;
}

#[tokio::test]
async fn what_was_said_of_a_room_goes_with_it() {
    if on_a_fleet() {
        // The store's tests have it.
        return;
    }
    let app = TestApp::start_embedded().await;
    let ana = app.register("ana").await;
    let mut client = app.connect(&ana).await;
    let (kept, gone) = (
        client.create("private", "Kept").await,
        client.create("private", "Gone").await,
    );
    for room in [&kept, &gone] {
        let path = format!("/api/v1/rooms/{room}/preferences");
        app.put(&path, &ana, json!({ "notify": "nothing" })).await;
    }
    let path = format!("/api/v1/rooms/{gone}");
    app.delete(&path, &ana).await.expect(204);
    let app = app.restart().await;
    let tables = app.data_dir().join("tables/tables.db");
    let tables = rusqlite::Connection::open(tables).unwrap();
    let said = || {
        let mut said = tables
            .prepare("SELECT room_id FROM room_preferences")
            .unwrap();
        let rooms = said.query_map([], |row| row.get::<_, String>(0)).unwrap();
        rooms.collect::<Result<Vec<_>, _>>().unwrap()
    };
    becomes("rooms of which something is kept", vec![kept], said).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_that_was_acked_survives_the_end_of_the_process() {
    if on_a_fleet() {
        return;
    }
    let data = tempfile::TempDir::new().unwrap();
    let server = ServerProcess::start(data.path(), &[]).await;
    let (ana, bea) = (server.register("ana").await, server.register("bea").await);
    let new = json!({ "kind": "private", "name": "club" });
    let made = server.post("/api/v1/rooms", Some(&ana), new).await;
    let room = made.expect(201)["room"]["id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/rooms/{room}/members/{}", bea.id);
    server.put(&path, &ana, json!({})).await.expect(200);
    server.kill().await;
    let server = ServerProcess::start(data.path(), &[]).await;
    let bea = server.sign_in("bea").await;
    let listed = within("the invitation", async {
        loop {
            let listed = server.get(NOTIFICATIONS, Some(&bea)).await.expect(200);
            if !listed["notifications"][0].is_null() {
                return listed;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    })
    .await;
    assert_eq!(listed["notifications"][0]["kind"], "invitation");
    assert_eq!(listed["notifications"].as_array().unwrap().len(), 1);
    assert!(server.stop().await.0.success());
}
