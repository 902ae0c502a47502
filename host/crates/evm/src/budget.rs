//! Keeps the day's spending on gas within a budget, and the sums of the days before.
//!
//! The most that a transaction can cost is reserved before it is signed; when it is in a block, the reservation is
//! replaced by its cost. So spending and reservations together never exceed the budget. A journal keeps the sum over a
//! restart: what was reserved when the process ended counts as spent. The sums change in memory, and
//! [`GasBudget::flush`] writes them on a thread for blocking work: no task of the runtime waits for a disk.

#![expect(clippy::disallowed_methods, reason = "a budget is for a day of the calendar")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use alloy::primitives::U256;
use parking_lot::{Mutex, MutexGuard};
use serde::{Deserialize, Serialize};

/// The most days whose sums are kept.
const DAYS: usize = 400;

#[derive(Debug)]
pub(super) struct GasBudget {
    limit: Option<U256>,
    state: Mutex<GasSums>,
    journal: Option<Journal>,
}

/// The file of the sums, and the entry that it holds as far as this process knows.
#[derive(Debug)]
struct Journal {
    path: Arc<Path>,
    /// Held while the file is written, so that the entries are written in their order.
    written: tokio::sync::Mutex<Option<(u64, U256)>>,
}

/// The content of the journal, as JSON.
#[derive(Debug, Serialize, Deserialize)]
struct JournalEntry {
    /// Days since 1970.
    day: u64,
    /// Wei, in decimal.
    spent: String,
    /// The sums of the days before, by the day. An older journal has none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    earlier: BTreeMap<u64, String>,
}

/// The spending of today, and the sums of the days before on which something was spent.
#[derive(Clone, Debug, Default)]
struct GasSums {
    today: DaySpending,
    earlier: BTreeMap<u64, U256>,
    /// The cost since this process began, which is in no journal.
    charged: U256,
}

#[derive(Clone, Copy, Debug, Default)]
struct DaySpending {
    /// Days since 1970.
    day: u64,
    spent: U256,
    reserved: U256,
}

/// The refusal of a cost that the day's budget does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the gas budget of the day is used up: {spent} of {limit} wei")]
pub(super) struct BudgetExhausted {
    pub(super) spent: U256,
    pub(super) limit: U256,
}

impl GasBudget {
    /// A budget that continues the journal's sums.
    ///
    /// A journal that cannot be read or written is logged, and the count goes on in memory: gas is the operator's own
    /// money, and no payment should wait for a file.
    pub(super) async fn open(limit: Option<U256>, journal: Option<PathBuf>) -> Self {
        let Some(path) = journal.map(Arc::<Path>::from) else {
            return Self { limit, state: Mutex::default(), journal: None };
        };
        let state = blocking({
            let path = path.clone();
            move || read(&path)
        });
        let state = state.await.unwrap_or_else(|error| {
            tracing::warn!(journal = %path.display(), %error, "what gas cost today cannot be read: counted from now on");
            GasSums::default()
        });
        let journal = Journal { path, written: tokio::sync::Mutex::new(None) };
        Self { limit, state: Mutex::new(state), journal: Some(journal) }
    }

    /// Fails if this cost, on top of what is spent and reserved today, exceeds the budget. It reserves nothing.
    pub(super) fn allows(&self, wei: U256) -> Result<(), BudgetExhausted> {
        check(self.limit, self.today().today, wei)
    }

    /// Reserves a cost. `instead` is the reservation that the same transaction has and gives up. On an error nothing
    /// changes.
    pub(super) fn reserve(&self, wei: U256, instead: U256) -> Result<(), BudgetExhausted> {
        let today = &mut self.today().today;
        let before = *today;
        today.reserved = today.reserved.saturating_sub(instead);
        if let Err(exhausted) = check(self.limit, *today, wei) {
            *today = before;
            return Err(exhausted);
        }
        today.reserved = today.reserved.saturating_add(wei);
        Ok(())
    }

