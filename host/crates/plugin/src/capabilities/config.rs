//! The grants of one plugin, as an operator configures them.

use std::fmt;

use http::request::Parts;
use http::uri::{InvalidUri, PathAndQuery};
use http::{HeaderName, HeaderValue, Uri};
use url::form_urlencoded::{self, byte_serialize};

use crate::capabilities::egress::{Allowed, Origin};
use crate::headers::is_withheld;

/// The capabilities of a plugin. Nothing is granted but what is named here; the default grants nothing.
#[derive(Clone, Debug, Default)]
pub struct Grants {
    /// Allowed targets of its outgoing requests.
    pub http: Vec<Allowed>,
    /// Header fields that are added to some of its outgoing requests.
    pub secrets: Vec<Secret>,
    /// The keys and values of `wasi:config`.
    pub config: Vec<(String, String)>,
    /// Its store of `wasi:keyvalue`. None: it has no store.
    pub keyvalue: Option<Quota>,
}

impl Grants {
    /// Says what is granted, a line for each, without the values of secrets and of the configuration.
    pub fn shown(&self) -> Vec<String> {
        let Self { http, secrets, config, keyvalue } = self;
        let requests = http.iter().map(|allowed| format!("requests to {allowed}"));
        let secrets = secrets.iter().map(|secret| format!("secret in {} to {}", secret.place, secret.origin));
        let config = config.iter().map(|(key, _)| format!("configuration {key}"));
        let store = keyvalue.iter().map(|quota| format!("store of {} bytes and {} keys", quota.bytes, quota.keys));
        requests.chain(secrets).chain(config).chain(store).collect()
    }
}

/// A secret that the host adds to every request to one origin. The guest never sees its value.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    origin: Origin,
    place: SecretPlace,
    /// As it is sent: what a header field may have, and in a query percent-encoded.
    value: HeaderValue,
}

/// The place of a secret in a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretPlace {
    Header(HeaderName),
    /// The parameter of this name in the query.
    Query(String),
}

impl fmt::Display for SecretPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(header) => write!(f, "{header}"),
            Self::Query(name) => write!(f, "?{name}="),
        }
    }
}

/// The reason why a secret is refused. It never shows the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    #[error("the value is not one that a header field can have: it is empty, or has line breaks or control characters")]
    Value,
    #[error("this header field belongs to the connection, to the message or to the host: use another")]
    Header,
    #[error("the name of a parameter has from 1 to 64 letters, digits, `-`, `_` and `.`")]
    Parameter,
}

/// The size of a plugin's key-value store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Bytes of all keys and values together.
    pub bytes: u64,
    pub keys: u64,
    /// Bytes of one value.
    pub value: usize,
}

impl Default for Quota {
    fn default() -> Self {
        Self { bytes: 64 << 20, keys: 100_000, value: 1 << 20 }
    }
}

impl Secret {
    /// A header field or a parameter whose value is the prefix, such as `Bearer `, and then the secret.
    pub fn new(origin: Origin, place: SecretPlace, prefix: &str, value: &str) -> Result<Self, SecretError> {
        if value.is_empty() {
            return Err(SecretError::Value);
        }
        let value = format!("{prefix}{value}");
        let value = match &place {
            SecretPlace::Header(header) => {
                Self::check_header(header)?;
                value
            }
            SecretPlace::Query(name) => {
                Self::check_parameter(name)?;
                byte_serialize(value.as_bytes()).collect()
            }
        };
        let mut value = HeaderValue::try_from(value).map_err(|_| SecretError::Value)?;
        // Debug output does not show a sensitive value, and HTTP/2 does not keep it in its tables.
        value.set_sensitive(true);
        Ok(Self { origin, place, value })
    }

    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Adds the secret to a request, in place of what the guest has written there.
    pub(crate) fn add_to(&self, parts: &mut Parts) -> Result<(), InvalidUri> {
        match &self.place {
            SecretPlace::Header(header) => {
                parts.headers.insert(header.clone(), self.value.clone());
            }
            SecretPlace::Query(name) => {
                let written = parts.uri.query().unwrap_or_default().split('&');
                let kept = written.filter(|pair| !pair.is_empty() && !is_parameter(pair, name));
                let value = self.value.to_str().unwrap_or_default();
                let query = kept.map(str::to_owned).chain([format!("{name}={value}")]).collect::<Vec<_>>().join("&");
                let mut uri = std::mem::take(&mut parts.uri).into_parts();
                let path = uri.path_and_query.as_ref().map_or("/", PathAndQuery::path);
                uri.path_and_query = Some(format!("{path}?{query}").parse()?);
                // The path and the query alone have changed.
                parts.uri = Uri::from_parts(uri).unwrap_or_default();
            }
        }
        Ok(())
    }

