//! The URLs that signatures cover: the configured origin, and every spelling Twilio may have signed.
//!
//! A server's own URL comes from its settings, never from `Host` or `X-Forwarded-*`, so an [`Origin`]
//! is parsed strictly. Twilio is inconsistent about ports, so [`spellings`] lists each form.

use std::fmt;

use ward_policy::limit;

/// How the origin is reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scheme {
    /// `https`: webhooks.
    Https,
    /// `wss`: media streams.
    Wss,
    /// `http`: webhooks behind somebody else's TLS, on loopback only.
    Http,
}

impl Scheme {
    /// The word before `://`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Wss => "wss",
            Self::Http => "http",
        }
    }
}

/// Scheme, host and port: nothing else may stand in `MEDIA_WSS_URL` or `NEXT_PUBLIC_SITE_URL`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Origin {
    scheme: Scheme,
    host: String,
    port: Option<u16>,
}

/// Why a text is not an origin. Each names what to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// Another scheme than the setting takes.
    #[error("the scheme must be {0}://")]
    Scheme(&'static str),
    /// `user@` or `user:password@`.
    #[error("a user name or password does not belong here")]
    UserInfo,
    /// `/path`, or a slash at the end.
    #[error("no path and no slash may follow the host")]
    Path,
    /// `?query` or `#fragment`.
    #[error("no query and no fragment may follow the host")]
    Query,
    /// No host, or characters that a host name has not.
    #[error("the host is empty or has characters that a host name cannot have")]
    Host,
    /// Not a number from 1 to 65535.
    #[error("the port must be a number from 1 to 65535")]
    Port,
}

impl Origin {
    /// Parses `scheme://host[:port]`.
    ///
    /// # Errors
    /// [`OriginError`] says what the operator should change.
    pub fn parse(text: &str, schemes: &[Scheme]) -> Result<Self, OriginError> {
        let wanted = OriginError::Scheme(schemes.first().map_or("https", |scheme| scheme.name()));
        let (word, rest) = text.split_once("://").ok_or(wanted)?;
        let scheme = schemes.iter().copied().find(|scheme| scheme.name() == word).ok_or(wanted)?;
        if rest.contains(['?', '#']) {
            return Err(OriginError::Query);
        }
        if rest.contains(['/', '\\']) {
            return Err(OriginError::Path);
        }
        if rest.contains('@') {
            return Err(OriginError::UserInfo);
        }
        let (host, port) = split_port(rest);
        if !is_host(host) {
            return Err(OriginError::Host);
        }
        let port = match port {
            None => None,
            Some(digits) => Some(parse_port(digits).ok_or(OriginError::Port)?),
        };
        Ok(Self { scheme, host: host.to_owned(), port })
    }

    /// How the origin is reached.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host, IPv6 addresses in brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port in the text or the scheme's own.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(match self.scheme {
            Scheme::Https | Scheme::Wss => 443,
            Scheme::Http => 80,
        })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.name(), self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// Splits `host:port`; a bracketed IPv6 address keeps its colons.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    let after_host = authority.rfind(']').map_or(0, |bracket| bracket.saturating_add(1));
    let Some((before, after)) = authority.split_at_checked(after_host) else {
        return (authority, None);
    };
    match after.split_once(':') {
        Some((host, port)) if before.is_empty() => (host, Some(port)),
        Some(("", port)) => (before, Some(port)),
        _ => (authority, None),
    }
}

fn is_host(host: &str) -> bool {
    let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if let Some(address) = inner {
        return address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    // A name whose last label is a number is an IPv4 address or nothing (WHATWG URL, host parsing).
    let last = host.rsplit('.').next().unwrap_or_default();
    let is_number = !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit());
    (!is_number || host.parse::<std::net::Ipv4Addr>().is_ok())
        && !host.is_empty()
        && host.len() <= limit::HOST_CHARS_MAX
        && host.split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        })
}

fn parse_port(digits: &str) -> Option<u16> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
    digits.parse().ok().filter(|_port| plain)
}

