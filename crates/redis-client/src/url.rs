//! The address of a Redis: which servers, how they are found, and how to log in. It alone decides between one server,
//! Sentinel and Cluster. The password is never shown.

use std::fmt;
use std::str::FromStr;

/// A checked address:
///
/// - `redis://[user:password@]host[:port][/database]`: one server, or one node of a Cluster (the server says which);
/// - `redis://[user:password@]host:port,host:port,…`: a Cluster;
/// - `redis-sentinel://[user:password@]host:port,host:port,…/master[/database]`: the master that these Sentinels know by
///   that name; `?sentinel_user=…&sentinel_password=…` log in at the Sentinels, if not as at the servers;
/// - `rediss://` and `rediss-sentinel://`: the same over TLS.
///
/// Ports default to 6379, Sentinels' to 26379. User and password may be percent-encoded; IPv6 hosts are in brackets.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl {
    pub(crate) kind: Kind,
    pub(crate) hosts: Vec<Host>,
    pub(crate) tls: bool,
    pub(crate) login: Option<Login>,
    pub(crate) database: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One host: a server of its own or a node of a Cluster.
    Server,
    Cluster,
    Sentinel {
        master: String,
        login: Option<Login>,
    },
}

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Host {
    /// A name or an address, IPv6 without brackets.
    pub(crate) name: String,
    pub(crate) port: u16,
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.contains(':') {
            write!(f, "[{}]:{}", self.name, self.port)
        } else {
            write!(f, "{}:{}", self.name, self.port)
        }
    }
}

#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Login {
    pub(crate) user: Option<String>,
    pub(crate) password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// What is wrong with an address. Never repeats the part that may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct MalformedUrl(String);

fn malformed<T>(reason: impl Into<String>) -> Result<T, MalformedUrl> {
    Err(MalformedUrl(reason.into()))
}

impl FromStr for RedisUrl {
    type Err = MalformedUrl;

    fn from_str(text: &str) -> Result<Self, MalformedUrl> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return malformed(
                "expected redis://, rediss://, redis-sentinel:// or rediss-sentinel://",
            );
        };
        let (tls, sentinel) = match scheme {
            "redis" => (false, false),
            "rediss" => (true, false),
            "redis-sentinel" => (false, true),
            "rediss-sentinel" => (true, true),
            _ => {
                return malformed(
                    "expected redis://, rediss://, redis-sentinel:// or rediss-sentinel://",
                );
            }
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, hosts) = match authority.rsplit_once('@') {
            Some((login, hosts)) => (parse_login(login)?, hosts),
            None => (None, authority),
        };
        let hosts: Vec<Host> = hosts
            .split(',')
            .map(|host| parse_host(host, if sentinel { 26379 } else { 6379 }))
            .collect::<Result<_, _>>()?;
        let sentinel_login = parse_query(query, sentinel)?;

        let (kind, database) = if sentinel {
            let (master, database) = path.split_once('/').unwrap_or((path, ""));
            if master.is_empty() {
                return malformed(
                    "the master's name is missing: redis-sentinel://host:port,host:port/master",
                );
            }
            let master = decode(master)?;
            (
                Kind::Sentinel {
                    master,
                    login: sentinel_login,
                },
                parse_database(database)?,
            )
        } else if hosts.len() > 1 {
            (Kind::Cluster, parse_database(path)?)
        } else {
            (Kind::Server, parse_database(path)?)
        };
        if kind == Kind::Cluster && database != 0 {
            return malformed("a Redis Cluster has no databases but 0");
        }
        Ok(Self {
            kind,
            hosts,
            tls,
            login,
            database,
        })
    }
}

fn parse_login(text: &str) -> Result<Option<Login>, MalformedUrl> {
    let (user, password) = match text.split_once(':') {
        Some((user, password)) => (decode(user)?, decode(password)?),
        None => return malformed("expected user:password@ or :password@ before the host"),
    };
    if password.is_empty() {
        return if user.is_empty() {
            Ok(None)
        } else {
            malformed("a user without a password")
        };
    }
    Ok(Some(Login {
        user: (!user.is_empty()).then_some(user),
        password,
    }))
}

fn parse_host(text: &str, default_port: u16) -> Result<Host, MalformedUrl> {
    let (name, port) = if let Some(rest) = text.strip_prefix('[') {
        match rest.split_once(']') {
            Some((name, "")) => (name, None),
            Some((name, port)) => match port.strip_prefix(':') {
                Some(port) => (name, Some(port)),
                None => return malformed(format!("`{text}` isn't [address]:port")),
            },
            None => return malformed(format!("`{text}` isn't [address]:port")),
        }
    } else {
        match text.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (text, None),
        }
    };
    if name.is_empty() {
        return malformed("a host is missing");
    }
    let port = match port {
        None => default_port,
        Some(port) => match port.parse() {
            Ok(port) if port != 0 => port,
            _ => return malformed(format!("`{port}` isn't a port of `{name}`")),
        },
    };
    Ok(Host {
        name: name.to_owned(),
        port,
    })
}

fn parse_database(text: &str) -> Result<u32, MalformedUrl> {
    if text.is_empty() {
        return Ok(0);
    }
    match text.parse() {
        Ok(database) => Ok(database),
        Err(_) => malformed(format!("`{text}` isn't the number of a database")),
    }
}

