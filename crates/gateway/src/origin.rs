//! Where a page comes from, as browsers tell it (RFC 6454).

use std::str::FromStr;

use url::Url;

/// A scheme, a host and a port: two are equal however they are written, in any case, with or without the default
/// port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin(String);

/// A text that isn't an origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected an origin such as https://chat.example.org")]
pub struct NotAnOrigin;

impl Origin {
    /// The origin as browsers write it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Origin {
    type Err = NotAnOrigin;

    fn from_str(text: &str) -> Result<Self, NotAnOrigin> {
        // What browsers never send, and URLs are lenient with.
        let lenient = |letter: char| {
            letter.is_whitespace() || letter.is_control() || matches!(letter, '\\' | '@' | '%')
        };
        let (_, rest) = text.split_once("://").ok_or(NotAnOrigin)?;
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if text.contains(lenient) || authority.contains(['/', '?', '#']) {
            return Err(NotAnOrigin);
        }
        let url = Url::parse(text).map_err(|_| NotAnOrigin)?;
        let host = url
            .host_str()
            .filter(|host| !host.is_empty() && !host.contains('*') && !host.ends_with('.'));
        let host = host.ok_or(NotAnOrigin)?;
        let origin = url.origin();
        if origin.is_tuple() {
            return Ok(Self(origin.ascii_serialization()));
        }
        // Of an app that brings its pages along, such as `capacitor://localhost`.
        let (scheme, host) = (url.scheme(), host.to_ascii_lowercase());
        Ok(Self(match url.port() {
            Some(port) => format!("{scheme}://{host}:{port}"),
            None => format!("{scheme}://{host}"),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spelling_makes_no_other_origin() {
        let origin = |text: &str| text.parse::<Origin>().map(|origin| origin.0);
        for (written, read) in [
            ("https://App.Example:443", "https://app.example"),
            ("HTTPS://app.example/", "https://app.example"),
            ("http://app.example:80", "http://app.example"),
            ("https://app.example:80", "https://app.example:80"),
            ("https://münchen.example", "https://xn--mnchen-3ya.example"),
            ("http://[0:0::1]:80", "http://[::1]"),
            ("Capacitor://LocalHost", "capacitor://localhost"),
            ("https://app.example:", "https://app.example"),
            ("https://app.example:0443", "https://app.example"),
            (
                "https://XN--MNCHEN-3YA.example",
                "https://xn--mnchen-3ya.example",
            ),
        ] {
            assert_eq!(origin(written).as_deref(), Ok(read), "{written}");
        }
        for wrong in [
            "",
            "null",
            "app.example",
            "https://",
            "https://app.example/path",
            "https://app.example?a",
            "https://a b.example",
            "https://*.example",
            "https://ann@app.example",
            "https://@app.example",
            "https://ann:pass@app.example",
            "https://app.example.",
            "https://app.example/.",
            "https://app.example//",
            "https://app.example#",
            "https://app.example?",
            "https://app.example:65536",
            "https://app%2Eexample",
            "https:app.example",
            "https:\\\\app.example",
            "https://app.exa\tmple",
            " https://app.example",
            "https://a.example,https://b.example",
            "file:///",
        ] {
            assert_eq!(origin(wrong), Err(NotAnOrigin), "{wrong}");
        }
    }
}
