//! An administrator's clearing of a limit, as other instances hear of it. Redis has forgotten it already; they still know what
//! they lease, and that the limit was reached. One that doesn't hear of it asks Redis again within seconds.

use super::{Key, Limits, Tier};
use crate::fleet::bus::{Kind, Lost, Malformed, Message, Reader, Receiver, Writer};

/// A limit was cleared; sent to all instances.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cleared {
    pub(super) tier: Tier,
    pub(super) key: Key,
}

impl Message for Cleared {
    fn kind(&self) -> Kind {
        Kind::RATE_LIMIT_CLEARED
    }

    fn write(&self, fields: &mut Writer<'_>) {
        fields.text(self.tier.name());
        fields.text(&self.key.to_hex());
    }
}

impl Cleared {
    /// `None` if it is of a tier that only another version knows.
    fn read(mut fields: Reader<'_>) -> Result<Option<Self>, Malformed> {
        let (tier, key) = (fields.text()?, fields.text()?);
        let key = Key::from_hex(key).ok_or(Malformed)?;
        let tier = Tier::all().find(|known| known.name() == tier);
        Ok(tier.map(|tier| Self { tier, key }))
    }
}

impl Receiver for Limits {
    fn kinds(&self) -> &'static [Kind] {
        &[Kind::RATE_LIMIT_CLEARED]
    }

    fn receive(&self, _: &str, _: Kind, fields: Reader<'_>) -> Result<(), Malformed> {
        if let Some(Cleared { tier, key }) = Cleared::read(fields)? {
            self.limiter.forget(tier as usize, key);
        }
        Ok(())
    }

    /// What may have been missed is found out within seconds.
    fn interrupted(&self, _: &Lost<'_>) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::bus::round_trip;

    #[test]
    fn what_was_cleared_is_read() {
        let cleared = Cleared {
            tier: Tier::Login,
            key: Key::of(&["ann"]),
        };
        let received = round_trip(&cleared, |_, fields| Cleared::read(fields));
        assert_eq!(received, Some(cleared));
    }
}
