//! Keeps what was paid to one server from one account, and the payments whose end is open, in one file.
//!
//! Several agents may run this command at once. So each change is made under a lock of the file, from what the file
//! has then, and is on the disk before a payment is sent. While a payment is sent, its sender holds a lock of this payment,
//! which ends with the process: nobody else sends it meanwhile, or closes it.

mod content;
#[cfg(test)]
mod tests;

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use alloy::primitives::Address;
use coinslot_base::file;
use rmcp::model::JsonObject;
use sha2::{Digest as _, Sha256};
use url::Url;

use super::budget::{Budget, Dollars, Period};
use super::proof::Proven;
use crate::cli::Failure;
use content::Spending;
pub(super) use content::{CountedAuthorization, OpenPayment};

/// The file of one server and one account.
#[derive(Debug)]
pub(super) struct SpendingFile {
    path: PathBuf,
    server: String,
    payer: Address,
}

/// A payment that this process alone may send, until this is dropped.
#[derive(Debug)]
pub(super) struct SendingPayment {
    pub(super) payment: OpenPayment,
    /// True if it was sent before, or may have been.
    pub(super) was_sent: bool,
    _lock: File,
}

/// The end of a payment that is not sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PaymentEnd {
    /// It was taken, or counts as if it were.
    Charged,
    /// The server says that it has taken nothing.
    NotCharged,
}

/// The state of a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spent {
    pub(super) spent: Dollars,
    /// The part of it for which there is no receipt, and that a server may have taken all the same.
    pub(super) unproven: Dollars,
    pub(super) open: usize,
}

/// The reason why a payment is not begun.
#[derive(Debug)]
pub(super) enum NotBegun {
    /// It is more than is left.
    OverBudget { left: Dollars },
    /// So many payments are open that there is no place for another one.
    TooManyOpen,
    /// The file cannot be written.
    File(Failure),
}

impl SpendingFile {
    pub(super) fn open(folder: &Path, url: &Url, payer: Address) -> Result<Self, Failure> {
        let digest = hex::encode(Sha256::digest(format!("{url} {payer}")));
        let path = folder.join(format!("{}.json", &digest[..16]));
        let file = Self { path, server: url.to_string(), payer };
        file.change(|_| ()).map_err(|error| file.failed(&error))?;
        Ok(file)
    }

    /// The open payment of a call, to be sent again. None: there is none that nobody is sending.
    pub(super) fn resume(
        &self,
        tool: &str,
        arguments: &JsonObject,
        now: u64,
    ) -> Result<Option<SendingPayment>, Failure> {
        let is_it = |open: &OpenPayment| open.tool == tool && open.arguments == *arguments;
        let found = || -> io::Result<Option<SendingPayment>> {
            if !self.read()?.open.iter().any(is_it) {
                return Ok(None);
            }
            self.change(|spending| {
                self.prune(spending, now)?;
                for payment in spending.open.iter().filter(|open| is_it(open)) {
                    if let Some(lock) = self.try_lock(&payment.counted.nonce)? {
                        return Ok(Some(SendingPayment { payment: payment.clone(), was_sent: true, _lock: lock }));
                    }
                }
                Ok(None)
            })?
        };
        found().map_err(|error| self.failed(&error))
    }

    /// True if the payment of a call is open, and nobody can take it any more.
    pub(super) fn has_expired(&self, tool: &str, arguments: &JsonObject, now: u64) -> bool {
        let is_it = |open: &OpenPayment| open.tool == tool && open.arguments == *arguments;
        let spending = self.read().unwrap_or_default();
        spending.open.iter().any(|open| is_it(open) && open.counted.expires < now)
    }

    /// The sum that counts for a budget.
    pub(super) fn spent(&self, period: Period, now: u64) -> Result<Spent, Failure> {
        let spending = self.read().map_err(|error| self.failed(&error))?;
        let today = day_of(now);
        Ok(Spent {
            spent: spending.spent(period, &today),
            unproven: spending.unproven_of(period, &today),
            open: spending.open.len(),
        })
    }

    /// Counts a payment before it is sent, if the budget has room for it. `sign` makes it once there is room.
    pub(super) fn begin(
        &self,
        budget: Budget,
        dollars: Dollars,
        now: u64,
        sign: impl FnOnce() -> Result<OpenPayment, Failure>,
    ) -> Result<SendingPayment, NotBegun> {
        let failed = |error: io::Error| NotBegun::File(self.failed(&error));
        let begun = self.change(|spending| {
            self.prune(spending, now).map_err(failed)?;
            let spent = spending.spent(budget.period, &day_of(now));
            if spent.plus(dollars) > budget.most {
                return Err(NotBegun::OverBudget { left: budget.most.less(spent) });
            }
            let payment = sign().map_err(NotBegun::File)?;
            self.make_room(spending, &payment, now)?;
            let lock = self.try_lock(&payment.counted.nonce).map_err(failed)?;
            let lock = lock.ok_or_else(|| failed(io::Error::other("another process has this payment")))?;
            spending.begin(payment.clone());
            Ok(SendingPayment { payment, was_sent: false, _lock: lock })
        });
        begun.unwrap_or_else(|error| Err(failed(error)))
    }

