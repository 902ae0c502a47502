//! Looks up the private keys and other secrets that the configuration names, and keeps the key that proves quotes.

#![expect(clippy::disallowed_methods, reason = "a key may be named by a variable")]

use std::path::Path;

use alloy::primitives::Address;
use coinslot_base::file::read_regular_text;
use coinslot_base::own_key::{KeyOrigin, OwnKey};
use coinslot_evm::{Key, KeyError};

use super::error::HostError;
use super::facilitators::Facilitators;
use super::policies;
use crate::config::{Config, KeySource, PaymentConfig};
use crate::refund::Refunds;

/// The most bytes of a file with a credential: a token of a cloud may have some kilobytes.
const MOST_SECRET: u64 = 4 << 10;

/// Reads a private key. The error names the place, never the key.
pub(super) fn read(source: &KeySource) -> Result<Key, KeyError> {
    match source {
        KeySource::Env(name) => Key::from_env(name),
        KeySource::File(file) => Key::from_file(file),
    }
}

/// Reads a text that is no key: a credential of a plugin or of a facilitator. The error names the place.
pub(crate) fn text(source: &KeySource) -> Result<String, String> {
    match source {
        KeySource::Env(name) => std::env::var(name).map_err(|_| format!("the variable {name} is not set, or not text")),
        KeySource::File(file) => {
            read_regular_text(file, MOST_SECRET).map_err(|error| format!("{}: {error}", file.display()))
        }
    }
}

/// The key that signs offers and receipts, if one is configured.
pub(super) fn receipts(config: &PaymentConfig) -> Result<Option<Key>, HostError> {
    let key = config.receipts.as_ref().map(read).transpose();
    key.map_err(|error| HostError::Config(format!("receipts: {error}")))
}

/// The wallet that pays owed answers back, if one is configured.
pub(super) fn refunds(config: &Config, facilitators: &Facilitators) -> Result<Option<Refunds>, HostError> {
    let Some(refunds) = &config.refunds else { return Ok(None) };
    let misconfigured = |problem: String| HostError::Config(format!("refunds: {problem}"));
    let key = read(&refunds.key).map_err(|error| misconfigured(error.to_string()))?;
    let gas_wallets: Vec<Address> = facilitators.locals.values().flat_map(|local| local.gas_wallets()).collect();
    let receivers = policies::receivers(&config.plugins, &facilitators.accepts);
    Refunds::new(config, refunds, key, &gas_wallets, &receivers).map(Some).map_err(misconfigured)
}

/// The key that proves quotes, made at the first start and kept, so that a quote outlives a restart. Who knows it can
/// forge quotes, so one that came along with the state folder is replaced.
pub(super) fn quotes(file: &Path) -> Result<[u8; 32], HostError> {
    let opened = OwnKey::open(file);
    let OwnKey { bytes, origin } = opened.map_err(|source| HostError::File { path: file.to_owned(), source })?;
    let file = file.display();
    match origin {
        KeyOrigin::Kept | KeyOrigin::Made => {}
        KeyOrigin::Replaced => tracing::warn!(
            %file,
            "this key was not made here, so others may know it: a new one is made, and quotes that were given are refused \
             once. If nobody has restored or copied this state folder, find out where it comes from before you take money"
        ),
        KeyOrigin::NotKept => tracing::warn!(
            %file,
            "the file system of the state folder does not record when files are made, so this key is not kept: after a \
             restart quotes that were given are refused once"
        ),
    }
    Ok(bytes)
}