    /// Checks that a parameter of this name may hold a secret.
    pub fn check_parameter(name: &str) -> Result<(), SecretError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if (1..=64).contains(&name.len()) && name.bytes().all(plain) { Ok(()) } else { Err(SecretError::Parameter) }
    }

    /// Checks that this field may hold a secret.
    pub fn check_header(header: &HeaderName) -> Result<(), SecretError> {
        let of_message = [http::header::CONTENT_LENGTH, http::header::TRAILER, http::header::EXPECT];
        if is_withheld(header) || of_message.contains(header) { Err(SecretError::Header) } else { Ok(()) }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} for {}", self.place, self.origin)
    }
}

/// True if a pair of a query has this name, however it is spelt.
fn is_parameter(pair: &str, name: &str) -> bool {
    form_urlencoded::parse(pair.as_bytes()).next().is_some_and(|(key, _)| key == name)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_shows_its_value() {
        let origin = Origin::parse("https://api.example.com").unwrap();
        let authorization = SecretPlace::Header(http::header::AUTHORIZATION);
        let secret = Secret::new(origin.clone(), authorization.clone(), "Bearer ", "hunter2").unwrap();
        let shown = format!("{secret:?} {:?}", secret.value);
        assert!(!shown.contains("hunter2"), "{shown}");
        assert_eq!(Secret::new(origin.clone(), authorization.clone(), "", "a\nb"), Err(SecretError::Value));
        assert_eq!(Secret::new(origin.clone(), authorization, "Bearer ", ""), Err(SecretError::Value));
        for name in ["", "a b", "a&b", "a=b", &"x".repeat(65)] {
            let place = SecretPlace::Query(name.to_owned());
            assert_eq!(Secret::new(origin.clone(), place, "", "x"), Err(SecretError::Parameter), "{name}");
        }
        for name in ["host", "content-length", "cdn-loop", "transfer-encoding"] {
            let header = SecretPlace::Header(HeaderName::from_static(name));
            assert_eq!(Secret::new(origin.clone(), header, "", "x"), Err(SecretError::Header), "{name}");
        }
    }

    #[test]
    fn a_secret_in_a_query_replaces_what_the_guest_has_written_there() {
        let origin = Origin::parse("https://api.example.com").unwrap();
        let secret = Secret::new(origin, SecretPlace::Query("key".to_owned()), "", "a b&c=\u{e9}").unwrap();
        for (written, sent) in [
            ("/", "/?key=a+b%26c%3D%C3%A9"),
            ("/x?", "/x?key=a+b%26c%3D%C3%A9"),
            ("/x?q=1&key=mine&k%65y=mine&key&keys=2", "/x?q=1&keys=2&key=a+b%26c%3D%C3%A9"),
        ] {
            let request = http::Request::get(format!("https://api.example.com{written}")).body(()).unwrap();
            let mut parts = request.into_parts().0;
            secret.add_to(&mut parts).unwrap();
            assert_eq!(parts.uri.to_string(), format!("https://api.example.com{sent}"));
        }
        assert!(!format!("{secret:?}").contains("%26"));
    }
}
