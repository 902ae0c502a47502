//! Keeps signed payments on disk, from before they are sent until their outcome is known.

#![expect(clippy::disallowed_methods, reason = "saved payments lie where XDG_STATE_HOME says")]

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use coinslot_base::file;
use coinslot_x402::{UnixTime, header};
use serde::{Deserialize, Serialize};

use super::purchase::{PurchaseSummary, RequestSpec, SignedHeader};
use crate::cli::Failure;
use crate::logging;
use crate::wallet::SignedPayment;

/// One paid request, complete. The keys of its JSON stay as they are: earlier versions wrote files with them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct SavedPayment {
    #[serde(rename = "call")]
    pub(super) request: RequestSpec,
    pub(super) payment: SignedHeader,
    #[serde(rename = "bought")]
    pub(super) purchase: PurchaseSummary,
    /// The chain of the `coinslot dev` that was paid, which ends with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dev_chain: Option<String>,
    /// The time until which the seller can take the money, in Unix seconds.
    expires: u64,
    nonce: String,
}

impl SavedPayment {
    /// `dev_chain` is the chain of the `coinslot dev` that is paid, if it is one.
    pub(in crate::cli) fn new(
        request: RequestSpec,
        payment: &SignedPayment,
        purchase: PurchaseSummary,
        dev_chain: Option<String>,
    ) -> Self {
        Self {
            request,
            payment: SignedHeader { header: payment.header.to_owned(), value: payment.value.clone() },
            purchase,
            dev_chain,
            expires: payment.expires.0,
            nonce: payment.nonce.to_string(),
        }
    }

    /// True if the payment was made on the chain of a `coinslot dev` that has ended. `running` is the one that serves
    /// its URL now.
    pub(super) fn has_lost_its_chain(&self, running: Option<&str>) -> bool {
        self.dev_chain.as_deref().is_some_and(|chain| running != Some(chain))
    }

    /// True if nobody can take the money any more.
    pub(super) fn is_over(&self, now: UnixTime) -> bool {
        self.expires < now.0
    }

    /// Reads a file that [`PaymentStore::save`] wrote.
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

/// A directory for payments in the named one, or in the user's directory for state. Creates it for this user alone.
pub(in crate::cli) fn state_folder(named: Option<&Path>, name: &str) -> Result<PathBuf, Failure> {
    let base = match named {
        Some(path) => path.to_owned(),
        None => std::env::var_os("XDG_STATE_HOME")
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
            .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/state")))
            .ok_or_else(|| Failure::new("no HOME: say with --state-dir where to keep payments"))?
            .join("coinslot"),
    };
    let folder = base.join(name);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(|error| {
        Failure::new(format!(
            "cannot keep payments in {}: {error}; nothing was paid (see --state-dir)",
            folder.display()
        ))
    })?;
    Ok(folder)
}

/// The directory in which payments are kept.
#[derive(Debug)]
pub(in crate::cli) struct PaymentStore(PathBuf);

impl PaymentStore {
    /// Opens the directory in the named one, or in the user's directory for state, and creates it for this user alone.
    pub(in crate::cli) fn open(named: Option<&Path>) -> Result<Self, Failure> {
        state_folder(named, "payments").map(Self)
    }

    /// Fails if no payment could be kept: a folder that is there may refuse files.
    pub(in crate::cli) fn check(&self) -> Result<(), Failure> {
        let tried = file::draft(&self.0, 0o600).map(drop);
        tried.map_err(|error| {
            let folder = self.0.display();
            Failure::new(format!("cannot keep payments in {folder}: {error}; nothing was paid (see --state-dir)"))
        })
    }

    /// The file of a payment for the same request whose outcome was left open. A payment on the chain of a `coinslot
    /// dev` that has ended is removed: no host could take it or answer it any more.
    pub(super) fn kept_for(&self, request: &RequestSpec, dev_chain: Option<&str>) -> Option<PathBuf> {
        let files = fs::read_dir(&self.0).ok()?.filter_map(Result::ok).map(|entry| entry.path());
        files.into_iter().find(|path| {
            let kept = SavedPayment::load(path).ok().filter(|saved| saved.request == *request);
            let is_lost = kept.as_ref().is_some_and(|saved| saved.has_lost_its_chain(dev_chain));
            if is_lost {
                discard(path);
            }
            kept.is_some() && !is_lost
        })
    }

    /// Writes the payment durably, and over no other payment: without its file a payment whose outcome is unknown could
    /// not be sent again. Send it after this only.
    pub(in crate::cli) fn save(&self, saved: &SavedPayment) -> Result<PathBuf, Failure> {
        let nonce = saved.nonce.trim_start_matches("0x");
        let path = self.0.join(format!("{nonce:.16}.json"));
        let write = || file::create_durably(&path, 0o600, &serde_json::to_vec_pretty(saved)?);
        match write() {
            Ok(()) => Ok(path),
            Err(error) => {
                Err(Failure::new(format!("cannot keep the payment in {}: {error}; nothing was paid", path.display())))
            }
        }
    }
}

/// Deletes the file of a payment whose outcome is known.
pub(in crate::cli) fn discard(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        logging::say(&format!("cannot remove {}: {error}", path.display()));
    }
}
