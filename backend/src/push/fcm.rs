//! Firebase Cloud Messaging, its HTTP v1 interface. A service account signs for an access token, which is kept until shortly
//! before its end.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use circuit_breaker::{Breaker, Permit};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use protocol::{Secret, Timestamp};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::sync::Mutex;
use url::Url;

use super::{
    PushError, PushMessage, TIME_TO_LIVE,
    http::{Answer, Client, Connection},
    taken,
};
use crate::{auth::jwt, config::FcmAccount};

/// What the token is for.
const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";

/// An access token isn't used so shortly before its end.
const MARGIN: Duration = Duration::from_secs(60);

/// For how long nobody asks for one again after that has failed: those who waited meanwhile would each wait as long.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

pub(super) struct Fcm {
    account: FcmAccount,
    breaker: Arc<Breaker>,
    /// One asks for all who wait.
    token: Mutex<Option<Asked>>,
}

/// What became of asking for an access token.
enum Asked {
    Granted(AccessToken),
    Failed { why: String, at: Instant },
}

struct AccessToken {
    token: Secret,
    good_until: Instant,
}

#[derive(Deserialize)]
struct Granted {
    access_token: Secret,
    expires_in: u64,
}

impl Fcm {
    pub(super) fn new(account: FcmAccount, breaker: Arc<Breaker>) -> Self {
        jwt::install_cryptography();
        Self {
            account,
            breaker,
            token: Mutex::default(),
        }
    }

    /// Connects to the service, with an access token.
    pub(super) async fn connect<'a>(
        &'a self,
        client: &Client,
        device: &'a str,
    ) -> Result<FcmRoute<'a>, PushError> {
        let permit = self
            .breaker
            .acquire()
            .map_err(|_| later("the circuit is open after earlier failures"))?;
        match self.open(client).await {
            Ok((token, connection)) => Ok(FcmRoute {
                fcm: self,
                permit,
                connection,
                token,
                device,
            }),
            Err(error) => {
                permit.failed();
                Err(error)
            }
        }
    }

    async fn open(&self, client: &Client) -> Result<(Secret, Connection), PushError> {
        let token = self.access_token(client).await?;
        let path = format!("v1/projects/{}/messages:send", self.account.project_id);
        let url = self.account.send_url.join(&path);
        let url = url.map_err(|_| later("FCM_URL can't be asked"))?;
        let connection = client.connect(&url, |_| None).await;
        Ok((
            token,
            connection.map_err(|error| later(&error.to_string()))?,
        ))
    }

    async fn access_token(&self, client: &Client) -> Result<Secret, PushError> {
        let mut kept = self.token.lock().await;
        match &*kept {
            Some(Asked::Granted(AccessToken { token, good_until }))
                if Instant::now() < *good_until =>
            {
                return Ok(token.clone());
            }
            Some(Asked::Failed { why, at }) if at.elapsed() < AFTER_FAILURE => {
                return Err(later(why));
            }
            _ => {}
        }
        let asked = self.ask_for_token(client).await;
        let token = asked.as_ref().map(|granted| granted.token.clone());
        let token = token.map_err(|why| later(why));
        *kept = Some(match asked {
            Ok(granted) => Asked::Granted(granted),
            Err(why) => Asked::Failed {
                why,
                at: Instant::now(),
            },
        });
        token
    }

    async fn ask_for_token(&self, client: &Client) -> Result<AccessToken, String> {
        let now = Timestamp::now().unix_ms() / 1_000;
        let claims = json!({
            "iss": self.account.client_email,
            "scope": SCOPE,
            "aud": self.account.token_url.as_str(),
            "iat": now,
            "exp": now + 3_600,
        });
        let key = EncodingKey::from_rsa_der(&self.account.private_key.0);
        let assertion = jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &key)
            .map_err(|_| "the service account can't sign".to_owned())?;
        let grant = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=";
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let url: &Url = &self.account.token_url;
        let body = format!("{grant}{assertion}").into_bytes();
        // Asking for a token twice does no harm, so an unknown outcome is as good as none.
        let connected = client.connect(url, |_| None);
        let asked = async { connected.await?.post(&headers, body).await };
        let answer = asked.await.map_err(|error| error.to_string())?;
        if answer.status != 200 {
            return Err(format!("no access token: status {}", answer.status));
        }
        let granted: Granted = serde_json::from_slice(&answer.body)
            .map_err(|_| "the access token can't be read".to_owned())?;
        let life = Duration::from_secs(granted.expires_in.min(24 * 60 * 60));
        Ok(AccessToken {
            token: granted.access_token,
            good_until: Instant::now() + life.saturating_sub(MARGIN),
        })
    }
}

