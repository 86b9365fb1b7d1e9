//! Tokens that another application issued, over real HTTP and HTTPS.

mod faults;
mod issuer;
mod keys;

use futures_util::future::join_all;
use protocol::Timestamp;
use serde_json::{Value, json};
use tertulia::auth::external_tokens::external_user_id;

use self::{
    issuer::{AUDIENCE, Answer, Issuer, NAME, authority},
    keys::{Key, sign_with_secret, unsigned},
};
use super::{
    chat_client::ChatClient,
    test_app::{self, Person, TestApp},
};
use crate::deadline::within;

const ME: &str = "/api/v1/me";
/// Of [`shared`] tokens.
pub const SECRET: &str = "a secret of two applications, 32 bytes";

fn now() -> i64 {
    Timestamp::now().unix_ms() / 1_000
}

/// The claims of a good token.
fn claims(subject: &str) -> Value {
    json!({
        "iss": NAME, "aud": AUDIENCE, "sub": subject, "name": subject, "iat": now(), "exp": now() + 600,
    })
}

fn with(mut claims: Value, changes: Value) -> Value {
    for (claim, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(claim)),
            value => claims[claim] = value.clone(),
        }
    }
    claims
}

/// Who has this token.
fn bearer(token: String) -> Person {
    Person {
        id: String::new(),
        access_token: token,
        refresh_token: String::new(),
    }
}

/// Who has a token that is signed with [`SECRET`].
pub fn shared(claims: &Value) -> Person {
    let header = json!({ "alg": "HS256", "typ": "JWT" });
    bearer(sign_with_secret(SECRET.as_bytes(), &header, claims))
}

async fn me(app: &TestApp, person: &Person) -> Value {
    app.get(ME, Some(person)).await.expect(200)["user"].take()
}

async fn connects(app: &TestApp, person: &Person) -> ChatClient {
    app.connect(person).await
}

/// Why a token is refused, over HTTP and for a connection alike.
async fn refused(app: &TestApp, token: &str) -> String {
    let answer = app.get(ME, Some(&bearer(token.to_owned()))).await;
    assert_eq!(answer.code(), "unauthenticated", "{}", answer.body);
    let refused = ChatClient::try_connect(app.address(), json!({ "token": token }))
        .await
        .err()
        .expect("a refusal");
    assert_eq!(refused["data"]["code"], "unauthenticated", "{refused}");
    assert_eq!(refused["message"], answer.body["detail"]);
    assert!(!refused.to_string().contains(token));
    refused["message"].as_str().unwrap().to_owned()
}

