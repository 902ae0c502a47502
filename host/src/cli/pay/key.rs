//! Finds the payer's private key.

use std::fs;
use std::path::Path;

use coinslot_evm::{Key, KeyError};
use serde::Deserialize;
use url::Url;

use super::args::PayArgs;
use crate::cli::Failure;

/// The environment variable with the payer's key, unless another is named.
const KEY_ENV: &str = "COINSLOT_PAYER_KEY";

/// The file that `coinslot dev` writes, unless it keeps its state in another directory.
pub(in crate::cli) const DEV_FILE: &str = ".coinslot/dev.json";

/// Finds the key for a payment to this URL: in the named place, else in the file of a `coinslot dev` that serves the
/// URL, else in the environment.
pub(super) fn key(args: &PayArgs, url: &Url) -> Result<Key, Failure> {
    if let Some(file) = &args.dev_json {
        let shown = file.display();
        if let Err(error) = fs::metadata(file) {
            return Err(Failure::new(format!("{shown} cannot be read: {error}: is `coinslot dev` running there?")));
        }
        let key =
            dev_key(file, url).ok_or_else(|| Failure::new(format!("{shown} is not of a host that serves {url}")))?;
        return key.map_err(|error| Failure::new(error.to_string()));
    }
    let named = match (&args.key_file, &args.key_env) {
        (Some(path), _) => Some(Key::from_file(path)),
        (None, Some(name)) => Some(Key::from_env(name)),
        (None, None) => dev_key(Path::new(DEV_FILE), url),
    };
    if let Some(key) = named {
        return key.map_err(|error| Failure::new(error.to_string()));
    }
    Key::from_env(KEY_ENV).map_err(|error| {
        Failure::new(format!("{error}; or name --key-file, or --dev-json of a running `coinslot dev`"))
    })
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
