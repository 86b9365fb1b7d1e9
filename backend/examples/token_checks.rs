//! What checking an access token takes: this server's own, and those of another application once their key is known.
//! `cargo run --release -p tertulia --example token_checks`

use std::{error::Error, hint::black_box, sync::Arc, time::Instant};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use circuit_breaker::Breaker;
use protocol::{Role, SessionId, Timestamp, UserId};
use ring::{
    rand::SystemRandom,
    rsa::{KeyPair as RsaKeyPair, PublicKeyComponents},
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
    },
};
use serde_json::{Value, json};
use tertulia::{
    auth::{
        access_tokens::AccessTokens, actor::Actor, external_tokens::ExternalTokens,
        signing_secret::SigningSecret,
    },
    circuits::Dependency,
    config::Config,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

const ROUNDS: u32 = 20_000;

fn encoded(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

fn unsigned(algorithm: &str) -> String {
    let now = Timestamp::now().unix_ms() / 1_000;
    let header = json!({ "alg": algorithm, "typ": "JWT", "kid": algorithm });
    let claims = json!({
        "iss": "https://issuer.example/", "aud": ["https://chat.example", "https://issuer.example/userinfo"],
        "sub": "auth0|0123456789abcdef", "name": "Ada Lovelace", "iat": now, "exp": now + 3_600,
        "scope": "openid profile", "permissions": ["read:messages", "write:messages"],
    });
    format!(
        "{}.{}",
        encoded(header.to_string()),
        encoded(claims.to_string())
    )
}

async fn serve(listener: TcpListener, keys: Value) -> std::io::Result<()> {
    let body = keys.to_string();
    loop {
        let (mut stream, _) = listener.accept().await?;
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") && stream.read_buf(&mut request).await? > 0 {}
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(format!("{head}{body}").as_bytes()).await?;
    }
}

async fn measure(tokens: &ExternalTokens, name: &str, token: &str) -> Result<(), Box<dyn Error>> {
    tokens.verify(token).await?;
    let begun = Instant::now();
    for _ in 0..ROUNDS {
        black_box(tokens.verify(black_box(token)).await?);
    }
    println!("{name:<20} {:>8.2} µs", micros(begun));
    Ok(())
}

fn micros(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1e6 / f64::from(ROUNDS)
}

fn external(variables: &[(&str, &str)]) -> Result<Arc<ExternalTokens>, Box<dyn Error>> {
    let find = |name: &str| variables.iter().find(|(variable, _)| *variable == name);
    let config = Config::read(|name| find(name).map(|(_, value)| (*value).to_owned()))?;
    let config = config.external_tokens.ok_or("no tokens of others")?;
    Ok(Arc::new(ExternalTokens::new(&config, || {
        Arc::new(Breaker::new(Dependency::Jwks.default_settings()))
    })))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let own = AccessTokens::new(&SigningSecret::from_bytes([7; 32]));
    let now = Timestamp::now();
    let actor = Actor {
        user_id: UserId::trusted("0197f3a0-0000-7000-8000-000000000000"),
        session_id: SessionId::trusted("0123456789abcdef012345"),
        display_name: "Ada Lovelace".to_owned(),
        role: Role::User,
        guest: false,
        session_expires_at: now,
        external: None,
    };
    let token = own.issue(&actor, now)?;
    let begun = Instant::now();
    for _ in 0..ROUNDS {
        black_box(own.verify(black_box(token.expose()), now)?);
    }
    println!("{:<20} {:>8.2} µs", "own (HS256)", micros(begun));

    let secret = "a secret of two applications, 32 bytes";
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
    let signed = unsigned("HS256");
    let token = format!(
        "{signed}.{}",
        encoded(ring::hmac::sign(&key, signed.as_bytes()))
    );
    let shared = external(&[
        ("EXTERNAL_TOKENS_SECRET", secret),
        ("EXTERNAL_TOKENS_AUDIENCE", "https://chat.example"),
    ])?;
    measure(&shared, "external HS256", &token).await?;

    let random = SystemRandom::new();
    let rsa = include_bytes!("../../tests/src/server/external_tokens/rsa.der");
    let rsa = RsaKeyPair::from_pkcs8(rsa).map_err(|_| "no key")?;
    let public = PublicKeyComponents::<Vec<u8>>::from(rsa.public());
    let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let p256 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).map_err(|_| "no key")?;
    let p256 = EcdsaKeyPair::from_pkcs8(algorithm, p256.as_ref(), &random).map_err(|_| "no key")?;
    let (x, y) = p256.public_key().as_ref()[1..].split_at(32);
    let edwards = Ed25519KeyPair::generate_pkcs8(&random).map_err(|_| "no key")?;
    let edwards = Ed25519KeyPair::from_pkcs8(edwards.as_ref()).map_err(|_| "no key")?;
    let keys = json!({ "keys": [
        { "kty": "RSA", "kid": "RS256", "n": encoded(public.n), "e": encoded(public.e) },
        { "kty": "EC", "crv": "P-256", "kid": "ES256", "x": encoded(x), "y": encoded(y) },
        { "kty": "OKP", "crv": "Ed25519", "kid": "EdDSA", "x": encoded(edwards.public_key()) },
    ] });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/", listener.local_addr()?);
    tokio::spawn(serve(listener, keys));
    let published = external(&[
        ("EXTERNAL_TOKENS_JWKS_URL", &url),
        ("EXTERNAL_TOKENS_ISSUER", "https://issuer.example/"),
        ("EXTERNAL_TOKENS_AUDIENCE", "https://chat.example"),
    ])?;
    let reading = published.clone();
    tokio::spawn(async move { reading.run().await });
    for algorithm in ["RS256", "ES256", "EdDSA"] {
        let signed = unsigned(algorithm);
        let signature = match algorithm {
            "RS256" => {
                let mut signature = vec![0; rsa.public().modulus_len()];
                rsa.sign(
                    &RSA_PKCS1_SHA256,
                    &random,
                    signed.as_bytes(),
                    &mut signature,
                )
                .map_err(|_| "no signature")?;
                signature
            }
            "ES256" => {
                let signature = p256.sign(&random, signed.as_bytes());
                signature.map_err(|_| "no signature")?.as_ref().to_vec()
            }
            _ => edwards.sign(signed.as_bytes()).as_ref().to_vec(),
        };
        let token = format!("{signed}.{}", encoded(signature));
        measure(&published, &format!("external {algorithm}"), &token).await?;
    }
    Ok(())
}