fn parse_query(query: &str, sentinel: bool) -> Result<Option<Login>, MalformedUrl> {
    let (mut user, mut password) = (None, None);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("sentinel_user", value)) if sentinel => user = Some(decode(value)?),
            Some(("sentinel_password", value)) if sentinel => password = Some(decode(value)?),
            Some((name, _)) => return malformed(format!("unknown parameter `{name}`")),
            None => return malformed("a parameter without a value"),
        }
    }
    match (user, password) {
        (user, Some(password)) => Ok(Some(Login { user, password })),
        (Some(_), None) => malformed("sentinel_user without sentinel_password"),
        (None, None) => Ok(None),
    }
}

fn decode(text: &str) -> Result<String, MalformedUrl> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digit = |byte: &u8| char::from(*byte).to_digit(16);
        let byte = match tail {
            [high, low, after @ ..] => {
                rest = after;
                digit(high)
                    .zip(digit(low))
                    .map(|(high, low)| (high * 16 + low) as u8)
            }
            _ => None,
        };
        match byte {
            Some(byte) => bytes.push(byte),
            None => return malformed("a `%` that isn't followed by two hexadecimal digits"),
        }
    }
    String::from_utf8(bytes).or_else(|_| malformed("percent-encoded text that isn't UTF-8"))
}

/// The address without user and passwords.
impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sentinel = matches!(self.kind, Kind::Sentinel { .. });
        f.write_str(match (self.tls, sentinel) {
            (false, false) => "redis://",
            (true, false) => "rediss://",
            (false, true) => "redis-sentinel://",
            (true, true) => "rediss-sentinel://",
        })?;
        for (index, host) in self.hosts.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            write!(f, "{host}")?;
        }
        if let Kind::Sentinel { master, .. } = &self.kind {
            write!(f, "/{master}")?;
        }
        if self.database != 0 {
            write!(f, "/{}", self.database)?;
        }
        Ok(())
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<RedisUrl, String> {
        text.parse()
            .map_err(|error: MalformedUrl| error.to_string())
    }

    fn host(name: &str, port: u16) -> Host {
        Host {
            name: name.to_owned(),
            port,
        }
    }

    #[test]
    fn the_address_alone_tells_what_it_is() {
        let url = parse("redis://localhost").unwrap();
        assert_eq!(
            (&url.kind, url.tls, &url.login, url.database),
            (&Kind::Server, false, &None, 0)
        );
        assert_eq!(url.hosts, [host("localhost", 6379)]);

        let url = parse("rediss://us%40er:p%3A%2Fw@[::1]:7000/3").unwrap();
        assert_eq!((&url.kind, url.tls, url.database), (&Kind::Server, true, 3));
        assert_eq!(url.hosts, [host("::1", 7000)]);
        assert_eq!(
            url.login,
            Some(Login {
                user: Some("us@er".into()),
                password: "p:/w".into()
            })
        );

        let url = parse("redis://:only-password@a:1,b,c:3").unwrap();
        assert_eq!(url.kind, Kind::Cluster);
        assert_eq!(url.hosts, [host("a", 1), host("b", 6379), host("c", 3)]);
        assert_eq!(
            url.login,
            Some(Login {
                user: None,
                password: "only-password".into()
            })
        );

        let url = parse("redis-sentinel://u:p@a,b:5/main/2?sentinel_user=s&sentinel_password=t%26")
            .unwrap();
        let login = Some(Login {
            user: Some("s".into()),
            password: "t&".into(),
        });
        assert_eq!(
            url.kind,
            Kind::Sentinel {
                master: "main".into(),
                login
            }
        );
        assert_eq!(
            (url.hosts, url.database),
            (vec![host("a", 26379), host("b", 5)], 2)
        );
        assert!(parse("rediss-sentinel://a/main").unwrap().tls);
    }

    #[test]
    fn mistakes_are_named_and_passwords_never_shown() {
        for (text, expected) in [
            ("localhost:6379", "expected redis://"),
            ("http://localhost", "expected redis://"),
            ("redis://", "a host is missing"),
            ("redis://a,,b", "a host is missing"),
            ("redis://a:0", "isn't a port"),
            ("redis://a:70000", "isn't a port"),
            ("redis://[::1", "isn't [address]:port"),
            ("redis://a/x", "isn't the number of a database"),
            ("redis://a,b/1", "no databases but 0"),
            ("redis://secret@a", "user:password@"),
            ("redis://user:@a", "without a password"),
            ("redis://:%zz@a", "hexadecimal"),
            ("redis://a?x=secret", "unknown parameter `x`"),
            (
                "redis://a?sentinel_password=secret",
                "unknown parameter `sentinel_password`",
            ),
            ("redis-sentinel://a:1,b:1", "master's name is missing"),
            (
                "redis-sentinel://a/m?sentinel_user=x",
                "without sentinel_password",
            ),
        ] {
            let error = parse(text).unwrap_err();
            assert!(
                error.contains(expected) && !error.contains("secret"),
                "{text}: {error}"
            );
        }
        let url =
            parse("rediss-sentinel://me:secret@a,[::2]:5/main/2?sentinel_password=secret").unwrap();
        assert_eq!(url.to_string(), "rediss-sentinel://a:26379,[::2]:5/main/2");
        assert_eq!(
            format!("{url:?}"),
            "RedisUrl(rediss-sentinel://a:26379,[::2]:5/main/2)"
        );
        assert!(!format!("{:?}{:?}", url.login, url.kind).contains("secret"));
    }
}
