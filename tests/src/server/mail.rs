//! Emails: addresses are verified, forgotten passwords replaced, and who is away is told once.

use std::{fs, time::Duration};

use ::http::Method;
use serde_json::json;
use stack::PostgresDatabase;

use super::{
    api::{Person, person},
    notified::{direct, say, start_with},
    test_app::{TestApp, on_a_fleet},
};
use crate::{client::http::request, deadline::within};

mod smtp;

/// An email, decoded.
pub struct Email {
    pub head: String,
    pub text: String,
}

impl Email {
    pub fn read(raw: &str) -> Self {
        let (head, body) = raw.split_once("\r\n\r\n").unwrap();
        // Quoted-printable, as far as these emails have it.
        let text = body.replace("=\r\n", "").replace("=3D", "=");
        Self {
            head: head.replace("\r\n ", " ").replace("\r\n\t", " "),
            text,
        }
    }

    /// What is behind this in the text, up to white space.
    pub fn behind(&self, what: &str) -> String {
        let (_, rest) = self.text.split_once(what).expect("a link");
        rest.split_whitespace().next().unwrap().to_owned()
    }
}

/// The emails to an address, the oldest first, once there are so many.
async fn emails(app: &TestApp, to: &str, count: usize) -> Vec<Email> {
    let directory = app.data_dir().join("mail");
    within("emails", async {
        loop {
            let mut files: Vec<_> = fs::read_dir(&directory)
                .map(|files| files.map(|file| file.unwrap().path()).collect())
                .unwrap_or_default();
            files
                .retain(|path: &std::path::PathBuf| path.extension().is_some_and(|it| it == "eml"));
            files.sort();
            let all = files.iter().map(|path| fs::read_to_string(path).unwrap());
            let emails: Vec<_> = all
                .map(|raw| Email::read(&raw))
                .filter(|message| message.head.contains(to))
                .collect();
            assert!(emails.len() <= count, "{}", emails.len());
            if emails.len() == count {
                return emails;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
}

/// Somebody with a verified address.
pub async fn verified(app: &TestApp, name: &str) -> Person {
    let email = format!("{name}@example.org");
    let body = json!({ "username": name, "password": "correct horse", "email": email });
    let tokens = app.post("/api/v1/auth/register", None, body).await;
    let person = person(&tokens.expect(201));
    let token = emails(app, &email, 1).await[0].behind("#verify-email=");
    let body = json!({ "token": token });
    app.post("/api/v1/auth/verify-email", None, body)
        .await
        .expect(204);
    person
}

async fn start(variables: &[(&str, &str)]) -> (TestApp, Option<PostgresDatabase>) {
    start_with(variables).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_password_is_replaced_by_a_link_that_works_once() {
    let (app, _database) = start(&[("PUBLIC_URL", "https://chat.example.org")]).await;
    let ana = verified(&app, "ana").await;
    // Nobody learns who has an account, or a verified address.
    let body =
        json!({ "username": "bea", "password": "correct horse", "email": "bea@example.org" });
    app.post("/api/v1/auth/register", None, body)
        .await
        .expect(201);
    emails(&app, "bea@example.org", 1).await;
    for email in ["nobody@example.org", "bea@example.org", "ANA@example.org"] {
        let asked = app.post("/api/v1/auth/forgot", None, json!({ "email": email }));
        assert_eq!(asked.await.expect(202), json!(null));
    }
    let sent = emails(&app, "ana@example.org", 2).await;
    assert!(
        sent[1]
            .text
            .contains("https://chat.example.org/#reset-password=")
    );
    let token = sent[1].behind("#reset-password=");
    let short = json!({ "token": token, "password": "short" });
    let refused = app.post("/api/v1/auth/reset", None, short).await;
    assert_eq!(refused.code(), "invalid");
    let forged = json!({ "token": format!("x{token}"), "password": "battery staple" });
    let refused = app.post("/api/v1/auth/reset", None, forged).await;
    assert_eq!(refused.code(), "invalid");
    let reset = json!({ "token": token, "password": "battery staple" });
    app.post("/api/v1/auth/reset", None, reset.clone())
        .await
        .expect(204);
    app.is_out(&ana).await;
    let refused = app.post("/api/v1/auth/reset", None, reset).await;
    assert_eq!(refused.code(), "invalid");
    for (password, status) in [("correct horse", 401), ("battery staple", 200)] {
        let body = json!({ "username": "ana", "password": password });
        let answer = app.post("/api/v1/auth/login", None, body).await;
        assert_eq!(answer.status.as_u16(), status);
    }
    // A link to verify an address that isn't the user's any more.
    let ana = {
        let body = json!({ "username": "ana", "password": "battery staple" });
        person(&app.post("/api/v1/auth/login", None, body).await.expect(200))
    };
    for email in ["first@example.org", "second@example.org"] {
        let body = json!({ "email": email, "currentPassword": "battery staple" });
        app.patch("/api/v1/me", &ana, body).await.expect(200);
    }
    let second = emails(&app, "second@example.org", 1).await[0].behind("#verify-email=");
    let body = json!({ "token": second });
    app.post("/api/v1/auth/verify-email", None, body)
        .await
        .expect(204);
    // The former address gets nothing more.
    app.post(
        "/api/v1/auth/forgot",
        None,
        json!({ "email": "ana@example.org" }),
    )
    .await
    .expect(202);
    let anas = emails(&app, "ana@example.org", 3).await;
    assert!(anas[2].text.contains("isn't the e-mail address"));
    emails(&app, "bea@example.org", 1).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_away_gets_one_email_and_ends_them_with_one_click() {
    let (app, _database) = start(&[("MAIL_AFTER_SECONDS", "2")]).await;
    let (ana, bea) = (app.register("ana").await, verified(&app, "bea").await);
    app.patch("/api/v1/me/preferences", &bea, json!({ "language": "es" }))
        .await
        .expect(200);
    let room = direct(&app, &ana, &bea).await;
    for body in ["one <b>", "two"] {
        say(&app, &ana, &room, body).await;
    }
    let sent = emails(&app, "bea@example.org", 2).await;
    let digest = &sent[1];
    for part in [
        "List-Unsubscribe-Post: List-Unsubscribe=One-Click",
        "Content-Language: es",
        "Auto-Submitted: auto-generated",
    ] {
        assert!(digest.head.contains(part), "{}", digest.head);
    }
    assert!(digest.text.contains("ana: one <b>") && digest.text.contains("one &lt;b&gt;"));
    let (_, link) = digest.head.split_once("List-Unsubscribe: <").unwrap();
    let (link, _) = link.split_once('>').unwrap();
    let (_, path) = link.split_once("/api/").unwrap();
    let path = format!("/api/{}", path.replace(' ', ""));
    // Whoever only follows the link ends nothing.
    let preferences = async || {
        let read = app.get("/api/v1/me/preferences", Some(&bea)).await;
        read.expect(200)["mail"].as_bool().unwrap()
    };
    let page = request(app.address(), Method::GET, &path, &[], "").await;
    assert_eq!(page.status, 200);
    assert!(preferences().await);
    let forged = path.replace("token=", "token=x");
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let click = "List-Unsubscribe=One-Click";
    let refused = request(app.address(), Method::POST, &forged, &form, click).await;
    assert_eq!(refused.status, 400);
    assert!(preferences().await);
    let done = request(app.address(), Method::POST, &path, &form, click).await;
    assert_eq!(done.status, 200);
    assert!(!preferences().await);
    // Whoever has a former address ends nothing.
    let body = json!({ "email": "new@example.org", "currentPassword": "correct horse" });
    app.patch("/api/v1/me", &bea, body).await.expect(200);
    app.patch("/api/v1/me/preferences", &bea, json!({ "mail": true }))
        .await
        .expect(200);
    let refused = request(app.address(), Method::POST, &path, &form, click).await;
    assert_eq!(refused.status, 400);
    assert!(preferences().await);
    app.delete("/api/v1/me", &bea).await.expect(204);
    let refused = request(app.address(), Method::POST, &path, &form, click).await;
    assert_eq!(refused.status, 400);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_email_leaves_by_smtp_once_the_server_takes_it() {
    let server = smtp::Server::start(&["451 4.3.0 later"]).await;
    let url = format!("smtp://{}", server.address);
    let (app, _database) = start(&[
        ("SMTP_URL", &url),
        ("MAIL_FROM", "Tertulia <chat@example.org>"),
        ("PUBLIC_URL", "https://chat.example.org"),
    ])
    .await;
    let body =
        json!({ "username": "ana", "password": "correct horse", "email": "ana@example.org" });
    app.post("/api/v1/auth/register", None, body)
        .await
        .expect(201);
    let raw = within("an email", server.message()).await;
    let message = Email::read(&raw);
    for part in [
        "From: Tertulia <chat@example.org>",
        "ana@example.org",
        "multipart/alternative",
    ] {
        assert!(
            message.head.replace('"', "").contains(part),
            "{}",
            message.head
        );
    }
    let body = json!({ "token": message.behind("#verify-email=") });
    app.post("/api/v1/auth/verify-email", None, body)
        .await
        .expect(204);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_changed_by_who_knows_the_password() {
    let (app, _database) = start(&[]).await;
    let ana = verified(&app, "ana").await;
    for email in [json!("eve@example.org"), json!(null)] {
        let body = json!({ "email": email });
        let refused = app.patch("/api/v1/me", &ana, body).await;
        let detail = refused.refused("invalid");
        assert!(detail.starts_with("currentPassword"), "{detail}");
        let body = json!({ "email": email, "currentPassword": "a guess" });
        let refused = app.patch("/api/v1/me", &ana, body).await;
        let detail = refused.refused("forbidden");
        assert!(detail.starts_with("currentPassword"), "{detail}");
    }
    let me = app.get("/api/v1/me", Some(&ana)).await.expect(200);
    assert_eq!(me["user"]["email"], "ana@example.org");
    let name = json!({ "displayName": "Ana" });
    app.patch("/api/v1/me", &ana, name).await.expect(200);
    let body = json!({ "email": null, "currentPassword": "correct horse" });
    app.patch("/api/v1/me", &ana, body).await.expect(200);
    let told = emails(&app, "ana@example.org", 2).await;
    assert!(told[1].text.contains("isn't the e-mail address"));
    // It isn't hers any more, even if she gives it again.
    let body = json!({ "email": "ana@example.org", "currentPassword": "correct horse" });
    app.patch("/api/v1/me", &ana, body).await.expect(200);
    let again = emails(&app, "ana@example.org", 3).await;
    assert!(again[2].text.contains("#verify-email="));
    // Nor is it once she is gone.
    app.delete("/api/v1/me", &ana).await.expect(204);
    let body = json!({ "token": again[2].behind("#verify-email=") });
    app.post("/api/v1/auth/verify-email", None, body)
        .await
        .refused("invalid");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_get_few_emails() {
    let (app, _database) = start(&[("RATE_LIMIT_EMAILS", "9/1h")]).await;
    let account = |name: &str| json!({ "username": name, "password": "correct horse", "email": "stranger@example.org" });
    let register = async |body| app.post("/api/v1/auth/register", None, body).await;
    let ana = person(&register(account("ana")).await.expect(201));
    // However often it is given, and by however many.
    for _ in 0..4 {
        let body = json!({ "email": "stranger@example.org", "currentPassword": "correct horse" });
        app.patch("/api/v1/me", &ana, body).await.expect(200);
    }
    register(account("bea")).await.expect(201);
    register(account("carl")).await.expect(201);
    let body = json!({ "email": "other@example.org", "currentPassword": "correct horse" });
    app.patch("/api/v1/me", &ana, body).await.expect(200);
    emails(&app, "other@example.org", 1).await;
    emails(&app, "stranger@example.org", 5).await;
    // By the address that asks.
    register(account("dora")).await.expect(201);
    register(account("eve")).await.refused("rate_limited");
    let without = json!({ "username": "eve", "password": "correct horse" });
    register(without).await.expect(201);
    emails(&app, "stranger@example.org", 5).await;
    app.stop().await;
}

/// A server whose emails leave by this one, with two accounts that share a verified address.
async fn with_a_shared_address(server: &smtp::Server) -> (TestApp, Option<PostgresDatabase>) {
    let url = format!("smtp://{}", server.address);
    let (app, database) = start(&[
        ("SMTP_URL", &url),
        ("MAIL_FROM", "Tertulia <chat@example.org>"),
        ("PUBLIC_URL", "https://chat.example.org"),
    ])
    .await;
    for name in ["ana", "bea"] {
        let body =
            json!({ "username": name, "password": "correct horse", "email": "us@example.org" });
        app.post("/api/v1/auth/register", None, body)
            .await
            .expect(201);
        let message = Email::read(&within("an email", server.message()).await);
        let body = json!({ "token": message.behind("#verify-email=") });
        app.post("/api/v1/auth/verify-email", None, body)
            .await
            .expect(204);
    }
    (app, database)
}

async fn forgot(app: &TestApp) {
    let body = json!({ "email": "us@example.org" });
    app.post("/api/v1/auth/forgot", None, body)
        .await
        .expect(202);
}

/// Whose account the next email is about.
async fn account_of_next(server: &smtp::Server) -> String {
    let message = Email::read(&within("an email", server.message()).await);
    let name = message.behind("your account ");
    name.trim_end_matches('.').to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_email_that_waits_repeats_no_other_one() {
    let server = smtp::Server::start(&[]).await;
    let (app, _database) = with_a_shared_address(&server).await;
    server.refuse(&["250 taken by the test", "451 4.3.0 later"]);
    forgot(&app).await;
    within("two attempts", server.has_refused()).await;
    // The first one was taken: it is known by its absence.
    let second = account_of_next(&server).await;
    assert!(["ana", "bea"].contains(&&*second), "{second}");
    // Nothing else is under way.
    let body =
        json!({ "username": "carl", "password": "correct horse", "email": "carl@example.org" });
    app.post("/api/v1/auth/register", None, body)
        .await
        .expect(201);
    let next = within("an email", server.message()).await;
    assert!(next.contains("carl@example.org"));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_email_that_waits_keeps_no_later_one_back() {
    if on_a_fleet() {
        // Its tables can't be changed from here.
        return;
    }
    let server = smtp::Server::start(&[]).await;
    let (app, _) = with_a_shared_address(&server).await;
    server.refuse(&["451 4.3.0 later", "451 4.3.0 later"]);
    forgot(&app).await;
    within("two attempts", server.has_refused()).await;
    // They wait for hours, and a minute has passed.
    let (app, waiting) = app
        .changed_while_stopped(|data| {
            let tables = rusqlite::Connection::open(data.join("tables/tables.db")).unwrap();
            let aged = "UPDATE verified_emails SET email_at = email_at - 120000, email_job = email_job - 120000";
            tables.execute(aged, []).unwrap();
            let later = "UPDATE jobs SET due_at = 9000000000000, claim = NULL WHERE kind LIKE 'mail.password_reset%'";
            tables.execute(later, []).unwrap()
        })
        .await;
    assert!(waiting > 0);
    forgot(&app).await;
    let mut accounts = [
        account_of_next(&server).await,
        account_of_next(&server).await,
    ];
    accounts.sort();
    assert_eq!(accounts, ["ana", "bea"]);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn preferences_that_change_at_the_same_time_both_do() {
    let (app, _database) = start(&[]).await;
    let ana = app.register("ana").await;
    let path = "/api/v1/me/preferences";
    for _ in 0..10 {
        let both = json!({ "mail": true, "push": true });
        app.patch(path, &ana, both).await.expect(200);
        let (mail, push) = tokio::join!(
            app.patch(path, &ana, json!({ "mail": false })),
            app.patch(path, &ana, json!({ "push": false })),
        );
        mail.expect(200);
        push.expect(200);
        let read = app.get(path, Some(&ana)).await.expect(200);
        assert_eq!(
            (&read["mail"], &read["push"]),
            (&json!(false), &json!(false))
        );
    }
    app.stop().await;
}
