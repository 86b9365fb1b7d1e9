//! The server's side of a WebSocket handshake (RFC 6455, 4.2).
//!
//! No stricter than the RFC asks: headers that are lists are read as such, and a key isn't decoded. Of the subprotocols
//! that a client offers it is given the first, as by the official server: without one browsers give up.

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version,
    header::{
        CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
        SEC_WEBSOCKET_VERSION, UPGRADE,
    },
};
use tungstenite::handshake::derive_accept_key;

use crate::{
    handshake_error::{HandshakeError, WEBSOCKET_VERSION},
    header_list,
};

pub(crate) const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");

/// Whether a request asks for a WebSocket, well or badly.
pub(crate) fn is_asked_for(headers: &HeaderMap) -> bool {
    header_list::contains(headers, &UPGRADE, "websocket")
}

/// The answer that accepts a handshake.
pub(crate) fn accept<B>(request: &Request<B>) -> Result<Response<()>, HandshakeError> {
    let headers = request.headers();
    let is_handshake = request.method() == Method::GET
        && request.version() >= Version::HTTP_11
        && is_asked_for(headers)
        && header_list::contains(headers, &CONNECTION, "upgrade");
    let key = single(headers, &SEC_WEBSOCKET_KEY).filter(|key| is_key(key.as_bytes()));
    let (true, Some(key)) = (is_handshake, key) else {
        return Err(HandshakeError::Malformed);
    };
    if !header_list::contains(headers, &SEC_WEBSOCKET_VERSION, WEBSOCKET_VERSION) {
        return Err(HandshakeError::WebSocketVersion);
    }
    let accepted = HeaderValue::from_str(&derive_accept_key(key.as_bytes()));
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let answer = response.headers_mut();
    answer.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    answer.insert(UPGRADE, WEBSOCKET);
    answer.insert(
        SEC_WEBSOCKET_ACCEPT,
        accepted.map_err(|_| HandshakeError::Malformed)?,
    );
    let protocol = header_list::elements(headers, &SEC_WEBSOCKET_PROTOCOL)
        .find(|name| is_token(name))
        .and_then(|name| HeaderValue::from_str(name).ok());
    answer.extend(protocol.map(|name| (SEC_WEBSOCKET_PROTOCOL, name)));
    Ok(response)
}

/// A header that stands once.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    first.filter(|_| values.next().is_none())
}

/// 16 bytes in Base64. What its last bits are is nobody's business.
fn is_key(key: &[u8]) -> bool {
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    key.strip_suffix(b"==")
        .is_some_and(|digits| digits.len() == 22 && digits.iter().all(is_digit))
}

/// A word of RFC 9110, 5.6.2.
fn is_token(name: &str) -> bool {
    let is_tchar = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    name.bytes().all(is_tchar)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 6455, 1.3, with lines in place of its own of the same name.
    fn request(lines: &[(HeaderName, &str)]) -> Request<()> {
        let mut request = Request::get("/socket.io/").body(()).unwrap();
        let own = [
            (CONNECTION, "Upgrade"),
            (UPGRADE, "websocket"),
            (SEC_WEBSOCKET_VERSION, "13"),
            (SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        let kept = own
            .iter()
            .filter(|(name, _)| lines.iter().all(|(other, _)| other != name));
        for (name, value) in kept.chain(lines) {
            let value = HeaderValue::from_str(value).unwrap();
            request.headers_mut().append(name, value);
        }
        request
    }

    #[test]
    fn the_example_of_the_rfc_is_answered_as_there() {
        let response = accept(&request(&[])).unwrap();
        assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
        assert_eq!(
            response.headers()[SEC_WEBSOCKET_ACCEPT],
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
        assert!(!response.headers().contains_key(SEC_WEBSOCKET_PROTOCOL));
    }

    #[test]
    fn lists_are_read_as_lists() {
        for lines in [
            &[(CONNECTION, "keep-alive,\tupgrade")][..],
            &[(CONNECTION, "keep-alive"), (CONNECTION, "Upgrade")],
            &[(UPGRADE, "h2c, WebSocket")],
            &[(UPGRADE, "h2c"), (UPGRADE, "websocket")],
            &[(SEC_WEBSOCKET_VERSION, "8, 13")],
            // Its last four bits are of no byte.
            &[(SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZf==")],
        ] {
            assert!(accept(&request(lines)).is_ok(), "{lines:?}");
        }
        for lines in [
            &[(CONNECTION, "upgrades, keep-alive")][..],
            &[(UPGRADE, "h2c")],
            &[(SEC_WEBSOCKET_KEY, "")],
            &[(SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ")],
            &[(SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ=")],
            &[(SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZ===")],
            &[
                (SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ=="),
                (SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ=="),
            ],
        ] {
            assert_eq!(
                accept(&request(lines)).err(),
                Some(HandshakeError::Malformed),
                "{lines:?}"
            );
        }
        assert_eq!(
            accept(&request(&[(SEC_WEBSOCKET_VERSION, "8")])).err(),
            Some(HandshakeError::WebSocketVersion)
        );
    }

    #[test]
    fn the_first_subprotocol_is_chosen_as_it_is_written() {
        let chosen = |lines: &[&str]| {
            let lines: Vec<_> = lines.iter().map(|l| (SEC_WEBSOCKET_PROTOCOL, *l)).collect();
            let response = accept(&request(&lines)).unwrap();
            let chosen = response.headers().get(SEC_WEBSOCKET_PROTOCOL);
            chosen.map(|name| name.to_str().unwrap().to_owned())
        };
        assert_eq!(chosen(&["Chat, v2"]).as_deref(), Some("Chat"));
        assert_eq!(chosen(&["v2", "Chat"]).as_deref(), Some("v2"));
        assert_eq!(chosen(&[" ,\tchat.v1"]).as_deref(), Some("chat.v1"));
        assert_eq!(chosen(&["a b, (c)"]), None);
    }
}
