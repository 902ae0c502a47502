//! The grants of one plugin, as an operator configures them.

use std::fmt;

use http::{HeaderName, HeaderValue};

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

/// A header field that the host adds to every request to one origin. The guest never sees its value.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    pub(crate) origin: Origin,
    pub(crate) header: HeaderName,
    pub(crate) value: HeaderValue,
}

/// The reason why a secret is refused. It never shows the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    #[error("the value is not one that a header field can have: it is empty, or has line breaks or control characters")]
    Value,
    #[error("this header field belongs to the connection, to the message or to the host: use another")]
    Header,
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
    /// A field whose value is the prefix, such as `Bearer `, and then the secret.
    pub fn new(origin: Origin, header: HeaderName, prefix: &str, value: &str) -> Result<Self, SecretError> {
        Self::check_header(&header)?;
        if value.is_empty() {
            return Err(SecretError::Value);
        }
        let mut value = HeaderValue::try_from(format!("{prefix}{value}")).map_err(|_| SecretError::Value)?;
        // Debug output does not show a sensitive value, and HTTP/2 does not keep it in its tables.
        value.set_sensitive(true);
        Ok(Self { origin, header, value })
    }

    /// Checks that this field may hold a secret.
    pub fn check_header(header: &HeaderName) -> Result<(), SecretError> {
        let of_message = [http::header::CONTENT_LENGTH, http::header::TRAILER, http::header::EXPECT];
        if is_withheld(header) || of_message.contains(header) { Err(SecretError::Header) } else { Ok(()) }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} for {}", self.header, self.origin)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_shows_its_value() {
        let origin = Origin::parse("https://api.example.com").unwrap();
        let secret = Secret::new(origin.clone(), http::header::AUTHORIZATION, "Bearer ", "hunter2").unwrap();
        let shown = format!("{secret:?} {:?}", secret.value);
        assert!(!shown.contains("hunter2"), "{shown}");
        assert_eq!(Secret::new(origin.clone(), http::header::AUTHORIZATION, "", "a\nb"), Err(SecretError::Value));
        assert_eq!(Secret::new(origin.clone(), http::header::AUTHORIZATION, "Bearer ", ""), Err(SecretError::Value));
        for name in ["host", "content-length", "cdn-loop", "transfer-encoding"] {
            let header = HeaderName::from_static(name);
            assert_eq!(Secret::new(origin.clone(), header, "", "x"), Err(SecretError::Header), "{name}");
        }
    }
}
