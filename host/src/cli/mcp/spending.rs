//! Keeps what was paid to one server from one account, and the payments whose end is open, in one file.
//!
//! Several agents may run this command at once. So each change is made under a lock of the file, from what the file
//! has then, and is on the disk before a payment is sent.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use alloy::primitives::{Address, U256};
use coinslot_base::file;
use rmcp::model::JsonObject;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use url::Url;

use super::budget::{Budget, Dollars, Period};
use crate::cli::Failure;

/// The file of one server and one account.
#[derive(Debug)]
pub(super) struct SpendingFile {
    path: PathBuf,
    lock: PathBuf,
    server: String,
    payer: Address,
}

/// The content of the file.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spending {
    server: String,
    payer: String,
    /// The dollars of each day, as in `2026-11-30`.
    spent: BTreeMap<String, String>,
    open: Vec<OpenPayment>,
    /// The payments of calls that were not served. They count until nobody can take the money any more.
    unused: Vec<UnusedPayment>,
}

/// A payment that was signed, and whose end is not known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OpenPayment {
    pub(super) tool: String,
    pub(super) arguments: JsonObject,
    /// The whole payment, which is as good as the money until it is used.
    pub(super) payment: Value,
    pub(super) nonce: String,
    /// The price, as in `0.01 USDC on eip155:8453 to 0x..`.
    pub(super) price: String,
    pub(super) dollars: String,
    pub(super) day: String,
    /// The time until which the seller can take the money, in Unix seconds.
    pub(super) expires: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct UnusedPayment {
    dollars: String,
    expires: u64,
}

/// The state of a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spent {
    pub(super) spent: Dollars,
    pub(super) open: usize,
}

/// The reason why a payment is not begun.
#[derive(Debug)]
pub(super) enum NotBegun {
    /// It is more than is left.
    OverBudget { left: Dollars },
    /// The file cannot be written.
    File(Failure),
}

impl SpendingFile {
    pub(super) fn open(folder: &Path, url: &Url, payer: Address) -> Result<Self, Failure> {
        let digest = hex::encode(Sha256::digest(format!("{url} {payer}")));
        let path = folder.join(format!("{}.json", &digest[..16]));
        let lock = path.with_extension("lock");
        let file = Self { path, lock, server: url.to_string(), payer };
        file.change(|_| ()).map_err(|error| file.failed(&error))?;
        Ok(file)
    }

    /// The open payment of a call that is not being sent already.
    pub(super) fn open_of(
        &self,
        tool: &str,
        arguments: &JsonObject,
        is_sent: impl Fn(&str) -> bool,
    ) -> Result<Option<OpenPayment>, Failure> {
        let spending = self.read().map_err(|error| self.failed(&error))?;
        let is_it = |open: &OpenPayment| open.tool == tool && open.arguments == *arguments && !is_sent(&open.nonce);
        Ok(spending.open.into_iter().find(is_it))
    }

    /// The sum that counts for a budget.
    pub(super) fn spent(&self, period: Period, now: u64) -> Result<Spent, Failure> {
        let spending = self.read().map_err(|error| self.failed(&error))?;
        Ok(Spent { spent: spending.counted(period, now), open: spending.open.len() })
    }

    /// Notes a payment before it is sent, if the budget has room for it. `sign` makes it once there is room.
    pub(super) fn begin(
        &self,
        budget: Budget,
        dollars: Dollars,
        now: u64,
        sign: impl FnOnce() -> Result<OpenPayment, Failure>,
    ) -> Result<OpenPayment, NotBegun> {
        let begun = self.change(|spending| {
            let counted = spending.counted(budget.period, now);
            if counted.plus(dollars) > budget.most {
                return Err(NotBegun::OverBudget { left: budget.most.less(counted) });
            }
            let payment = sign().map_err(NotBegun::File)?;
            spending.open.push(payment.clone());
            Ok(payment)
        });
        begun.unwrap_or_else(|error| Err(NotBegun::File(self.failed(&error))))
    }

    /// Notes that a payment was taken, or counts as if it were.
    pub(super) fn paid(&self, payment: &OpenPayment) {
        self.end(payment, |spending| {
            let day = spending.spent.entry(payment.day.clone()).or_default();
            *day = dollars_of(day).plus(dollars_of(&payment.dollars)).0.to_string();
        });
    }

    /// Notes that nothing was charged, by the server's word. The money could still be taken for as long as the payment
    /// says, so it counts until then.
    pub(super) fn unused(&self, payment: &OpenPayment) {
        self.end(payment, |spending| {
            spending.unused.push(UnusedPayment { dollars: payment.dollars.clone(), expires: payment.expires });
        });
    }

    fn end(&self, payment: &OpenPayment, then: impl FnOnce(&mut Spending)) {
        let ended = self.change(|spending| {
            let open = spending.open.len();
            spending.open.retain(|open| open.nonce != payment.nonce);
            // Another process may have ended it meanwhile, and it counts once.
            if spending.open.len() < open {
                then(spending);
            }
        });
        if let Err(error) = ended {
            // It stays open, and counts as such.
            crate::logging::say(&self.failed(&error).message);
        }
    }

