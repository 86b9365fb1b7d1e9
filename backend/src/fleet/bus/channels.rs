//! Names of channels in Redis.

use redis_client::{partition_of, tag};

/// The channels of one fleet: one for each topic, in the slot of its partition, where the keys of a room are as well.
#[derive(Clone)]
pub(super) struct Channels {
    prefix: String,
}

impl Channels {
    /// Channels whose names begin with `prefix`, behind their tag.
    pub(super) fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
        }
    }

    pub(super) fn of_topic(&self, topic: &str) -> String {
        let id = topic.split_once(':').map_or(topic, |(_, id)| id);
        let tag = tag(partition_of(id));
        format!("{{{tag}}}{}:bus:{topic}", self.prefix)
    }

    /// The topic of one of these channels.
    pub(super) fn topic_of<'a>(&self, channel: &'a str) -> Option<&'a str> {
        let (_, rest) = channel.split_once('}')?;
        rest.strip_prefix(self.prefix.as_str())?
            .strip_prefix(":bus:")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::bus::EVERYBODY;

    #[test]
    fn a_channel_is_in_the_slot_of_its_rooms_keys_and_names_its_topic() {
        let channels = Channels::new("tertulia");
        for topic in ["room:0199-a", "user:0199-a", EVERYBODY] {
            let channel = channels.of_topic(topic);
            assert_eq!(channels.topic_of(&channel), Some(topic));
        }
        let key = format!("{{{}}}key", tag(partition_of("0199-a")));
        assert_eq!(
            redis_client::slot(channels.of_topic("room:0199-a").as_bytes()),
            redis_client::slot(key.as_bytes())
        );
    }
}
