//! Keys of an operator's own customers, kept as hashes.

use std::path::Path;

use coinslot_x402::UnixTime;
use rusqlite::Connection;

use crate::sqlite::{api_keys, open_beside, open_to_rehearse};
use crate::{Fingerprint, FreeQuota, LedgerError};

/// A key, as the ledger knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    pub id: i64,
    /// The operator's name for the customer. No two keys that count have the same.
    pub name: String,
    /// The beginning of the key, by which a person tells it from others.
    pub shown: String,
    /// It counts for this plugin alone.
    pub plugin: Option<String>,
    /// It counts for this endpoint alone: the method and the path template.
    pub route: Option<String>,
    pub quota: Option<FreeQuota>,
    pub created_at: UnixTime,
    pub expires_at: Option<UnixTime>,
    pub revoked_at: Option<UnixTime>,
}

impl ApiKey {
    /// True if the key counts at this time.
    pub fn counts_at(&self, now: UnixTime) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }

    /// True if the key is for this endpoint.
    pub fn is_for(&self, plugin: &str, route: &str) -> bool {
        self.plugin.as_deref().is_none_or(|own| own == plugin) && self.route.as_deref().is_none_or(|own| own == route)
    }

    /// The state at this time: `active`, `expired` or `revoked`.
    pub fn state(&self, now: UnixTime) -> &'static str {
        match self {
            Self { revoked_at: Some(_), .. } => "revoked",
            key if key.counts_at(now) => "active",
            _ => "expired",
        }
    }
}

/// A key that is to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewApiKey {
    pub name: String,
    pub shown: String,
    /// SHA-256 of the key.
    pub hash: Fingerprint,
    pub plugin: Option<String>,
    pub route: Option<String>,
    pub quota: Option<FreeQuota>,
    pub expires_at: Option<UnixTime>,
}

/// A key with its use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeyUse {
    pub key: ApiKey,
    /// Requests that were answered for it, ever.
    pub served: u64,
    /// Requests that count in its window.
    pub used: u64,
    /// The time at which its window ends. None: it has none, or it has not begun.
    pub resets_at: Option<UnixTime>,
    pub last_used_at: Option<UnixTime>,
}

impl ApiKeyUse {
    /// A key that was made now.
    pub fn unused(key: ApiKey) -> Self {
        Self { key, served: 0, used: 0, resets_at: None, last_used_at: None }
    }
}

/// The keys of a ledger, which are changed beside the host that writes it: its next look sees the change.
#[derive(Debug)]
pub struct ApiKeys(Connection);

impl ApiKeys {
    /// Opens the ledger's file, which is created or upgraded if no host runs on it. Fails if a host runs on it that knows
    /// no keys.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        open_beside(path).map(Self)
    }

    /// Opens the ledger's file to find out how changes would end: what is added or revoked is undone when this is dropped.
    /// The file is neither created nor upgraded, and it is refused where [`ApiKeys::open`] refuses it.
    pub fn rehearse(path: &Path) -> Result<Self, LedgerError> {
        open_to_rehearse(path).map(Self)
    }

    /// Keeps a key. None if another one that counts has the same name.
    pub fn add(&self, key: &NewApiKey, at: UnixTime) -> Result<Option<ApiKey>, LedgerError> {
        api_keys::add(&self.0, key, at)
    }

    /// Every key, the newest first, with its use.
    pub fn list(&self, at: UnixTime) -> Result<Vec<ApiKeyUse>, LedgerError> {
        Ok(api_keys::list(&self.0, at)?)
    }

    /// Revokes the keys of this name, or the key that begins so. Returns those that counted until now.
    pub fn revoke(&self, name: &str, at: UnixTime) -> Result<Vec<ApiKey>, LedgerError> {
        api_keys::revoke(&self.0, name, at)
    }
}
