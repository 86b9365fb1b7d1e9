//! Notifications: what concerns a user outside of what they look at, how they want to be told of it, and the devices that are
//! told.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::bounds;
use crate::id::{NotificationId, RoomId};
use crate::limits::{DEVICE_ADDRESS_MAX, PAGE_MAX, READ_NOTIFICATIONS_MAX, TIME_ZONE_MAX};
use crate::request::{Invalid, Request};
use crate::schema::absent_not_null;
use crate::timestamp::Timestamp;

/// What a notification is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NotificationKind {
    /// You were mentioned in a message.
    Mention,
    /// Somebody answered a message of yours.
    Reply,
    /// A message to you alone.
    Direct,
    /// A message in a room of which you want to know everything.
    Message,
    /// Somebody added you to a room.
    Invitation,
}

impl NotificationKind {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Mention,
        Self::Reply,
        Self::Direct,
        Self::Message,
        Self::Invitation,
    ];

    /// As on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mention => "mention",
            Self::Reply => "reply",
            Self::Direct => "direct",
            Self::Message => "message",
            Self::Invitation => "invitation",
        }
    }

    /// The kind of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A notification.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = absent_not_null)]
pub struct Notification {
    /// Later ones have greater ids.
    pub id: NotificationId,
    /// What it is about.
    pub kind: NotificationKind,
    /// Who or what it is about, in one line.
    pub title: String,
    /// The beginning of the message; empty once that is deleted.
    pub body: String,
    /// Where it leads: `roomId`, `senderId` and, of a message, its `seq`.
    pub data: Map<String, Value>,
    /// When it happened.
    pub created_at: Timestamp,
    /// When it was read; absent if it wasn't.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_at: Option<Timestamp>,
}

/// Lists your notifications, the newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = absent_not_null)]
pub struct ListNotifications {
    /// Whether to leave out what was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unread: Option<bool>,
    /// The most notifications to return; 50 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = PAGE_MAX))]
    pub limit: Option<u32>,
    /// The id of the last notification of the previous page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<NotificationId>,
}

impl Request for ListNotifications {
    fn validate(&self) -> Result<(), Invalid> {
        bounds::limit(self.limit, PAGE_MAX)
    }
}

/// A page of notifications.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NotificationPage {
    /// The newest first.
    pub notifications: Vec<Notification>,
    /// How many you haven't read in all, at most 1,000.
    pub unread: u64,
    /// Whether there are more behind the last.
    pub has_more: bool,
}

/// Marks notifications as read, on all your devices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReadNotifications {
    /// Their ids. Those that aren't yours are ignored.
    #[schemars(length(max = READ_NOTIFICATIONS_MAX))]
    pub ids: Vec<NotificationId>,
}

impl Request for ReadNotifications {
    fn validate(&self) -> Result<(), Invalid> {
        bounds::at_most("ids", &self.ids, READ_NOTIFICATIONS_MAX)
    }
}

/// How many notifications are left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UnreadNotifications {
    /// How many you haven't read, at most 1,000.
    pub unread: u64,
}

/// Notifications were read, on whatever device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NotificationsRead {
    /// Their ids.
    pub ids: Vec<NotificationId>,
}

/// How you want to be told of what happens while you are away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = absent_not_null)]
pub struct Preferences {
    /// Whether by mail, to your verified address.
    pub mail: bool,
    /// Whether on your devices.
    pub push: bool,
    /// When not to be disturbed; absent if never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quiet_hours: Option<QuietHours>,
    /// The language of mails.
    pub language: Language,
}

/// A language that mails are written in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// English.
    #[default]
    En,
    /// Spanish.
    Es,
}

impl Language {
    /// As on the wire.
    pub const fn code(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Es => "es",
        }
    }

    /// The language of this code, whatever the region: `es-MX` is Spanish.
    pub fn of_code(code: &str) -> Option<Self> {
        match code.split(['-', '_']).next().unwrap_or_default() {
            code if code.eq_ignore_ascii_case("en") => Some(Self::En),
            code if code.eq_ignore_ascii_case("es") => Some(Self::Es),
            _ => None,
        }
    }
}

/// A part of each day in which you aren't disturbed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct QuietHours {
    /// From when on, as in `22:00`.
    #[schemars(regex(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$"))]
    pub from: String,
    /// Until when; on the next day if it is before `from`.
    #[schemars(regex(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$"))]
    pub to: String,
    /// A time zone by its name, as in `Europe/Madrid`.
    #[schemars(length(min = 1, max = TIME_ZONE_MAX))]
    pub time_zone: String,
}

impl QuietHours {
    /// Both ends in minutes after midnight.
    ///
    /// # Errors
    /// If one isn't a time of day.
    pub fn minutes(&self) -> Result<(u32, u32), Invalid> {
        Ok((
            minutes("quietHours.from", &self.from)?,
            minutes("quietHours.to", &self.to)?,
        ))
    }

    /// A time of day of so many minutes after midnight.
    pub fn time_of_day(minutes: u32) -> String {
        format!("{:02}:{:02}", minutes / 60 % 24, minutes % 60)
    }
}