    /// Replaces a reservation by the cost, which is zero for a transaction that was not sent.
    pub(super) fn settle(&self, reserved: U256, cost: U256) {
        let sums = &mut *self.today();
        sums.charged = sums.charged.saturating_add(cost);
        let today = &mut sums.today;
        today.reserved = today.reserved.saturating_sub(reserved);
        today.spent = today.spent.saturating_add(cost);
    }

    /// The cost of all transactions since this process began, in wei, as receipts told it.
    pub(super) fn charged(&self) -> U256 {
        self.state.lock().charged
    }

    /// The spending of each day, in wei, by the days since 1970. Transactions that are not in a block yet are not in
    /// it.
    pub(super) fn by_day(&self) -> BTreeMap<u64, U256> {
        let sums = self.today();
        let mut days = sums.earlier.clone();
        let DaySpending { day, spent, .. } = sums.today;
        if !spent.is_zero() {
            let before = days.entry(day).or_default();
            *before = before.saturating_add(spent);
        }
        days
    }

    /// Writes the sums with a reservation, so that it is in the journal before its transaction is sent, if this is awaited
    /// in between. Without a limit nothing depends on that, and no transaction waits for a disk.
    pub(super) async fn flush_reservation(&self) {
        if self.limit.is_some() {
            self.flush().await;
        }
    }

    /// Writes the sums as they are now. Tasks that come while the file is written wait for the next write, which serves them all.
    pub(super) async fn flush(&self) {
        let Some(journal) = &self.journal else { return };
        let mut written = journal.written.lock().await;
        let sums = self.today().clone();
        let entry = (sums.today.day, sums.today.total());
        if *written == Some(entry) {
            return;
        }
        let path = journal.path.clone();
        match blocking(move || write(&path, &sums)).await {
            Ok(()) => *written = Some(entry),
            Err(error) => {
                tracing::warn!(journal = %journal.path.display(), %error, "what gas cost today cannot be written");
            }
        }
    }

    /// Locks the sums, and begins a new day if it is due.
    fn today(&self) -> MutexGuard<'_, GasSums> {
        let mut sums = self.state.lock();
        let day = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() / 86_400);
        sums.begin(day);
        sums
    }
}

impl GasSums {
    /// Begins this day, if it is later than the day of the sums. A clock that goes back does not make gas free: what
    /// was spent stays spent.
    fn begin(&mut self, day: u64) {
        let today = &mut self.today;
        if day > today.day {
            if !today.spent.is_zero() {
                let before = self.earlier.entry(today.day).or_default();
                *before = before.saturating_add(today.spent);
                while self.earlier.len() > DAYS {
                    self.earlier.pop_first();
                }
            }
            // Reservations stay: their transactions may still cost gas, which then counts for the new day.
            today.day = day;
            today.spent = U256::ZERO;
        } else if day + 1 < today.day {
            // The clock was wrong by more than the edge of a day: the sums belong to today, and end with it.
            today.day = day;
        }
    }
}

impl DaySpending {
    fn total(&self) -> U256 {
        self.spent.saturating_add(self.reserved)
    }
}

/// Runs file work on a thread that may block.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

fn read(path: &Path) -> io::Result<GasSums> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(GasSums::default()),
        Err(error) => return Err(error),
    };
    let entry: JournalEntry = serde_json::from_str(&text)?;
    let wei = |text: &str| U256::from_str_radix(text, 10).map_err(io::Error::other);
    let earlier = entry.earlier.iter().map(|(day, spent)| Ok((*day, wei(spent)?))).collect::<io::Result<_>>()?;
    let today = DaySpending { day: entry.day, spent: wei(&entry.spent)?, reserved: U256::ZERO };
    Ok(GasSums { today, earlier, charged: U256::ZERO })
}

/// Replaces the journal in one step, so that a crash leaves the old entry or the new one.
fn write(path: &Path, sums: &GasSums) -> io::Result<()> {
    let GasSums { today, earlier, charged: _ } = sums;
    let earlier = earlier.iter().map(|(day, spent)| (*day, spent.to_string())).collect();
    let entry = JournalEntry { day: today.day, spent: today.total().to_string(), earlier };
    coinslot_base::file::replace(path, 0o666, &serde_json::to_vec(&entry)?)
}

