//! The query of an Engine.IO request.

use crate::handshake_error::HandshakeError;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TransportName {
    Polling,
    WebSocket,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Query<'a> {
    pub(crate) transport: TransportName,
    pub(crate) sid: Option<&'a str>,
}

impl<'a> Query<'a> {
    /// Values are plain ASCII, so nothing needs decoding; parameters that aren't of the protocol are the application's.
    pub(crate) fn parse(query: &'a str) -> Result<Self, HandshakeError> {
        let value = |name: &str| {
            query
                .split('&')
                .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
        };
        let transport = match value("transport") {
            Some("polling") => TransportName::Polling,
            Some("websocket") => TransportName::WebSocket,
            _ => return Err(HandshakeError::UnknownTransport),
        };
        if value("EIO") != Some("4") {
            return Err(HandshakeError::UnsupportedVersion);
        }
        Ok(Self {
            transport,
            sid: value("sid").filter(|sid| !sid.is_empty()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_protocol_names() {
        let query = Query::parse("EIO=4&transport=polling&t=abc&sid=AbC_-9").unwrap();
        assert_eq!(query.transport, TransportName::Polling);
        assert_eq!(query.sid, Some("AbC_-9"));
        let query = Query::parse("b64=1&transport=websocket&EIO=4").unwrap();
        assert_eq!(
            (query.transport, query.sid),
            (TransportName::WebSocket, None)
        );
    }

    #[test]
    fn refuses_the_rest() {
        for (query, refused) in [
            ("", HandshakeError::UnknownTransport),
            ("EIO=4", HandshakeError::UnknownTransport),
            ("EIO=4&transport=abc", HandshakeError::UnknownTransport),
            ("transport=polling", HandshakeError::UnsupportedVersion),
            (
                "EIO=3&transport=polling",
                HandshakeError::UnsupportedVersion,
            ),
            (
                "EIO=abc&transport=websocket",
                HandshakeError::UnsupportedVersion,
            ),
        ] {
            assert_eq!(Query::parse(query), Err(refused), "{query}");
        }
    }
}
