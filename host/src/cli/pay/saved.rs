//! Signed payments on disk, from before they are sent until their outcome is known; and the keys of
//! a development server in the current directory.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use url::Url;

use super::http::Call;
use super::show::Bought;
use crate::cli::Failure;
use crate::wallet::SignedPayment;
use coinslot_evm::{Key, KeyError};
use coinslot_x402::header;

/// Written by `coinslot dev` unless it keeps its state elsewhere.
pub(in crate::cli) const DEV_FILE: &str = ".coinslot/dev.json";

/// The header of a signed payment.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Payment {
    pub(super) header: String,
    pub(super) value: String,
}

impl std::fmt::Debug for Payment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Payment(..)")
    }
}

/// One paid request, complete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Saved {
    pub(super) call: Call,
    pub(super) payment: Payment,
    pub(super) bought: Bought,
    /// Until when the seller can take the money, in Unix seconds.
    expires: u64,
    nonce: String,
}

impl Saved {
    pub(super) fn new(call: Call, payment: &SignedPayment, bought: Bought) -> Self {
        Self {
            call,
            payment: Payment { header: payment.header.to_owned(), value: payment.value.clone() },
            bought,
            expires: payment.expires.0,
            nonce: payment.nonce.to_string(),
        }
    }

    pub(super) fn load(path: &Path) -> Result<Self, Failure> {
        let shown = path.display();
        let text = fs::read(path).map_err(|error| Failure::usage(format!("cannot read {shown}: {error}")))?;
        let saved: Self = serde_json::from_slice(&text)
            .map_err(|_| Failure::usage(format!("{shown} does not hold a saved payment")))?;
        if ![header::PAYMENT_SIGNATURE, header::X_PAYMENT].contains(&saved.payment.header.as_str()) {
            return Err(Failure::usage(format!("{shown} does not hold a saved payment")));
        }
        Ok(saved)
    }
}

/// Where payments are kept.
#[derive(Debug)]
pub(super) struct State(PathBuf);

impl State {
    /// Creates the directory, for this user alone.
    pub(super) fn open(named: Option<&Path>) -> Result<Self, Failure> {
        let base = match named {
            Some(path) => path.to_owned(),
            None => std::env::var_os("XDG_STATE_HOME")
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
                .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/state")))
                .ok_or_else(|| Failure::new("no HOME: say with --state-dir where to keep payments"))?
                .join("coinslot"),
        };
        let folder = base.join("payments");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(|error| {
            Failure::new(format!(
                "cannot keep payments in {}: {error}; nothing was paid (see --state-dir)",
                folder.display()
            ))
        })?;
        Ok(Self(folder))
    }

    /// Writes the payment durably; it is not sent before.
    pub(super) fn save(&self, saved: &Saved) -> Result<PathBuf, Failure> {
        let nonce = saved.nonce.trim_start_matches("0x");
        let path = self.0.join(format!("{nonce:.16}.json"));
        let write = || {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
            file.write_all(&serde_json::to_vec_pretty(saved)?)?;
            file.sync_all()
        };
        match write() {
            Ok(()) => Ok(path),
            Err(error) => {
                Err(Failure::new(format!("cannot keep the payment in {}: {error}; nothing was paid", path.display())))
            }
        }
    }
}

/// Removes a payment whose outcome is known.
pub(super) fn discard(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        eprintln!("cannot remove {}: {error}", path.display());
    }
}

/// The first payer's key of the development server that serves the URL, if this file is of one.
pub(super) fn dev_key(file: &Path, url: &Url) -> Option<Result<Key, KeyError>> {
    #[derive(Deserialize)]
    struct Dev {
        url: Url,
        payers: Vec<Payer>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Payer {
        private_key: String,
    }
    let dev: Dev = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
    (dev.url.origin() == url.origin())
        .then(|| dev.payers.first())
        .flatten()
        .map(|payer| Key::parse(&payer.private_key, &file.display().to_string()))
}