fn check(limit: Option<U256>, state: DaySpending, wei: U256) -> Result<(), BudgetExhausted> {
    let Some(limit) = limit else { return Ok(()) };
    let spent = state.total();
    if spent.saturating_add(wei) > limit { Err(BudgetExhausted { spent, limit }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_reserved_and_spent_never_exceeds_the_budget() {
        let wei = |n: u64| U256::from(n);
        let budget = GasBudget::open(Some(wei(100)), None).await;
        budget.reserve(wei(60), wei(0)).expect("within it");
        let exhausted = budget.reserve(wei(41), wei(0)).expect_err("beyond it");
        assert_eq!(exhausted, BudgetExhausted { spent: wei(60), limit: wei(100) });
        budget.reserve(wei(80), wei(60)).expect("the same transaction, dearer");
        assert_eq!(budget.charged(), wei(0), "nothing is in a block yet");
        budget.settle(wei(80), wei(30));
        assert_eq!(budget.charged(), wei(30), "what the chain charged, not what was reserved");
        budget.reserve(wei(70), wei(0)).expect("what it did not cost is free again");
        assert!(budget.allows(wei(1)).is_err());
        assert!(GasBudget::open(None, None).await.allows(U256::MAX).is_ok());
    }

    #[test]
    fn a_clock_that_goes_back_does_not_reset_the_sum() {
        let today = DaySpending { day: 100, spent: U256::from(7), reserved: U256::from(2) };
        let mut sums = GasSums { today, ..GasSums::default() };
        sums.begin(99);
        assert_eq!((sums.today.day, sums.today.spent), (100, U256::from(7)));
        sums.begin(50);
        assert_eq!((sums.today.day, sums.today.spent), (50, U256::from(7)), "a clock that was far ahead");
        sums.today.day = 100;
        sums.begin(101);
        let DaySpending { day, spent, reserved } = sums.today;
        assert_eq!((day, spent, reserved), (101, U256::ZERO, U256::from(2)));
        assert_eq!(sums.earlier, BTreeMap::from([(100, U256::from(7))]));
        // A day that a wrong clock brings back has the sums of both.
        (sums.today.day, sums.today.spent) = (100, U256::from(3));
        sums.begin(101);
        assert_eq!(sums.earlier, BTreeMap::from([(100, U256::from(10))]));
    }

    #[tokio::test]
    async fn a_restart_does_not_begin_a_new_day() {
        let folder = tempfile::tempdir().expect("a folder");
        let journal = || Some(folder.path().join("gas.json"));
        let limit = Some(U256::from(100));
        let budget = GasBudget::open(limit, journal()).await;
        budget.reserve(U256::from(60), U256::ZERO).expect("within it");
        budget.settle(U256::from(60), U256::from(40));
        budget.reserve(U256::from(50), U256::ZERO).expect("within it");
        budget.flush().await;
        // The process ends here, with a reservation that is never settled.
        let again = GasBudget::open(limit, journal()).await;
        assert_eq!(again.allows(U256::from(11)).expect_err("beyond it").spent, U256::from(90));
        again.allows(U256::from(10)).expect("within it");
        // Yesterday's spending is no longer counted, and neither is a journal that cannot be parsed.
        let today = DaySpending { day: 1, spent: U256::from(100), reserved: U256::ZERO };
        let sums = GasSums { today, earlier: BTreeMap::from([(0, U256::from(5))]), ..GasSums::default() };
        write(&folder.path().join("gas.json"), &sums).expect("it can be written");
        let next_day = GasBudget::open(limit, journal()).await;
        next_day.allows(U256::from(100)).expect("a new day");
        assert_eq!(next_day.by_day(), BTreeMap::from([(0, U256::from(5)), (1, U256::from(100))]));
        fs::write(folder.path().join("gas.json"), "{\"day\":").expect("it can be written");
        GasBudget::open(limit, journal()).await.allows(U256::from(100)).expect("counted from now on");
    }
}
