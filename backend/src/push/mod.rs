//! Push to devices of who is away: Web Push to browsers, Firebase Cloud Messaging to applications.
//!
//! What must stay true: whatever address a user has given, nothing but public servers over TLS is asked; what is sent to a
//! browser nobody on the way can read; an attempt of unknown outcome is never made again.

mod encryption;
mod fcm;
mod hosts;
mod http;
mod places;
mod vapid;

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use circuit_breaker::Breaker;
use protocol::{Invalid, UserId};
use serde_json::{Map, Value, json};
use storage::DeviceAddress;
use url::{Position, Url};

use crate::config::PushConfig;

use self::http::{Answer, Client, Connection, HttpError};
use fcm::{Fcm, FcmRoute};
use hosts::Hosts;
use places::Places;
use vapid::Vapid;

pub use places::Place;

/// How long a push service keeps a message for a device that isn't reached, in seconds.
const TIME_TO_LIVE: u32 = 24 * 60 * 60;

/// What a device is told. Not to be shown: it holds what people wrote.
#[derive(Clone, PartialEq)]
pub struct PushMessage {
    /// One line.
    pub title: String,
    /// The text.
    pub body: String,
    /// Where it leads.
    pub data: Map<String, Value>,
    /// A later message of the same topic takes the place of an earlier one that wasn't delivered: at most 32 letters of base64url.
    pub topic: String,
}

/// Why a device wasn't told.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The device is to be forgotten.
    #[error("the device is gone")]
    Gone,
    /// The service refuses the message for good.
    #[error("the service refuses it with {0}")]
    Refused(u16),
    /// The service didn't take it, and may later.
    #[error("the service didn't take it: {why}")]
    Later {
        /// In its own words, or because it wasn't reached.
        why: String,
        /// When it wants to be asked again.
        after: Option<Duration>,
    },
    /// Its address leads to where nothing may be sent.
    #[error("its address isn't a public one")]
    Forbidden,
    /// It was sent, and nobody knows what became of it.
    #[error("no answer")]
    Unknown,
    /// This server doesn't push to such devices.
    #[error("this server doesn't push to such devices")]
    Off,
}

/// Reaches devices.
pub struct Push {
    client: Client,
    hosts: Hosts,
    vapid: Option<Vapid>,
    fcm: Option<Fcm>,
    places: Places,
    counts: Counts,
}

/// Outcomes, from the start of the process.
#[derive(Debug, Default)]
struct Counts {
    delivered: AtomicU64,
    gone: AtomicU64,
    failed: AtomicU64,
}

impl Push {
    /// What the configuration allows.
    ///
    /// # Errors
    /// If the key for Web Push can't be made.
    pub fn new(
        config: &PushConfig,
        fcm_breaker: impl FnOnce() -> Arc<Breaker>,
    ) -> Result<Self, io::Error> {
        let vapid = Vapid::open(config)?;
        if vapid.is_none() {
            tracing::info!("VAPID_PRIVATE_KEY isn't set: browsers aren't reached by push");
        }
        Ok(Self {
            client: Client::new(config.private_addresses, config.tls_ca_file.clone()),
            hosts: Hosts::default(),
            vapid,
            fcm: config
                .fcm
                .as_ref()
                .map(|account| Fcm::new(account.clone(), fcm_breaker())),
            places: Places::default(),
            counts: Counts::default(),
        })
    }

    /// The key with which a browser subscribes.
    pub fn public_key(&self) -> Option<String> {
        self.vapid.as_ref().map(Vapid::public_key)
    }

    /// Whether applications are reached.
    pub fn reaches_applications(&self) -> bool {
        self.fcm.is_some()
    }

    /// Messages that services took, devices that were gone, and attempts that failed.
    pub fn counts(&self) -> (u64, u64, u64) {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let Counts {
            delivered,
            gone,
            failed,
        } = &self.counts;
        (read(delivered), read(gone), read(failed))
    }

    /// Refuses an address that isn't a push service's.
    ///
    /// # Errors
    /// `invalid`.
    pub fn check(&self, address: &DeviceAddress) -> Result<(), Invalid> {
        let DeviceAddress::Web {
            endpoint,
            p256dh,
            auth,
        } = address
        else {
            return Ok(());
        };
        let url: Option<Url> = endpoint.parse().ok();
        let is_fine = url.is_some_and(|url| self.client.allows(&url));
        if !is_fine {
            let expected = "expected the https address of a push service";
            return Err(Invalid::new("endpoint", expected));
        }
        if p256dh.len() != 65 || p256dh.first() != Some(&4) {
            return Err(Invalid::new("keys.p256dh", "expected a point of P-256"));
        }
        if auth.len() != 16 {
            return Err(Invalid::new("keys.auth", "expected 16 bytes"));
        }
        Ok(())
    }

    /// A place among the pushes that are under way, unless the user has their share.
    pub fn place(&self, user: &UserId) -> Option<Place> {
        self.places.take(user)
    }

    /// Connects to the service of a device, so that all is ready for a message that is sent at most once.
    ///
    /// # Errors
    /// If the service isn't reached.
    pub async fn connect<'a>(&'a self, address: &'a DeviceAddress) -> Result<Route<'a>, PushError> {
        let way = match address {
            DeviceAddress::Web {
                endpoint,
                p256dh,
                auth,
            } => self.connect_web(endpoint, p256dh, auth).await,
            DeviceAddress::Fcm { token } => match &self.fcm {
                Some(fcm) => fcm.connect(&self.client, token).await.map(Way::Fcm),
                None => Err(PushError::Off),
            },
        };
        match way {
            Ok(way) => Ok(Route {
                way,
                counts: &self.counts,
            }),
            Err(error) => {
                self.counts.count(&Err(&error));
                Err(error)
            }
        }
    }

