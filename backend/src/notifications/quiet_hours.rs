//! When a user isn't to be disturbed, by the clock of where they are.

use std::time::Duration;

use jiff::{Timestamp as Instant, tz::TimeZone};
use protocol::{Invalid, Timestamp};
use storage::StoredQuietHours;

/// Refuses a time zone that nobody knows.
///
/// # Errors
/// `invalid`.
pub(super) fn known_zone(name: &str) -> Result<(), Invalid> {
    match TimeZone::get(name) {
        Ok(_) => Ok(()),
        Err(_) => Err(Invalid::new(
            "quietHours.timeZone",
            "expected a time zone such as Europe/Madrid",
        )),
    }
}

/// How long the quiet hours last from `now` on; `None` if it isn't quiet now.
pub(super) fn left(hours: &StoredQuietHours, now: Timestamp) -> Option<Duration> {
    let zone = TimeZone::get(&hours.time_zone).ok()?;
    let clock = zone.to_datetime(Instant::from_millisecond(now.unix_ms()).ok()?);
    let minute = u32::try_from(clock.hour()).ok()? * 60 + u32::try_from(clock.minute()).ok()?;
    let is_quiet = match hours.from <= hours.to {
        true => (hours.from..hours.to).contains(&minute),
        false => minute >= hours.from || minute < hours.to,
    };
    let minutes = (hours.to + 24 * 60 - minute) % (24 * 60);
    // A change of the clocks in between makes this an hour too long or too short, and it is looked at again then.
    is_quiet.then(|| Duration::from_secs(u64::from(minutes.max(1)) * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        let moment: Instant = text.parse().unwrap();
        Timestamp::from_unix_ms(moment.as_millisecond())
    }

    fn hours(from: u32, to: u32, zone: &str) -> StoredQuietHours {
        StoredQuietHours {
            from: from * 60,
            to: to * 60,
            time_zone: zone.to_owned(),
        }
    }

    #[test]
    fn it_is_quiet_by_the_clock_of_the_place() {
        let night = hours(22, 7, "Europe/Madrid");
        let left = |text: &str| left(&night, at(text)).map(|left| left.as_secs() / 60);
        // In summer two hours ahead, in winter one.
        assert_eq!(left("2026-07-01T19:59:00Z"), None);
        assert_eq!(left("2026-07-01T20:00:00Z"), Some(9 * 60));
        assert_eq!(left("2026-01-01T20:30:00Z"), None);
        assert_eq!(left("2026-01-01T21:30:00Z"), Some(8 * 60 + 30));
        assert_eq!(left("2026-01-02T05:59:30Z"), Some(1));
        assert_eq!(left("2026-01-02T06:00:00Z"), None);
    }

    #[test]
    fn a_part_of_the_day_and_no_time_at_all() {
        let noon = hours(12, 14, "America/Mexico_City");
        assert!(left(&noon, at("2026-06-01T18:30:00Z")).is_some());
        assert!(left(&noon, at("2026-06-01T20:30:00Z")).is_none());
        let never = hours(8, 8, "UTC");
        assert!(left(&never, at("2026-06-01T08:00:00Z")).is_none());
    }

    #[test]
    fn a_zone_has_to_exist() {
        assert!(known_zone("Europe/Madrid").is_ok());
        for wrong in ["Europe/Nowhere", "../etc/passwd", ""] {
            assert!(known_zone(wrong).is_err(), "{wrong}");
        }
    }
}
