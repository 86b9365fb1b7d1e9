//! The slot of a command, and what an answer means: a result, an error or a redirection.

use redis::{Arg, Cmd, Value};

use crate::RedisError;
use crate::slots::slot;
use crate::url::Host;

/// The slot of a command's first key; `None` for one without keys, which any server can answer. Commands whose keys lie
/// in several slots are for the caller to split: a Cluster refuses them (`CROSSSLOT`).
pub(crate) fn slot_of(command: &Cmd) -> Option<u16> {
    let argument = |index| match command.args_iter().nth(index) {
        Some(Arg::Simple(argument)) => Some(argument),
        _ => None,
    };
    let name = argument(0)?;
    let is = |names: &[&str]| {
        names
            .iter()
            .any(|other| name.eq_ignore_ascii_case(other.as_bytes()))
    };
    let key = if is(&[
        "EVAL",
        "EVALSHA",
        "EVAL_RO",
        "EVALSHA_RO",
        "FCALL",
        "FCALL_RO",
    ]) {
        if argument(2)? == b"0" {
            return None;
        }
        3
    } else if is(&["XREAD", "XREADGROUP"]) {
        let streams = |part: &[u8]| part.eq_ignore_ascii_case(b"STREAMS");
        1 + command
            .args_iter()
            .position(|part| matches!(part, Arg::Simple(part) if streams(part)))?
    } else if is(&["OBJECT", "XINFO", "XGROUP", "MEMORY"]) {
        2
    } else if is(&KEYLESS) {
        return None;
    } else {
        1
    };
    argument(key).map(slot)
}

const KEYLESS: [&str; 28] = [
    "ACL", "AUTH", "CLIENT", "CLUSTER", "COMMAND", "CONFIG", "DBSIZE", "DEBUG", "ECHO", "FLUSHALL",
    "FLUSHDB", "FUNCTION", "HELLO", "INFO", "KEYS", "LASTSAVE", "LATENCY", "PING", "PUBLISH",
    "PUBSUB", "ROLE", "SCAN", "SCRIPT", "SELECT", "SLOWLOG", "TIME", "WAIT", "WAITAOF",
];

/// What to do about an answer.
#[derive(Debug, PartialEq)]
pub(crate) enum Verdict {
    /// Give it to the caller.
    Answer(Value),
    Failed(RedisError),
    /// Not run; the layout is out of date or the server doesn't serve.
    Away(RedisError),
    /// Not run; this server has the slot now.
    Moved(Host),
    /// Not run; this server has the key already, and takes the command after an `ASKING`.
    Ask(Host),
    /// Not run; the keys are just being moved.
    Later(RedisError),
    /// Not run; the server hasn't got the script.
    NoScript(RedisError),
}

impl Verdict {
    /// The answer, where there is no trying elsewhere.
    pub(crate) fn or_error(self) -> Result<Value, RedisError> {
        match self {
            Self::Answer(value) => Ok(value),
            Self::Failed(error)
            | Self::Away(error)
            | Self::Later(error)
            | Self::NoScript(error) => Err(error),
            Self::Moved(host) | Self::Ask(host) => {
                Err(RedisError::Unavailable(format!("{host} has it")))
            }
        }
    }
}

/// Classifies the answer of the server `asked`.
pub(crate) fn judge(value: Value, asked: &Host) -> Verdict {
    let Value::ServerError(error) = value else {
        return Verdict::Answer(value);
    };
    let (code, message) = (error.code(), error.details().unwrap_or_default());
    let refused = || RedisError::Refused {
        code: code.to_owned(),
        message: message.to_owned(),
    };
    match code {
        "MOVED" | "ASK" => match redirection(message, asked) {
            Some((_, host)) if code == "MOVED" => Verdict::Moved(host),
            Some((_, host)) => Verdict::Ask(host),
            None => Verdict::Failed(refused()),
        },
        "TRYAGAIN" => Verdict::Later(RedisError::Unavailable(format!(
            "{asked}: {code} {message}"
        ))),
        "NOSCRIPT" => Verdict::NoScript(refused()),
        // Each is answered before the command, or a script's first write, is run.
        "CLUSTERDOWN" | "MASTERDOWN" | "LOADING" | "READONLY" | "BUSY" | "OOM" | "MISCONF"
        | "NOREPLICAS" => Verdict::Away(RedisError::Unavailable(format!(
            "{asked}: {code} {message}"
        ))),
        _ => Verdict::Failed(refused()),
    }
}