    async fn connect_web<'a>(
        &'a self,
        endpoint: &str,
        p256dh: &'a [u8],
        auth: &'a [u8],
    ) -> Result<Way<'a>, PushError> {
        let vapid = self.vapid.as_ref().ok_or(PushError::Off)?;
        let url: Url = endpoint.parse().map_err(|_| PushError::Gone)?;
        let authorization = vapid.authorization(&url).ok_or(PushError::Off)?;
        // With its port: whoever names another one says nothing of this one.
        let host = url[Position::BeforeHost..Position::AfterPort].to_owned();
        if let Some(left) = self.hosts.left_alone(&host) {
            return Err(HttpError::LeftAlone(left).into());
        }
        let left_alone = |address| self.hosts.address_left_alone(address);
        let connected = self.client.connect(&url, left_alone).await;
        match &connected {
            Err(HttpError::NotConnected(_)) => self.hosts.failed(&host, None),
            Err(HttpError::NotInTime(silent)) => self.hosts.failed(&host, *silent),
            Ok(_)
            | Err(HttpError::Forbidden | HttpError::LeftAlone(_) | HttpError::NoAnswer(_)) => {}
        }
        Ok(Way::Web {
            hosts: &self.hosts,
            host,
            connection: connected?,
            authorization,
            p256dh,
            auth,
        })
    }
}

/// A way to a device, for one message.
pub struct Route<'a> {
    way: Way<'a>,
    counts: &'a Counts,
}

enum Way<'a> {
    Web {
        hosts: &'a Hosts,
        host: String,
        connection: Connection,
        authorization: String,
        p256dh: &'a [u8],
        auth: &'a [u8],
    },
    Fcm(FcmRoute<'a>),
}

impl Route<'_> {
    /// Tells the device.
    ///
    /// # Errors
    /// If it wasn't told, or that isn't known.
    pub async fn send(self, message: &PushMessage) -> Result<(), PushError> {
        let sent = match self.way {
            Way::Web {
                hosts,
                host,
                connection,
                authorization,
                p256dh,
                auth,
            } => {
                let (keys, address) = ((p256dh, auth), connection.address());
                let sent = send_web(connection, &authorization, keys, message).await;
                match &sent {
                    Err(PushError::Unknown) => hosts.failed(&host, Some(address)),
                    _ => hosts.answered(&host, address),
                }
                sent
            }
            Way::Fcm(fcm) => fcm.send(message).await,
        };
        self.counts.count(&sent.as_ref().copied());
        sent
    }
}

async fn send_web(
    connection: Connection,
    authorization: &str,
    (p256dh, auth): (&[u8], &[u8]),
    message: &PushMessage,
) -> Result<(), PushError> {
    let content = content(message);
    let Some(encrypted) = encryption::encrypt(p256dh, auth, content.as_bytes()) else {
        // Its keys are no keys.
        return Err(PushError::Gone);
    };
    let time_to_live = TIME_TO_LIVE.to_string();
    let headers = [
        ("authorization", authorization),
        ("content-encoding", "aes128gcm"),
        ("content-type", "application/octet-stream"),
        ("ttl", time_to_live.as_str()),
        ("urgency", "normal"),
        ("topic", message.topic.as_str()),
    ];
    taken(&connection.post(&headers, encrypted).await?)
}

/// What is encrypted: with as much of the text as there is room for.
fn content(message: &PushMessage) -> String {
    let PushMessage {
        title, body, data, ..
    } = message;
    let content = json!({ "title": title, "body": body, "data": data }).to_string();
    match content.len() <= encryption::PLAIN_MAX {
        true => content,
        // Letters that take more bytes than others, or are escaped.
        false => {
            json!({ "title": clipped(title), "body": clipped(body), "data": data }).to_string()
        }
    }
}

/// As much of a text as takes 1 kB in JSON.
fn clipped(text: &str) -> String {
    let mut size = 0;
    let fits = |letter: &char| {
        size += match letter {
            '"' | '\\' => 2,
            letter if letter.is_control() => 6,
            letter => letter.len_utf8(),
        };
        size <= 1_000
    };
    text.chars().take_while(fits).collect()
}

/// What an answer of a push service means.
fn taken(answer: &Answer) -> Result<(), PushError> {
    match answer.status {
        200..=299 => Ok(()),
        404 | 410 => Err(PushError::Gone),
        429 | 500..=599 => Err(PushError::Later {
            why: format!("status {}", answer.status),
            after: answer.retry_after,
        }),
        status => Err(PushError::Refused(status)),
    }
}

impl Counts {
    fn count(&self, outcome: &Result<(), &PushError>) {
        let count = match outcome {
            Ok(()) => &self.delivered,
            Err(PushError::Gone) => &self.gone,
            Err(_) => &self.failed,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

impl From<HttpError> for PushError {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::NotConnected(_) | HttpError::NotInTime(_) => Self::Later {
                why: error.to_string(),
                after: None,
            },
            HttpError::LeftAlone(left) => Self::Later {
                why: error.to_string(),
                after: Some(left),
            },
            HttpError::Forbidden => Self::Forbidden,
            HttpError::NoAnswer(_) => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_text_fits() {
        for letter in ["a", "\u{1F600}", "\u{1}", "\"", "\n"] {
            let message = PushMessage {
                title: letter.repeat(300),
                body: letter.repeat(300),
                data: Map::from_iter([("roomId".to_owned(), "r".repeat(64).into())]),
                topic: "t".to_owned(),
            };
            let content = content(&message);
            assert!(content.len() <= encryption::PLAIN_MAX, "{letter:?}");
            let read: Value = serde_json::from_str(&content).unwrap();
            assert!(read["body"].as_str().unwrap().chars().count() >= 150);
        }
    }
}