fn minutes(field: &str, text: &str) -> Result<u32, Invalid> {
    let parsed = text.split_once(':').and_then(|(hours, minutes)| {
        let two = |digits: &str, below: u32| {
            let is_number = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
            let number: u32 = digits.parse().ok().filter(|_| is_number)?;
            (number < below).then_some(number)
        };
        Some(two(hours, 24)? * 60 + two(minutes, 60)?)
    });
    parsed.ok_or_else(|| Invalid::new(field, "expected a time of day such as 22:00"))
}

/// Changes some of your preferences.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpdatePreferences {
    /// Whether by mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mail: Option<bool>,
    /// Whether on your devices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push: Option<bool>,
    /// When not to be disturbed; `null` for never.
    #[serde(
        default,
        deserialize_with = "bounds::removable_value",
        skip_serializing_if = "Option::is_none"
    )]
    pub quiet_hours: Option<Option<QuietHours>>,
    /// The language of mails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<Language>,
}

impl Request for UpdatePreferences {
    fn validate(&self) -> Result<(), Invalid> {
        if let Some(Some(hours)) = &self.quiet_hours {
            hours.minutes()?;
            bounds::characters("quietHours.timeZone", &hours.time_zone, 1, TIME_ZONE_MAX)?;
        }
        Ok(())
    }
}

/// What you want to be told of in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Notify {
    /// Every message. So it is in direct rooms unless you say otherwise.
    All,
    /// Mentions of you and answers to you. So it is in other rooms.
    Mentions,
    /// Nothing.
    Nothing,
}

impl Notify {
    /// As on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Mentions => "mentions",
            Self::Nothing => "nothing",
        }
    }

    /// What is called so.
    pub fn named(name: &str) -> Option<Self> {
        [Self::All, Self::Mentions, Self::Nothing]
            .into_iter()
            .find(|notify| notify.name() == name)
    }
}

/// Your preferences for one room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RoomPreferences {
    /// What you want to be told of.
    pub notify: Notify,
}

impl Request for RoomPreferences {
    fn validate(&self) -> Result<(), Invalid> {
        Ok(())
    }
}

/// The key of this server for Web Push.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PushKey {
    /// The `applicationServerKey` of a subscription, in base64url.
    pub public_key: String,
}

/// How a device is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeviceKind {
    /// A browser, by Web Push.
    Web,
    /// An application, by Firebase Cloud Messaging.
    Fcm,
}

/// Registers a device for push. A browser gives what its subscription holds, an application its token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PutDevice {
    /// How it is reached.
    pub kind: DeviceKind,
    /// The `endpoint` of a browser's subscription.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = DEVICE_ADDRESS_MAX))]
    pub endpoint: Option<String>,
    /// Its `keys`: `p256dh` and `auth`, in base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<BTreeMap<String, String>>,
    /// The registration token of an application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = DEVICE_ADDRESS_MAX))]
    pub token: Option<String>,
}

impl Request for PutDevice {
    fn validate(&self) -> Result<(), Invalid> {
        let address = |field: &str, given: &Option<String>| match given {
            None => Err(Invalid::new(field, "is required")),
            Some(text) => {
                bounds::characters(field, text, 1, DEVICE_ADDRESS_MAX)?;
                let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic());
                let expected = || Invalid::new(field, "expected visible ASCII characters");
                is_plain.then_some(()).ok_or_else(expected)
            }
        };
        match self.kind {
            DeviceKind::Web => {
                address("endpoint", &self.endpoint)?;
                let keys = self.keys.as_ref();
                let keys = keys.ok_or_else(|| Invalid::new("keys", "is required"))?;
                for name in ["p256dh", "auth"] {
                    let field = format!("keys.{name}");
                    let key = keys.get(name);
                    let key = key.ok_or_else(|| Invalid::new(field.as_str(), "is required"))?;
                    bounds::characters(&field, key, 1, 128)?;
                }
                Ok(())
            }
            DeviceKind::Fcm => address("token", &self.token),
        }
    }
}

/// Where a notification leads, as its `data`.
pub fn notification_data(room: &RoomId, seq: Option<u64>, sender: &str) -> Map<String, Value> {
    let mut data = Map::new();
    data.insert("roomId".to_owned(), room.as_str().into());
    data.insert("senderId".to_owned(), sender.into());
    if let Some(seq) = seq {
        data.insert("seq".to_owned(), seq.into());
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_day_are_read_and_written() {
        for (text, expected) in [("00:00", 0), ("07:05", 425), ("23:59", 1439)] {
            assert_eq!(minutes("from", text).unwrap(), expected);
            assert_eq!(QuietHours::time_of_day(expected), text);
        }
        for wrong in ["", "7:05", "24:00", "12:60", "1200", "+1:00", "12:0x"] {
            assert!(minutes("from", wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_language_is_known_by_its_code() {
        assert_eq!(Language::of_code("es-MX"), Some(Language::Es));
        assert_eq!(Language::of_code("EN"), Some(Language::En));
        assert_eq!(Language::of_code("pt"), None);
    }
}