/// The slot and the server of a `MOVED` or `ASK`; a server without a name is the one that was asked.
pub(crate) fn redirection(message: &str, asked: &Host) -> Option<(u16, Host)> {
    let (slot, address) = message.split_once(' ')?;
    let (name, port) = address.rsplit_once(':')?;
    let name = if name.is_empty() { &asked.name } else { name };
    Some((
        slot.parse().ok()?,
        Host {
            name: name.to_owned(),
            port: port.parse().ok()?,
        },
    ))
}

#[cfg(test)]
mod tests {
    use redis::cmd;

    use super::*;

    fn asked() -> Host {
        Host {
            name: "10.0.0.1".to_owned(),
            port: 6379,
        }
    }

    #[test]
    fn a_command_goes_where_its_first_key_lies() {
        assert_eq!(slot_of(cmd("GET").arg("foo")), Some(12182));
        assert_eq!(slot_of(cmd("get").arg("{foo}bar")), Some(12182));
        assert_eq!(
            slot_of(cmd("EVALSHA").arg("abc").arg(1).arg("foo").arg("bar")),
            Some(12182)
        );
        assert_eq!(slot_of(cmd("EVAL").arg("return 1").arg(0)), None);
        assert_eq!(
            slot_of(
                cmd("XREAD")
                    .arg("COUNT")
                    .arg(1)
                    .arg("STREAMS")
                    .arg("foo")
                    .arg("$")
            ),
            Some(12182)
        );
        assert_eq!(
            slot_of(cmd("OBJECT").arg("ENCODING").arg("foo")),
            Some(12182)
        );
        assert_eq!(slot_of(cmd("SPUBLISH").arg("foo").arg("x")), Some(12182));
        assert_eq!(slot_of(cmd("PUBLISH").arg("foo").arg("x")), None);
        assert_eq!(slot_of(&cmd("PING")), None);
        assert_eq!(slot_of(&Cmd::new()), None);
    }

    #[test]
    fn answers_are_judged() {
        let judged = |line: &[u8]| judge(redis::parse_redis_value(line).unwrap(), &asked());
        assert_eq!(judged(b":1\r\n"), Verdict::Answer(Value::Int(1)));
        let other = Host {
            name: "10.0.0.2".to_owned(),
            port: 7000,
        };
        assert_eq!(
            judged(b"-MOVED 12 10.0.0.2:7000\r\n"),
            Verdict::Moved(other.clone())
        );
        assert_eq!(judged(b"-ASK 12 10.0.0.2:7000\r\n"), Verdict::Ask(other));
        assert_eq!(
            judged(b"-MOVED 12 :7000\r\n"),
            Verdict::Moved(Host {
                port: 7000,
                ..asked()
            })
        );
        assert_eq!(
            judged(b"-MOVED 12 fd00::1:7000\r\n"),
            Verdict::Moved(Host {
                name: "fd00::1".to_owned(),
                port: 7000
            })
        );
        assert!(matches!(judged(b"-MOVED nonsense\r\n"), Verdict::Failed(_)));
        assert!(matches!(
            judged(b"-TRYAGAIN Multiple keys\r\n"),
            Verdict::Later(_)
        ));
        assert!(matches!(
            judged(b"-LOADING Redis is loading\r\n"),
            Verdict::Away(RedisError::Unavailable(_))
        ));
        assert_eq!(
            judged(b"-WRONGTYPE Operation against\r\n"),
            Verdict::Failed(RedisError::Refused {
                code: "WRONGTYPE".into(),
                message: "Operation against".into()
            })
        );
    }
}