async fn start(issuer: &Issuer, more: &[(&str, &str)]) -> TestApp {
    // Tests don't wait a minute for a probe.
    let circuit = vec![("CIRCUIT_JWKS", "50%/1s")];
    TestApp::start_with(&[issuer.variables(), circuit, more.to_vec()].concat()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_secret_lets_the_users_of_another_application_in() {
    let variables = [("EXTERNAL_TOKENS_SECRET", SECRET)];
    let app = TestApp::start_with(&variables).await;
    let ben = app.register("ben").await;
    // As NestJS makes them: no issuer, no audience, a number.
    let claims = json!({ "sub": 7, "username": "ada", "iat": now(), "exp": now() + 600 });
    let ada = shared(&claims);
    let user = me(&app, &ada).await;
    assert_eq!(user["id"], external_user_id("", "7").as_str());
    assert_eq!(
        (&user["guest"], &user["role"]),
        (&json!(false), &json!("user"))
    );
    let mut adas = connects(&app, &ada).await;
    let mut bens = connects(&app, &ben).await;
    let hall = adas.create("public", "hall").await;
    bens.join(&hall).await;
    adas.say(&hall, "from elsewhere").await;
    let heard = bens.event("message:new").await;
    assert_eq!(heard["sender"]["id"], user["id"]);
    // What is of an account here isn't theirs.
    let sessions = app.get("/api/v1/sessions", Some(&ada)).await.expect(200);
    assert_eq!(sessions["sessions"], json!([]));
    let change = json!({ "currentPassword": "a password", "newPassword": "another one" });
    for (path, body) in [
        ("/api/v1/me/password", change),
        ("/api/v1/auth/logout", json!({})),
    ] {
        assert_eq!(app.post(path, Some(&ada), body).await.code(), "forbidden");
    }
    let login = json!({ "username": user["username"], "password": "a password" });
    let login = app.post("/api/v1/auth/login", None, login).await;
    assert_eq!(login.code(), "unauthenticated");
    // Somebody who is called there as a local account is called here is somebody else.
    let other = shared(&with(claims.clone(), json!({ "sub": ben.id })));
    assert_ne!(me(&app, &other).await["id"], ben.id.as_str());
    // Without an audience of its own, the server isn't the one that a token is for.
    let elsewhere = shared(&with(claims, json!({ "aud": "shop" }))).access_token;
    assert!(refused(&app, &elsewhere).await.contains("(aud)"));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn published_keys_of_every_kind_let_users_in() {
    let keys = [Key::rsa("r"), Key::p256("p"), Key::ed25519("e")];
    let issuer = Issuer::start_tls(&keys.each_ref()).await;
    let authority = authority();
    let trusted = [("TLS_CA_FILE", authority.to_str().unwrap())];
    let app = start(&issuer, &trusted).await;
    for key in &keys {
        let token = key.sign(&claims("ada"));
        let user = me(&app, &bearer(token.clone())).await;
        assert_eq!(user["id"], external_user_id(NAME, "ada").as_str());
        connects(&app, &bearer(token)).await;
        let several = with(claims("ada"), json!({ "aud": ["shop", AUDIENCE] }));
        me(&app, &bearer(key.sign(&several))).await;
        // The only key of its kind needs no name.
        let header = json!({ "alg": key.algorithm() });
        me(&app, &bearer(key.sign_with(&header, &claims("ada")))).await;
    }
    assert!(issuer.requests() <= 4, "{}", issuer.requests());
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_tokens_are_refused_with_words_that_help() {
    let (rsa, edwards) = (Key::rsa("r"), Key::ed25519("e"));
    let issuer = Issuer::start(&[&rsa, &edwards]).await;
    let app = start(&issuer, &[]).await;
    me(&app, &bearer(rsa.sign(&claims("ada")))).await;
    let signed = |changes| edwards.sign(&with(claims("ada"), changes));
    let far = now() - 120;
    for (token, words) in [
        (signed(json!({ "exp": far })), "has expired"),
        (signed(json!({ "exp": null })), "exp"),
        (signed(json!({ "exp": "9999999999" })), "exp"),
        (signed(json!({ "nbf": now() + 120 })), "(nbf or iat)"),
        (signed(json!({ "nbf": "soon" })), "nbf"),
        (signed(json!({ "iat": now() + 120 })), "(nbf or iat)"),
        (signed(json!({ "iat": null })), "iat"),
        (signed(json!({ "iss": "https://other.example/" })), "(iss)"),
        (signed(json!({ "iss": null })), "iss"),
        (signed(json!({ "aud": "shop" })), "(aud)"),
        (signed(json!({ "aud": ["shop"] })), "(aud)"),
        (signed(json!({ "aud": null })), "aud"),
        (signed(json!({ "sub": null })), "sub"),
        (signed(json!({ "sub": { "a": 1 } })), "claims"),
        (signed(json!({ "sub": true })), "sub"),
    ] {
        let message = refused(&app, &token).await;
        assert!(message.contains(words), "{message}");
    }
    let good = claims("ada");
    let public = rsa.jwk()["n"].as_str().unwrap().to_owned();
    let header = |alg: &str, kid: &str| json!({ "alg": alg, "kid": kid });
    let none = unsigned(&header("none", "e"), &good);
    let mut stolen = signed(json!({}));
    let others = edwards.sign(&claims("eve"));
    let (rest, _) = others.rsplit_once('.').unwrap();
    let (_, signature) = stolen.rsplit_once('.').unwrap();
    stolen = format!("{rest}.{signature}");
    for (token, words) in [
        (format!("{none}."), "(alg)"),
        (none, "(alg)"),
        // What everybody knows is no secret.
        (
            sign_with_secret(public.as_bytes(), &header("HS256", "r"), &good),
            "(alg)",
        ),
        (
            sign_with_secret(SECRET.as_bytes(), &header("HS256", "e"), &good),
            "(alg)",
        ),
        (edwards.sign_with(&header("RS256", "r"), &good), "signature"),
        (edwards.sign_with(&header("EdDSA", "r"), &good), "(kid)"),
        (Key::ed25519("e").sign(&good), "signature"),
        (Key::ed25519("unknown").sign(&good), "(kid)"),
        (
            edwards.sign_with(
                &json!({ "alg": "EdDSA", "kid": "e", "crit": ["b64"] }),
                &good,
            ),
            "(crit)",
        ),
        (stolen, "signature"),
        ("garbage".to_owned(), "no signed JSON Web Token"),
        ("a.b.c".to_owned(), "no signed JSON Web Token"),
    ] {
        let message = refused(&app, &token).await;
        assert!(message.contains(words), "{message}: {words}");
    }
    // The tokens of this server itself go on.
    let ben = app.register("ben").await;
    connects(&app, &ben).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_made_once_however_many_tokens_come_at_once() {
    let app = TestApp::start_with(&[("EXTERNAL_TOKENS_SECRET", SECRET)]).await;
    let ben = app.register("ben").await;
    let claims = json!({ "sub": "ada", "name": "Ada Lovelace", "iat": now(), "exp": now() + 600 });
    let ada = shared(&claims);
    let users = join_all((0..20).map(|_| me(&app, &ada))).await;
    assert!(users.iter().all(|user| *user == users[0]), "{users:?}");
    let found = app.get("/api/v1/users?query=lovelace", Some(&ben)).await;
    assert_eq!(found.expect(200)["users"].as_array().unwrap().len(), 1);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn later_tokens_change_name_and_role_and_earlier_ones_dont() {
    let variables = [
        ("EXTERNAL_TOKENS_SECRET", SECRET),
        ("EXTERNAL_TOKENS_NAME_CLAIM", "/profile/name"),
        ("EXTERNAL_TOKENS_ROLE_CLAIM", "https://app.example/roles"),
        ("EXTERNAL_TOKENS_ADMIN_ROLES", "owner"),
        ("EXTERNAL_TOKENS_STAFF_ROLES", "clerk"),
    ];
    let app = TestApp::start_with(&variables).await;
    let token = |age: i64, name: &str, roles: Value| {
        shared(&json!({
            "sub": "ada", "iat": now() - age, "exp": now() + 600, "profile": { "name": name },
            "https://app.example/roles": roles, "role": "admin", "roles": ["admin", "owner"],
        }))
    };
    let is_admin = async |person: &Person| {
        let answer = app.get("/api/v1/admin/instances", Some(person)).await;
        answer.status == 200
    };
    let first = token(30, "Ada", json!(["clerk", "owner"]));
    let user = me(&app, &first).await;
    assert_eq!(
        (&user["displayName"], &user["role"]),
        (&json!("Ada"), &json!("admin"))
    );
    assert!(is_admin(&first).await);
    let second = token(20, "Ada L.", json!("clerk"));
    let user = me(&app, &second).await;
    assert_eq!(
        (&user["displayName"], &user["role"]),
        (&json!("Ada L."), &json!("staff"))
    );
    for _ in 0..4 {
        let user = me(&app, &first).await;
        assert_eq!(
            (&user["displayName"], &user["role"]),
            (&json!("Ada L."), &json!("staff"))
        );
        assert!(!is_admin(&first).await);
    }
    // The name is the application's to change.
    let change = json!({ "displayName": "Eve" });
    assert_eq!(app.patch(ME, &second, change).await.code(), "forbidden");
    let change = json!({ "avatarUrl": "https://app.example/ada.png" });
    app.patch(ME, &second, change).await.expect(200);
    // One that can't be shown changes nothing; one that is too long is cut.
    let turned = token(10, "\u{202e}adA", json!([]));
    let user = me(&app, &turned).await;
    assert_eq!(
        (&user["displayName"], &user["role"]),
        (&json!("Ada L."), &json!("user"))
    );
    let long = me(&app, &token(5, &"a".repeat(500), json!([]))).await;
    assert_eq!(long["displayName"], "a".repeat(64));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_ends_with_its_token_so_that_the_client_brings_another() {
    let variables = [
        ("EXTERNAL_TOKENS_SECRET", SECRET),
        ("EXTERNAL_TOKENS_LEEWAY_SECONDS", "0"),
    ];
    let app = TestApp::start_with(&variables).await;
    let short = shared(&json!({ "sub": "ada", "iat": now(), "exp": now() + 2 }));
    let mut shorts = connects(&app, &short).await;
    let long = shared(&json!({ "sub": "ada", "iat": now(), "exp": now() + 600 }));
    let mut longs = connects(&app, &long).await;
    // 1013: try again later.
    assert_eq!(
        within("the end of the token", shorts.ended()).await,
        Some(1013)
    );
    assert!(refused(&app, &short.access_token).await.contains("expired"));
    longs.create("public", "still here").await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_user_of_another_application_is_gone_for_good() {
    let app = TestApp::start_with(&[("EXTERNAL_TOKENS_SECRET", SECRET)]).await;
    let claims = json!({ "sub": "ada", "iat": now(), "exp": now() + 600 });
    let (ada, again) = (shared(&claims), shared(&with(claims, json!({ "n": 1 }))));
    let (mut first, mut second) = (connects(&app, &ada).await, connects(&app, &again).await);
    app.delete(ME, &ada).await.expect(204);
    for socket in [&mut first, &mut second] {
        socket.event("session:revoked").await;
        socket.disconnected().await;
    }
    within("the end of the account everywhere", async {
        let mut refusals = 0;
        while refusals < 2 {
            let answer = app.get(ME, Some(&ada)).await;
            // Until an instance has heard of the end, it may know no more than that the token was revoked before.
            match answer.status == 401 && answer.body["detail"] == "the account was deleted" {
                true => refusals += 1,
                false => refusals = 0,
            }
        }
    })
    .await;
    assert!(refused(&app, &again.access_token).await.contains("deleted"));
    app.stop().await;
}

#[tokio::test]
async fn without_the_variables_tokens_of_others_are_refused() {
    let app = TestApp::start().await;
    let token = shared(&json!({ "sub": "ada", "iat": now(), "exp": now() + 600 }));
    refused(&app, &token.access_token).await;
    let long = bearer("a".repeat(4_097));
    let answer = app.get(ME, Some(&long)).await;
    assert_eq!(answer.code(), "unauthenticated");
    let detail = answer.body["detail"].as_str().unwrap();
    assert!(detail.contains("4096"), "{detail}");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn revoked_tokens_of_another_application_end_everywhere_and_later_ones_dont() {
    let variables = [
        ("EXTERNAL_TOKENS_SECRET", SECRET),
        ("EXTERNAL_TOKENS_LEEWAY_SECONDS", "2"),
    ];
    let app = TestApp::start_with(&variables).await;
    let issued = |at: i64| shared(&json!({ "sub": "ada", "iat": at, "exp": at + 600 }));
    let (old, older) = (issued(now()), issued(now() - 20));
    let (mut first, mut second) = (connects(&app, &old).await, connects(&app, &older).await);
    app.delete("/api/v1/sessions", &old).await.expect(204);
    for socket in [&mut first, &mut second] {
        socket.event("session:revoked").await;
        socket.disconnected().await;
    }
    within("the end of the tokens everywhere", async {
        let mut refusals = 0;
        while refusals < 2 {
            match app.get(ME, Some(&old)).await.status.as_u16() {
                401 => refusals += 1,
                _ => refusals = 0,
            }
        }
    })
    .await;
    assert!(refused(&app, &older.access_token).await.contains("revoked"));
    // The issuer's clock may be ahead by the leeway: this one may be of before.
    let ahead = issued(now() + 1).access_token;
    assert!(refused(&app, &ahead).await.contains("revoked"));
    within("a token that is certainly later", async {
        while app.get(ME, Some(&issued(now()))).await.status != 200 {}
    })
    .await;
    connects(&app, &issued(now())).await;
    app.stop().await;
}
