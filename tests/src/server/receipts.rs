//! How far members have read.

use serde_json::json;

use super::test_app::TestApp;

#[tokio::test(flavor = "multi_thread")]
async fn read_marks_rise_only_and_never_pass_the_head() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.register("ana").await, app.guest("bea").await);
    let (mut anas, mut beas) = (app.connect(&ana).await, app.connect(&bea).await);
    let room = anas.create("public", "hall").await;
    beas.join(&room).await;
    for body in ["one", "two", "three"] {
        anas.say(&room, body).await;
    }
    for (seq, read, unread) in [(2, 2, 1), (1, 2, 1), (0, 2, 1), (99, 3, 0), (3, 3, 0)] {
        let answer = beas
            .done("read:set", json!({ "roomId": room, "seq": seq }))
            .await;
        assert_eq!(
            (&answer["readSeq"], &answer["unread"]),
            (&json!(read), &json!(unread)),
            "{seq}"
        );
    }
    let told = anas.event_that(|(name, told)| name == "read:changed" && told["seq"] == 3);
    assert_eq!(
        told.await.1,
        json!({ "roomId": room, "userId": bea.id, "seq": 3 })
    );
    let members = app
        .get(&format!("/api/v1/rooms/{room}/members"), Some(&ana))
        .await
        .expect(200);
    let read = |id: &str| {
        let members = members["members"].as_array().unwrap();
        let member = members.iter().find(|member| member["user"]["id"] == id);
        member.unwrap()["readSeq"].as_u64().unwrap()
    };
    assert_eq!((read(&bea.id), read(&ana.id)), (3, 0));
}
