//! Issuers that are slow, down, too talkative, somebody else's, or change their keys.

use ::http::Method;

use super::*;
use crate::{
    client::{
        http,
        websocket::{Incoming, WebSocket},
    },
    deadline::becomes,
};

/// The token's key can't be had: nobody is refused for good.
async fn is_asked_to_try_again(app: &TestApp, token: &str) {
    let header = format!("Bearer {token}");
    let headers = [("authorization", header.as_str())];
    let over_http = async {
        let answer = http::request(app.address(), Method::GET, ME, &headers, "").await;
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert!(answer.headers.contains_key("retry-after"));
    };
    let connecting = async {
        let mut socket = WebSocket::open(app.address()).await;
        socket
            .send(&format!("40{}", json!({ "token": token })))
            .await;
        assert_eq!(socket.closed().await.0, 1013);
    };
    tokio::join!(over_http, connecting);
}

/// A token is accepted, once its key is known.
async fn becomes_good(app: &TestApp, token: &str) {
    let person = bearer(token.to_owned());
    within("the key of a token", async {
        while app.get(ME, Some(&person)).await.status != 200 {}
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_is_down_keeps_nobody_out_whose_key_is_known() {
    let (old, new) = (Key::ed25519("old"), Key::ed25519("new"));
    let issuer = Issuer::start(&[&old]).await;
    let app = start(&issuer, &[]).await;
    let ada = bearer(old.sign(&claims("ada")));
    // Both instances of a fleet.
    for _ in 0..2 {
        me(&app, &ada).await;
    }
    issuer.answer(Answer::Close);
    is_asked_to_try_again(&app, &new.sign(&claims("ada"))).await;
    for _ in 0..2 {
        me(&app, &ada).await;
        connects(&app, &ada).await;
    }
    // What is refused with any key is refused.
    let expired = with(claims("ada"), json!({ "exp": now() - 120 }));
    refused(&app, &new.sign(&expired)).await;
    // It is back with another key.
    issuer.publish(&[&new]);
    becomes_good(&app, &new.sign(&claims("ada"))).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_rotate_while_tokens_come() {
    let (old, new) = (Key::p256("old"), Key::rsa("new"));
    let issuer = Issuer::start(&[&old]).await;
    let app = start(&issuer, &[]).await;
    for _ in 0..2 {
        me(&app, &bearer(old.sign(&claims("ada")))).await;
    }
    issuer.publish(&[&old, &new]);
    let ada = bearer(new.sign(&claims("ada")));
    let (first, second) = tokio::join!(me(&app, &ada), connects(&app, &ada));
    assert_eq!(first["id"], external_user_id(NAME, "ada").as_str());
    drop(second);
    issuer.publish(&[&new]);
    // The next unknown key makes every instance read them, and then the old one is nobody's.
    within("the end of the old key", async {
        let mut refusals = 0;
        while refusals < 2 {
            let unknown = bearer(Key::p256("x").sign(&claims("ada")));
            // Of each instance, and the next one looks.
            tokio::join!(app.get(ME, Some(&unknown)), app.get(ME, Some(&unknown)));
            match app
                .get(ME, Some(&bearer(old.sign(&claims("ada")))))
                .await
                .status
                .as_u16()
            {
                401 => refusals += 1,
                _ => refusals = 0,
            }
        }
    })
    .await;
    me(&app, &ada).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_no_keys_are_as_good_as_none() {
    let key = Key::ed25519("e");
    let issuer = Issuer::start(&[]).await;
    let app = start(&issuer, &[]).await;
    let token = key.sign(&claims("ada"));
    let none = json!({ "nothing": [] });
    for answer in [Answer::Status(302), Answer::Keys(none), Answer::Endless] {
        issuer.answer(answer);
        let before = issuer.requests();
        is_asked_to_try_again(&app, &token).await;
        becomes("another request", true, || issuer.requests() > before).await;
    }
    issuer.publish(&[&key]);
    becomes_good(&app, &token).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_issuer_holds_up_nobody_else() {
    let key = Key::ed25519("e");
    let issuer = Issuer::start(&[&key]).await;
    issuer.answer(Answer::Silence);
    let app = start(&issuer, &[]).await;
    let ben = app.register("ben").await;
    is_asked_to_try_again(&app, &key.sign(&claims("ada"))).await;
    connects(&app, &ben).await;
    me(&app, &ben).await;
    issuer.publish(&[&key]);
    becomes_good(&app, &key.sign(&claims("ada"))).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_somebody_else_or_unknown_ones_make_no_storm() {
    let (key, impostor) = (Key::ed25519("e"), Key::ed25519("e"));
    let issuer = Issuer::start(&[&impostor]).await;
    let app = start(&issuer, &[]).await;
    let token = key.sign(&claims("ada"));
    within("the keys", async {
        while app.get(ME, Some(&bearer(token.clone()))).await.status == 503 {}
    })
    .await;
    assert!(refused(&app, &token).await.contains("signature"));
    let before = issuer.requests();
    let begun = std::time::Instant::now();
    let flood = (0..200).map(|number| {
        let unknown = Key::ed25519(&format!("unknown-{number}")).sign(&claims("ada"));
        let (app, person) = (&app, bearer(unknown));
        async move {
            let status = app.get(ME, Some(&person)).await.status.as_u16();
            assert!(status == 401 || status == 503, "{status}");
        }
    });
    join_all(flood).await;
    let instances = if test_app::on_a_fleet() { 2 } else { 1 };
    let most = instances * (begun.elapsed().as_secs() as usize / 3 + 2);
    let asked = issuer.requests() - before;
    assert!(asked <= most, "{asked} requests");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_without_a_trusted_certificate_has_no_keys() {
    let key = Key::ed25519("e");
    let issuer = Issuer::start_tls(&[&key]).await;
    let app = start(&issuer, &[]).await;
    is_asked_to_try_again(&app, &key.sign(&claims("ada"))).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_withdraws_all_its_keys_is_believed() {
    let key = Key::ed25519("e");
    let issuer = Issuer::start(&[&key]).await;
    let app = start(&issuer, &[]).await;
    let ada = bearer(key.sign(&claims("ada")));
    me(&app, &ada).await;
    // Well-formed, but nothing to check a token with.
    let secret = json!({ "keys": [{ "kty": "oct", "k": "AAAA", "kid": "e" }] });
    issuer.answer(Answer::Keys(secret));
    within("the end of the keys", async {
        let mut refusals = 0;
        while refusals < 2 {
            let unknown = bearer(Key::p256("x").sign(&claims("ada")));
            // Of each instance, and the next one looks.
            tokio::join!(app.get(ME, Some(&unknown)), app.get(ME, Some(&unknown)));
            match app.get(ME, Some(&ada)).await.status.as_u16() {
                401 => refusals += 1,
                _ => refusals = 0,
            }
        }
    })
    .await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_keys_are_looked_for_as_often_as_strangers_may_ask() {
    let key = Key::ed25519("e");
    let issuer = Issuer::start(&[&key]).await;
    let app = start(&issuer, &[("RATE_LIMIT_STRANGERS", "2/10m")]).await;
    let ada = bearer(key.sign(&claims("ada")));
    me(&app, &ada).await;
    let unknown = Key::ed25519("unknown").sign(&claims("ada"));
    let connect = format!("40{}", json!({ "token": unknown }));
    within("a refusal for now", async {
        loop {
            let mut socket = WebSocket::open(app.address()).await;
            socket.send(&connect).await;
            // Else the key's absence is told, for good.
            if let Incoming::Close(code, _) = socket.next().await {
                break assert_eq!(code, 1013);
            }
        }
    })
    .await;
    // Those whose tokens are good are no strangers, known here or not.
    connects(&app, &ada).await;
    connects(&app, &bearer(key.sign(&claims("ben")))).await;
    app.stop().await;
}
