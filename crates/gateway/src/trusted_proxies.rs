//! Where a client really is, behind proxies that say so.
//!
//! What must stay true: what a request says of itself counts only where the TCP peer is a trusted proxy, and of
//! `X-Forwarded-For` only what trusted proxies have appended. Anybody can send the rest.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName, HeaderValue, header::HOST};
use ipnet::IpNet;

use crate::header_list;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(crate) const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

pub(crate) struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    pub(crate) fn new(networks: impl IntoIterator<Item = IpNet>) -> Self {
        Self(networks.into_iter().collect())
    }

    pub(crate) fn trust(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The address of the client that sent a request with these headers through `peer`; its port is 0 where a proxy
    /// told it. Of the three `X-Forwarded-` headers that this server knows and of `X-Request-Id` only what a trusted proxy said
    /// remains: the host as `Host`, the scheme, and the id.
    pub(crate) fn admit(&self, peer: SocketAddr, headers: &mut HeaderMap) -> SocketAddr {
        let trusted = self.trust(peer.ip().to_canonical());
        let host = nearest(headers, &FORWARDED_HOST);
        headers.remove(FORWARDED_HOST);
        if !trusted {
            headers.remove(FORWARDED_FOR);
            headers.remove(FORWARDED_PROTO);
            headers.remove(REQUEST_ID);
            return peer;
        }
        if let Some(host) = host {
            headers.insert(HOST, host);
        }
        match self.client(peer.ip(), headers) {
            client if client == peer.ip() => peer,
            client => SocketAddr::new(client, 0),
        }
    }

    /// Proxies append to the list, so it's read from its end until somebody is named who isn't trusted.
    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let values = headers.get_all(FORWARDED_FOR).iter();
        let named = values.rev().flat_map(|value| {
            // Bytes that aren't text name nobody.
            value.to_str().unwrap_or("unknown").rsplit(',')
        });
        let mut client = peer;
        for name in named {
            let Some(address) = address(name.trim()) else {
                break;
            };
            client = address;
            if !self.trust(address) {
                break;
            }
        }
        client
    }
}

/// An address as proxies write it, some with a port.
fn address(name: &str) -> Option<IpAddr> {
    let bracketed = || name.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let with_port = || Some(name.parse::<SocketAddr>().ok()?.ip());
    let address: IpAddr = name.parse().ok().or_else(bracketed).or_else(with_port)?;
    Some(address.to_canonical())
}

/// What the nearest proxy said, of a list that every one may have appended to.
fn nearest(headers: &HeaderMap, name: &HeaderName) -> Option<HeaderValue> {
    HeaderValue::from_str(header_list::elements(headers, name).next_back()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(networks: &[&str]) -> TrustedProxies {
        TrustedProxies::new(networks.iter().map(|network| network.parse().unwrap()))
    }

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    #[test]
    fn the_client_is_the_last_who_is_not_trusted() {
        let proxies = proxies(&["10.0.0.0/8", "::1/128", "fd00::/8"]);
        let through = |peer: &str, lists: &[&str]| {
            let lists: Vec<_> = lists.iter().map(|list| (FORWARDED_FOR, *list)).collect();
            let peer = SocketAddr::new(peer.parse().unwrap(), 1234);
            proxies.admit(peer, &mut headers(&lists)).to_string()
        };
        for (peer, lists, client) in [
            // A stranger may say what it likes.
            ("192.0.2.1", &["203.0.113.9"][..], "192.0.2.1:1234"),
            ("10.1.1.1", &[], "10.1.1.1:1234"),
            ("10.1.1.1", &["203.0.113.9"], "203.0.113.9:0"),
            // As an IPv6 listener shows an IPv4 peer.
            ("::ffff:10.1.1.1", &["203.0.113.9"], "203.0.113.9:0"),
            ("::1", &["::ffff:203.0.113.9"], "203.0.113.9:0"),
            // What stood there before a trusted proxy appended is the client's invention.
            ("10.1.1.1", &["198.51.100.7, 203.0.113.9"], "203.0.113.9:0"),
            (
                "10.1.1.1",
                &["198.51.100.7,203.0.113.9 , 10.2.2.2,fd00::5"],
                "203.0.113.9:0",
            ),
            (
                "10.1.1.1",
                &["198.51.100.7", "203.0.113.9", "10.2.2.2"],
                "203.0.113.9:0",
            ),
            // Nobody else was named: the outermost proxy is the client.
            ("10.1.1.1", &["10.3.3.3, 10.2.2.2"], "10.3.3.3:0"),
            // What can't be read ends it.
            (
                "10.1.1.1",
                &["203.0.113.9, unknown, 10.2.2.2"],
                "10.2.2.2:0",
            ),
            ("10.1.1.1", &["203.0.113.9, "], "10.1.1.1:1234"),
            ("10.1.1.1", &[""], "10.1.1.1:1234"),
            ("10.1.1.1", &["203.0.113.9", "é"], "10.1.1.1:1234"),
            ("10.1.1.1", &["203.0.113.256"], "10.1.1.1:1234"),
            ("10.1.1.1", &["203.0.113.9:4711"], "203.0.113.9:0"),
            ("10.1.1.1", &["[2001:db8::1]:4711"], "[2001:db8::1]:0"),
            ("10.1.1.1", &["[2001:db8::1]"], "[2001:db8::1]:0"),
        ] {
            assert_eq!(through(peer, lists), client, "{peer} {lists:?}");
        }
    }

    #[test]
    fn only_a_trusted_proxy_says_which_host_was_asked_for() {
        let proxies = proxies(&["10.0.0.0/8"]);
        let sent = headers(&[
            (HOST, "backend:4000"),
            (FORWARDED_HOST, "evil.example"),
            (FORWARDED_HOST, "other.example,\tchat.example"),
            (FORWARDED_PROTO, "https"),
            (FORWARDED_FOR, "203.0.113.9"),
            (REQUEST_ID, "r1"),
        ]);
        let mut headers = sent.clone();
        proxies.admit(([10, 0, 0, 1], 1).into(), &mut headers);
        assert_eq!(headers[HOST], "chat.example");
        assert_eq!(headers[FORWARDED_PROTO], "https");
        assert_eq!(headers[REQUEST_ID], "r1");
        let mut headers = sent;
        proxies.admit(([192, 0, 2, 1], 1).into(), &mut headers);
        assert_eq!(headers[HOST], "backend:4000");
        assert_eq!(headers.len(), 1);
    }
}
