//! Splits the URL of a resource as sign-in-with-x compares it: for hosts, which check, and for clients, which sign.

use url::Url;

/// The public place of a resource, as clients compare it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The host, with a port where it is not the scheme's own.
    pub(crate) domain: String,
    pub(crate) origin: String,
    /// The URL without its query.
    pub(crate) uri: String,
}

impl Place {
    /// None: it is no URL, or one without a host.
    pub(crate) fn of(url: &str) -> Option<Self> {
        let parsed = Url::parse(url).ok()?;
        let host = parsed.host_str()?;
        let domain = parsed.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let uri = url.split_once('?').map_or(url, |(path, _)| path).to_owned();
        Some(Self { origin: parsed.origin().ascii_serialization(), domain, uri })
    }
}