    /// Notes the end of a payment. It stays spent.
    pub(super) fn end(&self, sent: &SendingPayment, end: PaymentEnd) {
        let nonce = &sent.payment.counted.nonce;
        let ended = self.change(|spending| {
            let closed = spending.close(nonce);
            if let (Some(closed), PaymentEnd::NotCharged) = (closed, end) {
                spending.keep_unproven(closed);
            }
            // Only its sender, which holds the lock, removes it.
            let _ = fs::remove_file(self.lock_of(nonce));
        });
        if let Err(error) = ended {
            // It is sent again by the same call.
            crate::logging::say(&self.failed(&error).message);
        }
    }

    /// The payments without a receipt that nobody can take any more: a node knows whether they were taken.
    pub(super) fn provable(&self, now: u64) -> Vec<CountedAuthorization> {
        self.read().map(|spending| spending.provable(now)).unwrap_or_default()
    }

    /// Notes what a node has shown: gives back the payments that can never be used.
    pub(super) fn note(&self, proven: &Proven) {
        let noted = self.change(|spending| {
            for nonce in &proven.unused {
                // One that is being sent is judged by its answer.
                if let Ok(Some(_lock)) = self.try_lock(nonce) {
                    spending.give_back(nonce);
                    let _ = fs::remove_file(self.lock_of(nonce));
                }
            }
            spending.stay_spent(&proven.used);
        });
        if let Err(error) = noted {
            crate::logging::say(&self.failed(&error).message);
        }
    }

    /// Forgets the payments that are not sent again. They stay spent.
    fn prune(&self, spending: &mut Spending, now: u64) -> io::Result<()> {
        let stale = spending.open.iter().filter(|open| open.sent_again_until() < now);
        let stale: Vec<String> = stale.map(|open| open.counted.nonce.clone()).collect();
        stale.iter().try_for_each(|nonce| self.forget(spending, nonce).map(drop))
    }

    /// Makes room for a payment: the oldest that nobody can take any more is not sent again.
    fn make_room(&self, spending: &mut Spending, next: &OpenPayment, now: u64) -> Result<(), NotBegun> {
        let expired = spending.open.iter().filter(|open| open.counted.expires < now);
        let mut expired = expired.map(|open| open.counted.nonce.clone()).collect::<Vec<_>>().into_iter();
        while spending.is_full(next) {
            let oldest = expired.next().ok_or(NotBegun::TooManyOpen)?;
            self.forget(spending, &oldest).map_err(|error| NotBegun::File(self.failed(&error)))?;
        }
        Ok(())
    }

    /// Forgets an open payment, unless it is being sent.
    fn forget(&self, spending: &mut Spending, nonce: &str) -> io::Result<()> {
        if let Some(_lock) = self.try_lock(nonce)? {
            spending.close(nonce).into_iter().for_each(|closed| spending.keep_unproven(closed));
            let _ = fs::remove_file(self.lock_of(nonce));
        }
        Ok(())
    }

    fn read(&self) -> io::Result<Spending> {
        match fs::read(&self.path) {
            Ok(text) => serde_json::from_slice(&text).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Spending::default()),
            Err(error) => Err(error),
        }
    }

    /// Changes the file. Nobody else changes it meanwhile, and no lock of a payment is made or removed.
    fn change<T>(&self, change: impl FnOnce(&mut Spending) -> T) -> io::Result<T> {
        let lock = File::create(self.path.with_extension("lock"))?;
        lock.lock()?;
        let mut spending = self.read()?;
        spending.server.clone_from(&self.server);
        spending.payer = self.payer.to_string();
        let changed = change(&mut spending);
        file::replace_durably(&self.path, 0o600, &serde_json::to_vec_pretty(&spending)?)?;
        Ok(changed)
    }

    /// The lock of a payment. None: somebody is sending it. To be called within [`Self::change`].
    fn try_lock(&self, nonce: &str) -> io::Result<Option<File>> {
        let lock = File::create(self.lock_of(nonce))?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(lock)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn lock_of(&self, nonce: &str) -> PathBuf {
        let digest = hex::encode(Sha256::digest(nonce));
        self.path.with_extension(format!("{}.lock", &digest[..16]))
    }

    fn failed(&self, error: &io::Error) -> Failure {
        Failure::new(format!("cannot keep payments in {}: {error} (see --state-dir)", self.path.display()))
    }
}

/// A time in Unix seconds, as in `2026-11-30T23:59:00Z`.
pub(super) fn time_of(seconds: u64) -> String {
    // Beyond the year 9999 there is no such form.
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds.min(253_402_300_799));
    humantime::format_rfc3339_seconds(time).to_string()
}

/// The day of a time in Unix seconds, as in `2026-11-30`.
pub(super) fn day_of(seconds: u64) -> String {
    time_of(seconds).chars().take(10).collect()
}
