//! What happened on each day, as administrators see it.

use std::time::Duration;

use protocol::Day;
use serde_json::{Value, json};
use stack::PostgresDatabase;

use super::test_app::{Person, TestApp, on_a_fleet};
use crate::deadline::within;

async fn rollups(app: &TestApp, person: &Person, query: &str) -> Vec<Value> {
    let path = format!("/api/v1/admin/rollups{query}");
    let page = app.get(&path, Some(person)).await.expect(200);
    page["rollups"].as_array().unwrap().clone()
}

#[tokio::test]
async fn messages_and_active_users_are_counted_by_day() {
    let database = on_a_fleet().then(PostgresDatabase::shared);
    let url = database.as_ref().map(|database| database.url.clone());
    let variables: Vec<_> = url.iter().map(|url| ("DATABASE_URL", &**url)).collect();
    let app = TestApp::start_with(&variables).await;
    if let Some(database) = &database {
        app.migrate().await;
        // Of what is written before a reader of the logs begins nothing is counted.
        let begun = "SELECT count(*) FROM log_cursors WHERE position IS NOT NULL";
        within("a reader of the logs", async {
            while database.run(begun) != Some(1) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
    }
    let (app, root) = app.with_administrator("root").await;
    let (ana, bea) = (app.register("ana").await, app.register("bea").await);
    let mut client = app.connect(&ana).await;
    let room = client.create("public", "Room").await;
    for body in ["one", "two"] {
        client.say(&room, body).await;
    }
    // Who never connects is active as well.
    let path = format!("/api/v1/rooms/{room}");
    let join = format!("{path}/members/{}", bea.id);
    app.put(&join, &ana, json!({ "role": "member" })).await;
    let message = json!({ "clientId": "b1", "body": "three" });
    let sent = app
        .post(&format!("{path}/messages"), Some(&bea), message)
        .await;
    sent.expect(201);
    assert_eq!(rollups(&app, &root, "").await, Vec::<Value>::new());

    // They are counted without going through the log again, also after a stop.
    let today = Day::today();
    let (app, root) = match &database {
        Some(database) => {
            let counted = format!("SELECT messages FROM daily_rollups WHERE day = '{today}'");
            within("messages that are counted", async {
                while database.run(&counted) != Some(3) {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            })
            .await;
            let noted = "SELECT count(*) FROM active_users";
            within("users who are noted", async {
                while database.run(noted) != Some(2) {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            })
            .await;
            // A day later, as the jobs of that day see it.
            database.run(&format!(
                "UPDATE daily_rollups SET day = '{0}' WHERE day = '{today}';
                 UPDATE active_users SET day = '{0}'; DELETE FROM jobs",
                today.plus(-1)
            ));
            (app.restart().await, root)
        }
        None => {
            let tables = app.data_dir().join("tables/tables.db");
            let tables = rusqlite::Connection::open(tables).unwrap();
            let counted = "SELECT messages FROM daily_rollups WHERE day = ?1";
            within("messages that are counted", async {
                while tables.query_row(counted, [today.to_string()], |row| row.get(0)) != Ok(3) {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            })
            .await;
            drop(tables);
            let (app, ()) = app
                .changed_while_stopped(|data| {
                    let tables = rusqlite::Connection::open(data.join("tables/tables.db")).unwrap();
                    let earlier = format!(
                        "UPDATE daily_rollups SET day = '{0}' WHERE day = '{today}';
                         UPDATE active_users SET day = '{0}'; DELETE FROM jobs",
                        today.plus(-1)
                    );
                    tables.execute_batch(&earlier).unwrap();
                })
                .await;
            (app, root)
        }
    };
    let yesterday = today.plus(-1).to_string();
    let expected = json!({ "day": yesterday, "messages": 3, "activeUsers": 2 });
    within("the roll-up of a day", async {
        while !rollups(&app, &root, "").await.contains(&expected) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    let of = |from: &str, to: &str| format!("?from={from}&to={to}");
    let only = rollups(&app, &root, &of(&yesterday, &yesterday)).await;
    assert_eq!(only, std::slice::from_ref(&expected));
    // The day that isn't over isn't shown.
    let until_today = rollups(&app, &root, &of(&yesterday, &today.to_string())).await;
    assert_eq!(until_today, [expected]);
    let before = today.plus(-2).to_string();
    assert_eq!(rollups(&app, &root, &of(&before, &before)).await.len(), 0);
    for wrong in ["?from=yesterday", "?from=2026-02-30", "?from=2020-01-01"] {
        let path = format!("/api/v1/admin/rollups{wrong}");
        assert_eq!(
            app.get(&path, Some(&root)).await.code(),
            "invalid",
            "{wrong}"
        );
    }
    let refused = app.get("/api/v1/admin/rollups", Some(&ana)).await;
    assert_eq!(refused.code(), "forbidden");
    app.stop().await;
}
