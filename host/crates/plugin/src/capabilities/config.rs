//! What an operator grants one plugin, and the same made ready for its guests.
//!
//! Granted is what is named here and nothing else. A guest that describes itself or quotes a price has
//! [`Capabilities::none`], whatever its plugin is granted.

use std::fmt;
use std::sync::{Arc, LazyLock};

use http::{HeaderName, HeaderValue};
use wasmtime_wasi_config::WasiConfigVariables;

use crate::Runtime;
use crate::capabilities::egress::{Allowed, EgressClient, Origin, is_withheld};
use crate::capabilities::keyvalue::KvGrant;

/// What a plugin may do with the world. By default, nothing.
#[derive(Clone, Debug, Default)]
pub struct Grants {
    /// Where its requests may go.
    pub http: Vec<Allowed>,
    /// What is added to some of them.
    pub secrets: Vec<Secret>,
    /// What `wasi:config` tells it.
    pub config: Vec<(String, String)>,
    /// How much `wasi:keyvalue` keeps for it; none is nothing.
    pub keyvalue: Option<Quota>,
}

/// A header field that the host adds to every request to one origin. The guest never sees its value.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    pub(crate) origin: Origin,
    pub(crate) header: HeaderName,
    pub(crate) value: HeaderValue,
}

/// Why a secret cannot be one. Never shows its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    #[error("the value is not one that a header field can have: it is empty, or has line breaks or control characters")]
    Value,
    #[error("this header field belongs to the connection, to the message or to payments: use another")]
    Header,
}

/// How much is kept for a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Of all keys and values together.
    pub bytes: u64,
    pub keys: u64,
    /// Of one value.
    pub value: usize,
}

impl Default for Quota {
    fn default() -> Self {
        Self { bytes: 64 << 20, keys: 100_000, value: 1 << 20 }
    }
}

impl Secret {
    /// The value that follows a prefix such as `Bearer `.
    pub fn new(origin: Origin, header: HeaderName, prefix: &str, value: &str) -> Result<Self, SecretError> {
        Self::check_header(&header)?;
        if value.is_empty() {
            return Err(SecretError::Value);
        }
        let mut value = HeaderValue::try_from(format!("{prefix}{value}")).map_err(|_| SecretError::Value)?;
        // Not shown by debug output, and not kept in HTTP/2's tables.
        value.set_sensitive(true);
        Ok(Self { origin, header, value })
    }

    /// Whether a secret may be in this field.
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

/// What one plugin's guests use.
#[derive(Default)]
pub(crate) struct Capabilities {
    pub(crate) outgoing: Option<Arc<EgressClient>>,
    pub(crate) config: WasiConfigVariables,
    pub(crate) keyvalue: Option<KvGrant>,
}

impl fmt::Debug for Capabilities {
    /// Without what is configured, which may be nobody else's business.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capabilities")
            .field("outgoing", &self.outgoing)
            .field("keyvalue", &self.keyvalue)
            .finish_non_exhaustive()
    }
}

impl Capabilities {
    /// Nothing at all.
    pub(crate) fn none() -> Arc<Self> {
        static NONE: LazyLock<Arc<Capabilities>> = LazyLock::new(Arc::default);
        Arc::clone(&NONE)
    }

    /// What is granted to the plugin of this name.
    pub(crate) fn new(runtime: &Runtime, name: &str, grants: &Grants) -> Arc<Self> {
        let outgoing = (!grants.http.is_empty()).then(|| {
            Arc::new(EgressClient::new(grants.http.clone(), grants.secrets.clone(), Arc::clone(&runtime.resolver)))
        });
        let config = grants.config.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let keyvalue = grants.keyvalue.map(|quota| KvGrant { shelf: runtime.shelves.of(name), quota });
        Arc::new(Self { outgoing, config, keyvalue })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_its_value_to_nobody() {
        let origin = Origin::parse("https://api.example.com").unwrap();
        let secret = Secret::new(origin.clone(), http::header::AUTHORIZATION, "Bearer ", "hunter2").unwrap();
        let shown = format!("{secret:?} {:?}", secret.value);
        assert!(!shown.contains("hunter2"), "{shown}");
        assert_eq!(Secret::new(origin.clone(), http::header::AUTHORIZATION, "", "a\nb"), Err(SecretError::Value));
        assert_eq!(Secret::new(origin.clone(), http::header::AUTHORIZATION, "Bearer ", ""), Err(SecretError::Value));
        for name in ["host", "payment-signature", "x-payment", "content-length", "cdn-loop", "transfer-encoding"] {
            let header = HeaderName::from_static(name);
            assert_eq!(Secret::new(origin.clone(), header, "", "x"), Err(SecretError::Header), "{name}");
        }
    }
}