    fn read(&self) -> io::Result<Spending> {
        match fs::read(&self.path) {
            Ok(text) => serde_json::from_slice(&text).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Spending::default()),
            Err(error) => Err(error),
        }
    }

    /// Changes the file. Nobody else changes it meanwhile.
    fn change<T>(&self, change: impl FnOnce(&mut Spending) -> T) -> io::Result<T> {
        let lock = File::create(&self.lock)?;
        lock.lock()?;
        let mut spending = self.read()?;
        spending.server.clone_from(&self.server);
        spending.payer = self.payer.to_string();
        let changed = change(&mut spending);
        file::replace_durably(&self.path, 0o600, &serde_json::to_vec_pretty(&spending)?)?;
        Ok(changed)
    }

    fn failed(&self, error: &io::Error) -> Failure {
        Failure::new(format!("cannot keep payments in {}: {error} (see --state-dir)", self.path.display()))
    }
}

impl Spending {
    fn counted(&self, period: Period, now: u64) -> Dollars {
        let today = day_of(now);
        let of_days = self.spent.iter().filter(|(day, _)| period.contains(day, &today)).map(|(_, spent)| spent);
        let open = self.open.iter().map(|open| &open.dollars);
        let unused = self.unused.iter().filter(|unused| unused.expires > now).map(|unused| &unused.dollars);
        of_days.chain(open).chain(unused).fold(Dollars::default(), |sum, text| sum.plus(dollars_of(text)))
    }
}

/// The day of a time in Unix seconds, as in `2026-11-30`.
pub(super) fn day_of(seconds: u64) -> String {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
    humantime::format_rfc3339_seconds(time).to_string().chars().take(10).collect()
}

/// A sum of the file. One that cannot be read counts as all the money that there is.
fn dollars_of(text: &str) -> Dollars {
    if text.is_empty() {
        return Dollars::default();
    }
    Dollars(U256::from_str_radix(text, 10).unwrap_or(U256::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn payment(nonce: &str, dollars: u64, expires: u64) -> OpenPayment {
        OpenPayment {
            tool: "t".to_owned(),
            arguments: JsonObject::new(),
            payment: Value::Null,
            nonce: nonce.to_owned(),
            price: "1".to_owned(),
            dollars: dollars.to_string(),
            day: day_of(NOW),
            expires,
        }
    }

    fn file() -> (tempfile::TempDir, SpendingFile) {
        let folder = tempfile::tempdir().expect("a folder");
        let url = "https://api.example.com/mcp".parse().expect("a URL");
        let file = SpendingFile::open(folder.path(), &url, Address::ZERO).expect("a file");
        (folder, file)
    }

    fn budget(most: u64) -> Budget {
        Budget { most: Dollars(U256::from(most)), period: Period::Forever }
    }

    fn begin(file: &SpendingFile, most: u64, nonce: &str, dollars: u64) -> Result<OpenPayment, NotBegun> {
        let sum = Dollars(U256::from(dollars));
        file.begin(budget(most), sum, NOW, || Ok(payment(nonce, dollars, NOW + 60)))
    }

    fn counted(file: &SpendingFile, now: u64) -> u64 {
        file.spent(Period::Forever, now).expect("readable").spent.0.to()
    }

    #[test]
    fn what_is_signed_counts_until_it_is_settled_or_can_no_longer_be() {
        let (_folder, file) = file();
        let first = begin(&file, 10, "1", 6).expect("room");
        assert!(
            matches!(begin(&file, 10, "2", 5), Err(NotBegun::OverBudget { left }) if left == Dollars(U256::from(4)))
        );
        let second = begin(&file, 10, "2", 4).expect("just enough");
        file.paid(&first);
        file.paid(&first);
        file.unused(&second);
        assert_eq!(counted(&file, NOW), 10, "a payment counts once, and one that may still be taken counts");
        assert_eq!(counted(&file, NOW + 61), 6);
        assert!(matches!(begin(&file, 10, "3", 1), Err(NotBegun::OverBudget { .. })));
    }

    #[test]
    fn an_open_payment_is_found_by_its_call_also_by_another_process() {
        let (folder, file) = file();
        let open = begin(&file, 10, "1", 6).expect("room");
        let url = "https://api.example.com/mcp".parse().expect("a URL");
        let other = SpendingFile::open(folder.path(), &url, Address::ZERO).expect("the same file");
        let found = |tool: &str, is_sent: bool| {
            other.open_of(tool, &JsonObject::new(), |_| is_sent).expect("readable").map(|open| open.nonce)
        };
        assert_eq!(found("t", false), Some(open.nonce.clone()));
        assert_eq!((found("u", false), found("t", true)), (None, None));
        other.paid(&open);
        assert_eq!(file.open_of("t", &JsonObject::new(), |_| false).expect("readable"), None);
    }

    #[test]
    fn processes_at_once_do_not_pay_more_than_the_budget() {
        let (folder, _file) = file();
        let url: Url = "https://api.example.com/mcp".parse().expect("a URL");
        let begun: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|number| {
                    let file = SpendingFile::open(folder.path(), &url, Address::ZERO).expect("the same file");
                    scope
                        .spawn(move || (0..5).filter(|n| begin(&file, 10, &format!("{number}.{n}"), 1).is_ok()).count())
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("a count")).sum()
        });
        assert_eq!(begun, 10);
    }
}
