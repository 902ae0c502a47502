//! Finds the payer's private key.

#![expect(clippy::disallowed_methods, reason = "a key may be in the environment")]

use std::fs;
use std::path::Path;

use coinslot_evm::{Key, KeyError};
use serde::Deserialize;
use url::Url;

use super::args::PayerArgs;
use crate::cli::{Failure, dev_hosts};

/// The environment variable with the payer's key, unless another is named.
const KEY_ENV: &str = "COINSLOT_PAYER_KEY";

/// The key of a payer.
pub(in crate::cli) struct PayerKey {
    pub(in crate::cli) key: Key,
    /// True if it is that of a `coinslot dev`, whose money is none, and whose word counts.
    pub(in crate::cli) of_dev: bool,
}

/// Finds the key for a payment to this URL: in the named place, else in the file of a `coinslot dev` that serves the
/// URL, else in the environment.
pub(in crate::cli) fn key(args: &PayerArgs, url: &Url) -> Result<PayerKey, Failure> {
    key_if_any(args, url)?.ok_or_else(|| {
        Failure::new(format!(
            "{}; or name --key-file. No running `coinslot dev` of yours serves {}: its payer would need no key",
            KeyError::NoVariable(KEY_ENV.to_owned()),
            url.origin().ascii_serialization()
        ))
    })
}

/// Finds the key as [`key`] does. None: no key is named anywhere. Fails if one is named and cannot be used.
pub(in crate::cli) fn key_if_any(args: &PayerArgs, url: &Url) -> Result<Option<PayerKey>, Failure> {
    let found = |key: Result<Key, KeyError>, of_dev: bool| match key {
        Ok(key) => Ok(Some(PayerKey { key, of_dev })),
        Err(error) => Err(Failure::new(error.to_string())),
    };
    if let Some(file) = &args.dev_json {
        let shown = file.display();
        if let Err(error) = fs::metadata(file) {
            return Err(Failure::new(format!("{shown} cannot be read: {error}: is `coinslot dev` running there?")));
        }
        let key =
            dev_key(file, url).ok_or_else(|| Failure::new(format!("{shown} is not of a host that serves {url}")))?;
        return found(key, true);
    }
    match (&args.key_file, &args.key_env) {
        (Some(path), _) => return found(Key::from_file(path), false),
        (None, Some(name)) => return found(Key::from_env(name), false),
        (None, None) => {}
    }
    if let Some(key) = dev_hosts::serving(url).and_then(|file| dev_key(&file, url)) {
        return found(key, true);
    }
    if std::env::var_os(KEY_ENV).is_none() {
        return Ok(None);
    }
    found(Key::from_env(KEY_ENV), false)
}

/// The key of the first payer of a development server, if the file is of one that serves the URL.
pub(super) fn dev_key(file: &Path, url: &Url) -> Option<Result<Key, KeyError>> {
    #[derive(Deserialize)]
    struct DevFile {
        url: Url,
        payers: Vec<DevPayer>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct DevPayer {
        private_key: String,
    }
    let dev: DevFile = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
    (dev.url.origin() == url.origin())
        .then(|| dev.payers.first())
        .flatten()
        .map(|payer| Key::parse(&payer.private_key, &file.display().to_string()))
}
