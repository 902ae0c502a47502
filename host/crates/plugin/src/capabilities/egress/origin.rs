//! Origins (scheme, host and port) of outgoing requests: those that an operator allows, and those that guests ask for.
//!
//! Both are read by the same parser of URLs, so that every spelling of an address (`0x7f.1`, `2130706433`,
//! `[::ffff:127.0.0.1]`) is that address before anything is compared.

use std::fmt;
use std::net::IpAddr;

use http::Uri;
use url::{Host, Url};

/// A scheme, a host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    https: bool,
    pub(super) host: OriginHost,
    port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum OriginHost {
    Name(String),
    /// Every name below a domain: those that end with this text, which starts with a dot.
    Below(String),
    /// Every name, and every address.
    Any,
    Address(IpAddr),
}

impl Origin {
    /// Reads `https://api.example.com`, `http://127.0.0.1:9000`, `https://*.example.com`, or `https://*` for every
    /// server with TLS.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| format!("`{text}` {what}");
        let url = Url::parse(text).map_err(|error| wrong(&format!("is not a URL: {error}")))?;
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() || has_credentials(&url) {
            return Err(wrong("must be an origin such as `https://api.example.com`, without a path"));
        }
        let origin = Self::of(&url).ok_or_else(|| wrong("is not an origin such as `https://api.example.com`"))?;
        match origin.host {
            OriginHost::Name(name) if name == "*" && origin.https => Ok(Self { host: OriginHost::Any, ..origin }),
            OriginHost::Name(name) if name.contains('*') => match name.strip_prefix('*') {
                Some(rest) if rest.starts_with('.') && rest[1..].contains('.') && !rest.contains('*') => {
                    Ok(Self { host: OriginHost::Below(rest.to_owned()), ..origin })
                }
                _ => Err(wrong(
                    "has a `*` that is not the whole first part of a name such as `*.example.com`, nor all of `https://*`",
                )),
            },
            OriginHost::Name(name) if name.ends_with('.') => Err(wrong("ends with a dot: leave it out")),
            host => Ok(Self { host, ..origin }),
        }
    }

    /// The origin that a guest asks for. None if the URI has no proper scheme and authority.
    pub(crate) fn asked(uri: &Uri) -> Option<Self> {
        let (scheme, authority) = (uri.scheme_str()?, uri.authority()?.as_str());
        let url = Url::parse(&format!("{scheme}://{authority}/")).ok()?;
        // Refuse an authority that the parsers of `http` and `url` would understand differently.
        if url.path() != "/" || has_credentials(&url) || authority.contains(['@', '\\', '*']) {
            return None;
        }
        Self::of(&url)
    }

    fn of(url: &Url) -> Option<Self> {
        let https = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let host = match url.host()? {
            Host::Domain(name) => OriginHost::Name(name.to_owned()),
            Host::Ipv4(address) => OriginHost::Address(address.into()),
            Host::Ipv6(address) => OriginHost::Address(IpAddr::from(address).to_canonical()),
        };
        Some(Self { https, host, port: url.port_or_known_default()? })
    }

    /// True unless it is a wildcard.
    pub fn is_exact(&self) -> bool {
        !matches!(self.host, OriginHost::Below(_) | OriginHost::Any)
    }

    /// True if it stands for every server.
    pub fn is_any(&self) -> bool {
        self.host == OriginHost::Any
    }

    /// True without TLS: requests can be read on the way.
    pub fn is_plain(&self) -> bool {
        !self.https
    }

    /// True if this entry allows a request for `asked`.
    pub fn covers(&self, asked: &Self) -> bool {
        self.https == asked.https
            && self.port == asked.port
            && match (&self.host, &asked.host) {
                (OriginHost::Below(end), OriginHost::Name(name)) => {
                    name.len() > end.len() && name.ends_with(end.as_str())
                }
                (OriginHost::Any, _) => true,
                (own, asked) => own == asked,
            }
    }

    /// The name or address to look up, without brackets, and the port.
    pub(crate) fn endpoint(&self) -> (String, u16) {
        let host = match &self.host {
            OriginHost::Name(name) | OriginHost::Below(name) => name.clone(),
            OriginHost::Any => "*".to_owned(),
            OriginHost::Address(address) => address.to_string(),
        };
        (host, self.port)
    }

    /// The address, if the host is one.
    pub(crate) fn literal(&self) -> Option<IpAddr> {
        match self.host {
            OriginHost::Address(address) => Some(address),
            OriginHost::Name(_) | OriginHost::Below(_) | OriginHost::Any => None,
        }
    }
}