/// The spellings of `url` that Twilio may have signed: as given, without port, with the scheme's own.
///
/// A fragment carries connection overrides and is never signed; userinfo is dropped. Where `url` is
/// no URL at all, the only spelling is the text itself.
#[must_use]
pub fn spellings(url: &str) -> Vec<String> {
    let url = url.split_once('#').map_or(url, |(before, _fragment)| before);
    let Some((scheme, rest)) = url.split_once("://") else {
        return vec![url.to_owned()];
    };
    let path_at = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(path_at).unwrap_or((rest, ""));
    let authority = authority.rsplit_once('@').map_or(authority, |(_userinfo, host)| host);
    let (host, port) = split_port(authority);
    let own = if matches!(scheme, "https" | "wss") { "443" } else { "80" };
    let mut list = vec![
        format!("{scheme}://{authority}{path}"),
        format!("{scheme}://{host}{path}"),
        format!("{scheme}://{host}:{}{path}", port.unwrap_or(own)),
    ];
    list.dedup();
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEB: &[Scheme] = &[Scheme::Https];

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let origin = Origin::parse("https://www.Example.com", WEB).unwrap();
        assert_eq!((origin.host(), origin.port()), ("www.Example.com", 443));
        assert_eq!(origin.to_string(), "https://www.Example.com");
        let origin = Origin::parse("wss://[::1]:8443", &[Scheme::Wss]).unwrap();
        assert_eq!((origin.host(), origin.port()), ("[::1]", 8443));
        assert_eq!(origin.to_string(), "wss://[::1]:8443");
        assert_eq!(Origin::parse("http://localhost", &[Scheme::Http]).unwrap().port(), 80);
        assert_eq!(Origin::parse("https://192.0.2.7:8443", WEB).unwrap().host(), "192.0.2.7");
    }

    #[test]
    fn everything_else_is_refused_by_name() {
        for (text, error) in [
            ("", OriginError::Scheme("https")),
            ("www.example.com", OriginError::Scheme("https")),
            ("http://www.example.com", OriginError::Scheme("https")),
            ("ws://media.example.com", OriginError::Scheme("https")),
            ("https://", OriginError::Host),
            ("https://user@example.com", OriginError::UserInfo),
            ("https://user:secret@example.com", OriginError::UserInfo),
            ("https://example.com/", OriginError::Path),
            ("https://example.com/rtm", OriginError::Path),
            ("https://example.com\\@evil.com", OriginError::Path),
            ("https://example.com?x=1", OriginError::Query),
            ("https://example.com#rc=3", OriginError::Query),
            ("https://exa\"mple.com", OriginError::Host),
            ("https://exa<mple.com", OriginError::Host),
            ("https://exa&mple.com", OriginError::Host),
            ("https://exa mple.com", OriginError::Host),
            ("https://exämple.com", OriginError::Host),
            ("https://-example.com", OriginError::Host),
            ("https://example..com", OriginError::Host),
            ("https://[::1", OriginError::Host),
            ("https://[::1]x", OriginError::Host),
            ("https://example.com:", OriginError::Port),
            ("https://example.com:0", OriginError::Port),
            ("https://example.com:0443", OriginError::Port),
            ("https://www.example.123", OriginError::Host),
            ("https://256.256.256.256", OriginError::Host),
            ("https://example.com:65536", OriginError::Port),
            ("https://example.com:+44", OriginError::Port),
            ("https://example.com:44:3", OriginError::Port),
        ] {
            assert_eq!(Origin::parse(text, WEB).unwrap_err(), error, "{text}");
        }
    }

    #[test]
    fn spellings_add_and_remove_the_port() {
        assert_eq!(
            spellings("https://a.example/p?q=1#rc=3"),
            ["https://a.example/p?q=1", "https://a.example:443/p?q=1"]
        );
        assert_eq!(spellings("wss://a.example"), ["wss://a.example", "wss://a.example:443"]);
        assert_eq!(
            spellings("http://u:p@a.example:1234/p"),
            ["http://a.example:1234/p", "http://a.example/p", "http://a.example:1234/p"]
        );
        assert_eq!(
            spellings("https://[::1]:99?x"),
            ["https://[::1]:99?x", "https://[::1]?x", "https://[::1]:99?x"]
        );
        assert_eq!(spellings("nonsense"), ["nonsense"]);
    }
}
