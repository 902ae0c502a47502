//! Looks up the private keys and other secrets that the configuration names, and keeps the key that proves quotes.

#![expect(clippy::disallowed_methods, reason = "a key may be named by a variable")]

use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use coinslot_evm::{Key, KeyError};

use super::error::HostError;
use crate::config::{KeySource, PaymentConfig};

/// Reads a private key. The error names the place, never the key.
pub(super) fn read(source: &KeySource) -> Result<Key, KeyError> {
    match source {
        KeySource::Env(name) => Key::from_env(name),
        KeySource::File(file) => Key::from_file(file),
    }
}

/// Reads a text that is no key: a credential of a plugin or of a facilitator. The error names the place.
pub(super) fn text(source: &KeySource) -> Result<String, String> {
    match source {
        KeySource::Env(name) => std::env::var(name).map_err(|_| format!("the variable {name} is not set, or not text")),
        KeySource::File(file) => std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display())),
    }
}

/// The key that signs offers and receipts, if one is configured.
pub(super) fn receipts(config: &PaymentConfig) -> Result<Option<Key>, HostError> {
    let key = config.receipts.as_ref().map(read).transpose();
    key.map_err(|error| HostError::Config(format!("receipts: {error}")))
}

/// The key that proves quotes, made at the first start and kept, so that a quote outlives a restart.
pub(super) fn quotes(file: &Path) -> Result<[u8; 32], HostError> {
    let failed = |source| HostError::File { path: file.to_owned(), source };
    match std::fs::read(file) {
        Ok(bytes) => bytes.try_into().map_err(|_| {
            failed(io::Error::new(io::ErrorKind::InvalidData, "not 32 bytes; remove it and a new one is made"))
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // `create_new`: of two hosts that start at once in one folder, one fails instead of using another key.
            let key = secp256k1::rand::random::<[u8; 32]>();
            let made = std::fs::File::options().create_new(true).write(true).mode(0o600).open(file);
            made.and_then(|mut made| made.write_all(&key).and_then(|()| made.sync_all())).map_err(failed)?;
            Ok(key)
        }
        Err(error) => Err(failed(error)),
    }
}