fn has_credentials(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        match &self.host {
            OriginHost::Name(name) => write!(f, "{scheme}://{name}")?,
            OriginHost::Below(end) => write!(f, "{scheme}://*{end}")?,
            OriginHost::Any => write!(f, "{scheme}://*")?,
            OriginHost::Address(IpAddr::V4(address)) => write!(f, "{scheme}://{address}")?,
            OriginHost::Address(IpAddr::V6(address)) => write!(f, "{scheme}://[{address}]")?,
        }
        if self.port == if self.https { 443 } else { 80 } { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::super::allowed::Allowed;
    use super::*;

    #[track_caller]
    fn covers(entry: &str, asked: &str) -> bool {
        let uri: Uri = asked.parse().unwrap();
        Origin::asked(&uri).is_some_and(|asked| Origin::parse(entry).unwrap().covers(&asked))
    }

    #[test]
    fn an_entry_covers_its_own_scheme_host_and_port_only() {
        let entry = "https://api.example.com";
        for same in ["https://api.example.com/", "https://API.example.com:443/x?y", "https://api.example.com/../z"] {
            assert!(covers(entry, same), "{same}");
        }
        for other in [
            "http://api.example.com/",
            "https://api.example.com:8443/",
            "https://example.com/",
            "https://x.api.example.com/",
            "https://api.example.com./",
            "https://api.example.com.evil.example/",
            "https://evil.example/api.example.com",
            "https://api.example.com@evil.example/",
            "https://evil.example%2fapi.example.com/",
        ] {
            // A text that is not a URI is refused earlier.
            assert!(other.parse::<Uri>().is_err() || !covers(entry, other), "{other}");
        }
    }

    #[test]
    fn a_wildcard_covers_the_names_below_it_and_not_its_own() {
        let entry = "https://*.example.com";
        assert!(covers(entry, "https://a.example.com/") && covers(entry, "https://a.b.example.com/"));
        for other in ["https://example.com/", "https://.example.com/", "https://badexample.com/", "https://1.2.3.4/"] {
            assert!(!covers(entry, other), "{other}");
        }
    }

    #[test]
    fn a_star_covers_every_server_with_tls_and_only_public_addresses() {
        let entry = "https://*";
        for asked in ["https://example.com/", "https://a.b.example.org/", "https://1.1.1.1/", "https://localhost/"] {
            assert!(covers(entry, asked), "{asked}");
        }
        assert!(!covers(entry, "http://example.com/") && !covers(entry, "https://example.com:8443/"));
        let any = Allowed { origin: Origin::parse(entry).unwrap(), private: false };
        assert!(!any.origin.is_exact() && any.origin.is_any() && !any.is_inside());
        for address in ["127.0.0.1", "::1", "10.0.0.1", "169.254.169.254", "168.63.129.16", "fd12::1"] {
            assert!(!any.admits(address.parse().unwrap()), "{address}");
        }
        assert!(any.admits("1.1.1.1".parse().unwrap()));
    }

    #[test]
    fn every_spelling_of_an_address_is_that_address() {
        for spelling in [
            "http://127.0.0.1:9000/",
            "http://2130706433:9000/",
            "http://0x7f.1:9000/",
            "http://0177.0.0.1:9000/",
            "http://127.1:9000/",
            "http://[::ffff:127.0.0.1]:9000/",
            "http://[0:0:0:0:0:ffff:7f00:1]:9000/",
        ] {
            let asked = Origin::asked(&spelling.parse().unwrap()).unwrap();
            assert_eq!(asked.to_string(), "http://127.0.0.1:9000", "{spelling}");
            assert!(!covers("http://127.0.0.2:9000", spelling) && covers("http://127.0.0.1:9000", spelling));
        }
    }

    #[test]
    fn a_text_that_is_not_an_origin_is_refused_with_a_reason() {
        for (text, reason) in [
            ("api.example.com", "not a URL"),
            ("ftp://example.com", "not an origin"),
            ("https://example.com/v1", "without a path"),
            ("https://me:pw@example.com", "without a path"),
            ("http://*", "`*`"),
            ("https://x*", "`*`"),
            ("https://*.com", "`*`"),
            ("https://a.*.com", "`*`"),
            ("https://example.com.", "dot"),
        ] {
            let said = Origin::parse(text).unwrap_err();
            assert!(said.contains(reason), "{text}: {said}");
        }
        for text in [
            "https://api.example.com",
            "http://127.0.0.1:9000",
            "https://*.example.com",
            "https://*",
            "http://[::1]:81",
        ] {
            assert_eq!(Origin::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_name_has_private_addresses_only_if_the_operator_allows_it() {
        let entry = |origin: &str, private| Allowed { origin: Origin::parse(origin).unwrap(), private };
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let named = entry("https://api.example.com", false);
        assert!(named.admits(ip("93.184.216.34")) && !named.admits(ip("10.0.0.1")) && !named.admits(ip("127.0.0.1")));
        let inside = entry("https://billing.internal", true);
        assert!(inside.admits(ip("10.0.0.1")) && inside.admits(ip("93.184.216.34")));
        assert!(!inside.admits(ip("169.254.169.254")), "not even a private name is the metadata service");
        let here = entry("http://localhost:1", false);
        assert!(here.admits(ip("127.0.0.1")) && here.admits(ip("::1")) && !here.admits(ip("10.0.0.1")));
        let metadata = entry("http://169.254.169.254", false);
        assert!(metadata.admits(ip("169.254.169.254")) && !metadata.admits(ip("169.254.169.253")));
    }
}
