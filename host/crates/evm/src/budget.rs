//! Keeps the day's spending on gas within a budget.
//!
//! The most that a transaction can cost is reserved before it is signed; when it is in a block, the reservation is
//! replaced by its cost. So spending and reservations together never exceed the budget. A journal keeps the sum over a
//! restart: what was reserved when the process ended counts as spent. The sums change in memory, and
//! [`GasBudget::flush`] writes them on a thread for blocking work: no task of the runtime waits for a disk.

#![expect(clippy::disallowed_methods, reason = "a budget is for a day of the calendar")]

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use alloy::primitives::U256;
use parking_lot::{Mutex, MutexGuard};
use serde::{Deserialize, Serialize};

#[derive(Debug)]
pub(super) struct GasBudget {
    limit: Option<U256>,
    state: Mutex<DaySpending>,
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
    /// A budget that continues the journal's sum of today. Without a limit there is no journal.
    ///
    /// A journal that cannot be read or written is logged, and the count goes on in memory: gas is the operator's own
    /// money, and no payment should wait for a file.
    pub(super) async fn open(limit: Option<U256>, journal: Option<PathBuf>) -> Self {
        let Some(path) = journal.filter(|_| limit.is_some()).map(Arc::<Path>::from) else {
            return Self { limit, state: Mutex::default(), journal: None };
        };
        let state = blocking({
            let path = path.clone();
            move || read(&path)
        });
        let state = state.await.unwrap_or_else(|error| {
            tracing::warn!(journal = %path.display(), %error, "what gas cost today cannot be read: counted from now on");
            DaySpending::default()
        });
        let journal = Journal { path, written: tokio::sync::Mutex::new(None) };
        Self { limit, state: Mutex::new(state), journal: Some(journal) }
    }

    /// Fails if this cost, on top of what is spent and reserved today, exceeds the budget. It reserves nothing.
    pub(super) fn allows(&self, wei: U256) -> Result<(), BudgetExhausted> {
        check(self.limit, *self.today(), wei)
    }

    /// Reserves a cost. `instead` is the reservation that the same transaction has and gives up. On an error nothing
    /// changes.
    pub(super) fn reserve(&self, wei: U256, instead: U256) -> Result<(), BudgetExhausted> {
        let mut state = self.today();
        let before = *state;
        state.reserved = state.reserved.saturating_sub(instead);
        if let Err(exhausted) = check(self.limit, *state, wei) {
            *state = before;
            return Err(exhausted);
        }
        state.reserved = state.reserved.saturating_add(wei);
        Ok(())
    }

    /// Replaces a reservation by the cost, which is zero for a transaction that was not sent.
    pub(super) fn settle(&self, reserved: U256, cost: U256) {
        let mut state = self.today();
        state.reserved = state.reserved.saturating_sub(reserved);
        state.spent = state.spent.saturating_add(cost);
    }

    /// Writes the sums as they are now. A reservation is in the journal before its transaction is sent, if this is
    /// awaited in between. Tasks that come while the file is written wait for the next write, which serves them all.
    pub(super) async fn flush(&self) {
        let Some(journal) = &self.journal else { return };
        let mut written = journal.written.lock().await;
        let state = *self.today();
        let entry = (state.day, state.total());
        if *written == Some(entry) {
            return;
        }
        let path = journal.path.clone();
        match blocking(move || write(&path, state)).await {
            Ok(()) => *written = Some(entry),
            Err(error) => {
                tracing::warn!(journal = %journal.path.display(), %error, "what gas cost today cannot be written");
            }
        }
    }

    /// Locks the sums, and begins a new day if it is due.
    fn today(&self) -> MutexGuard<'_, DaySpending> {
        let mut state = self.state.lock();
        let day = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() / 86_400);
        state.begin(day);
        state
    }
}

impl DaySpending {
    /// Begins this day, if it is later than the day of the sums. A clock that goes back does not make gas free: what
    /// was spent stays spent.
    fn begin(&mut self, day: u64) {
        if day > self.day {
            // Reservations stay: their transactions may still cost gas, which then counts for the new day.
            self.day = day;
            self.spent = U256::ZERO;
        } else if day + 1 < self.day {
            // The clock was wrong by more than the edge of a day: the sums belong to today, and end with it.
            self.day = day;
        }
    }

    fn total(&self) -> U256 {
        self.spent.saturating_add(self.reserved)
    }
}

/// Runs file work on a thread that may block.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

fn read(path: &Path) -> io::Result<DaySpending> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(DaySpending::default()),
        Err(error) => return Err(error),
    };
    let entry: JournalEntry = serde_json::from_str(&text)?;
    let spent = U256::from_str_radix(&entry.spent, 10).map_err(io::Error::other)?;
    Ok(DaySpending { day: entry.day, spent, reserved: U256::ZERO })
}

/// Replaces the journal in one step, so that a crash leaves the old entry or the new one.
fn write(path: &Path, state: DaySpending) -> io::Result<()> {
    let entry = JournalEntry { day: state.day, spent: state.total().to_string() };
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
        budget.settle(wei(80), wei(30));
        budget.reserve(wei(70), wei(0)).expect("what it did not cost is free again");
        assert!(budget.allows(wei(1)).is_err());
        assert!(GasBudget::open(None, None).await.allows(U256::MAX).is_ok());
    }

    #[test]
    fn a_clock_that_goes_back_does_not_reset_the_sum() {
        let mut state = DaySpending { day: 100, spent: U256::from(7), reserved: U256::from(2) };
        state.begin(99);
        assert_eq!((state.day, state.spent), (100, U256::from(7)));
        state.begin(50);
        assert_eq!((state.day, state.spent), (50, U256::from(7)), "a clock that was far ahead");
        state.day = 100;
        state.begin(101);
        assert_eq!((state.day, state.spent, state.reserved), (101, U256::ZERO, U256::from(2)));
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
        write(&folder.path().join("gas.json"), DaySpending { day: 1, spent: U256::from(100), reserved: U256::ZERO })
            .expect("it can be written");
        GasBudget::open(limit, journal()).await.allows(U256::from(100)).expect("a new day");
        fs::write(folder.path().join("gas.json"), "{\"day\":").expect("it can be written");
        GasBudget::open(limit, journal()).await.allows(U256::from(100)).expect("counted from now on");
    }
}
