//! Where jobs are run.

use std::path::PathBuf;

use job_queue::RabbitMqConfig;

use super::reader::Reader;

/// Where jobs are run.
#[derive(Debug, Clone, Default)]
pub struct JobsConfig {
    /// `RABBITMQ_URL`, `RABBITMQ_PREFIX`: the broker from which workers take jobs; without it servers run them.
    pub broker: Option<RabbitMqConfig>,
    /// `WORKER_KINDS`: the kinds of jobs that a worker runs, with commas between; all by default.
    pub kinds: Option<Vec<String>>,
}

impl Reader<'_> {
    pub(super) fn jobs(&mut self, tls_ca_file: Option<&PathBuf>) -> JobsConfig {
        let kinds = self.text("WORKER_KINDS").map(|kinds| {
            let kinds = kinds.split(',').map(|kind| kind.trim().to_owned());
            kinds.collect::<Vec<_>>()
        });
        JobsConfig {
            broker: self.broker(tls_ca_file),
            kinds,
        }
    }

    fn broker(&mut self, tls_ca_file: Option<&PathBuf>) -> Option<RabbitMqConfig> {
        let prefix = self.text("RABBITMQ_PREFIX");
        let prefix = prefix.unwrap_or_else(|| "tertulia".to_owned());
        if !RabbitMqConfig::is_prefix(&prefix) {
            let () = self.wrong(
                "RABBITMQ_PREFIX",
                "at most 64 letters, digits, `_`, `-`, `.` or `:`",
            );
        }
        let config = RabbitMqConfig {
            url: self.text("RABBITMQ_URL")?.into(),
            prefix,
            ca_file: tls_ca_file.cloned(),
        };
        if self.text("DATABASE_URL").is_none() {
            self.errors.push(
                "DATABASE_URL: expected beside RABBITMQ_URL: jobs are in its tables until the broker has them"
                    .into(),
            );
        }
        match config.check() {
            Ok(()) => Some(config),
            Err(expected) => self.wrong("RABBITMQ_URL", expected),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    const FLEET: [(&str, &str); 4] = [
        ("JWT_SECRET", "a secret of at least thirty-two bytes"),
        ("MONGODB_URI", "mongodb://db/chat"),
        ("REDIS_URL", "redis://cache"),
        ("DATABASE_URL", "postgres://db/chat"),
    ];

    fn read(variables: &[(&str, &str)]) -> Result<Config, String> {
        let lookup = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Config::read(lookup).map_err(|errors| errors.to_string())
    }

    #[test]
    fn a_broker_needs_the_tables_and_a_fleet() {
        let broker = ("RABBITMQ_URL", "amqp://user:secret@mq");
        let with =
            |more: &[(&'static str, &'static str)]| read(&[&FLEET[..], &[broker], more].concat());
        let jobs = with(&[("WORKER_KINDS", "mail.send, image.process")])
            .unwrap()
            .jobs;
        assert_eq!(jobs.broker.unwrap().prefix, "tertulia");
        assert_eq!(jobs.kinds.unwrap(), ["mail.send", "image.process"]);
        assert!(read(&FLEET).unwrap().jobs.broker.is_none());
        let errors = read(&[&FLEET[..3], &[broker]].concat()).unwrap_err();
        assert!(
            errors.contains("DATABASE_URL: expected beside RABBITMQ_URL"),
            "{errors}"
        );
        let errors = read(&[broker, ("RABBITMQ_PREFIX", "a b")]).unwrap_err();
        assert!(
            errors.contains("DATABASE_URL") && errors.contains("RABBITMQ_PREFIX"),
            "{errors}"
        );
        let errors =
            read(&[&FLEET[..], &[("RABBITMQ_URL", "http://secret@mq")]].concat()).unwrap_err();
        assert!(
            errors.contains("RABBITMQ_URL") && !errors.contains("secret"),
            "{errors}"
        );
    }
}