fn later(why: &str) -> PushError {
    PushError::Later {
        why: why.to_owned(),
        after: None,
    }
}

/// A way to a device, for one message.
pub(super) struct FcmRoute<'a> {
    fcm: &'a Fcm,
    permit: Permit<'a>,
    connection: Connection,
    token: Secret,
    device: &'a str,
}

impl FcmRoute<'_> {
    pub(super) async fn send(self, message: &PushMessage) -> Result<(), PushError> {
        let authorization = format!("Bearer {}", self.token.expose());
        let headers = [
            ("authorization", authorization.as_str()),
            ("content-type", "application/json"),
        ];
        let body = body(self.device, message).to_string().into_bytes();
        let sent = match self.connection.post(&headers, body).await {
            Ok(answer) if answer.status == 401 => {
                *self.fcm.token.lock().await = None;
                Err(later("the access token was refused"))
            }
            Ok(answer) => understood(&answer),
            Err(error) => Err(error.into()),
        };
        match &sent {
            Err(PushError::Later { .. } | PushError::Unknown) => self.permit.failed(),
            _ => self.permit.succeeded(),
        }
        sent
    }
}

fn body(device: &str, message: &PushMessage) -> Value {
    // All values of `data` are texts.
    let data: Map<String, Value> = message
        .data
        .iter()
        .map(|(name, value)| {
            let text = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            (name.clone(), text.into())
        })
        .collect();
    json!({ "message": {
        "token": device,
        "notification": { "title": message.title, "body": message.body },
        "data": data,
        "android": { "collapse_key": message.topic, "ttl": format!("{TIME_TO_LIVE}s") },
        "apns": { "headers": { "apns-collapse-id": message.topic } },
    } })
}

/// What an answer means. That the project isn't known, or the address wrong, says nothing of the device.
fn understood(answer: &Answer) -> Result<(), PushError> {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let details = body["error"]["details"].as_array();
    let is_gone = details.is_some_and(|details| {
        let codes = details.iter().filter_map(|it| it["errorCode"].as_str());
        codes
            .into_iter()
            .any(|code| ["UNREGISTERED", "SENDER_ID_MISMATCH"].contains(&code))
    });
    match taken(answer) {
        Err(_) if is_gone => Err(PushError::Gone),
        Err(PushError::Gone) => Err(PushError::Refused(answer.status)),
        taken => taken,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_gone_if_the_service_says_so_of_the_device() {
        let outcome = |status, body: &'static str| {
            understood(&Answer {
                status,
                retry_after: None,
                body: body.into(),
            })
        };
        let gone = r#"{"error":{"details":[{"errorCode":"UNREGISTERED"}]}}"#;
        assert!(matches!(outcome(404, gone), Err(PushError::Gone)));
        let other = r#"{"error":{"details":[{"errorCode":"SENDER_ID_MISMATCH"}]}}"#;
        assert!(matches!(outcome(403, other), Err(PushError::Gone)));
        for body in ["", "{}", "<html>", r#"{"error":{"details":[{}]}}"#] {
            assert!(matches!(outcome(404, body), Err(PushError::Refused(404))));
        }
        assert!(matches!(outcome(503, ""), Err(PushError::Later { .. })));
        assert!(outcome(200, "{}").is_ok());
    }
}
