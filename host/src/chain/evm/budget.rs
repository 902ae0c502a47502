//! How much gas money a day may cost.
//!
//! What a transaction may cost at most is reserved before it is signed, and given back but for what it
//! did cost when it is in a block: what leaves never adds up to more than the budget. Kept in memory: a
//! restart begins a new day.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use alloy::primitives::U256;

#[derive(Debug)]
pub(super) struct Budget {
    limit: Option<U256>,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// Days since 1970.
    day: u64,
    spent: U256,
    reserved: U256,
}

/// The budget of the day does not allow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the gas budget of the day is used up: {spent} of {limit} wei")]
pub(super) struct Exhausted {
    pub(super) spent: U256,
    pub(super) limit: U256,
}

impl Budget {
    pub(super) fn new(limit: Option<U256>) -> Self {
        Self { limit, state: Mutex::default() }
    }

    /// Whether so much may still be spent.
    pub(super) fn allows(&self, wei: U256) -> Result<(), Exhausted> {
        check(self.limit, *self.today(), wei)
    }

    /// Takes it out of the budget. `instead` is what was reserved for the same transaction before.
    pub(super) fn reserve(&self, wei: U256, instead: U256) -> Result<(), Exhausted> {
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

    /// Puts back what was reserved, but for what it cost.
    pub(super) fn settle(&self, reserved: U256, cost: U256) {
        let mut state = self.today();
        state.reserved = state.reserved.saturating_sub(reserved);
        state.spent = state.spent.saturating_add(cost);
    }

    fn today(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let day = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() / 86_400);
        if state.day != day {
            state.day = day;
            state.spent = U256::ZERO;
        }
        state
    }
}

fn check(limit: Option<U256>, state: State, wei: U256) -> Result<(), Exhausted> {
    let Some(limit) = limit else { return Ok(()) };
    let spent = state.spent.saturating_add(state.reserved);
    if spent.saturating_add(wei) > limit { Err(Exhausted { spent, limit }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reserved_and_spent_never_exceeds_the_budget() {
        let wei = |n: u64| U256::from(n);
        let budget = Budget::new(Some(wei(100)));
        budget.reserve(wei(60), wei(0)).expect("within it");
        let exhausted = budget.reserve(wei(41), wei(0)).expect_err("beyond it");
        assert_eq!(exhausted, Exhausted { spent: wei(60), limit: wei(100) });
        budget.reserve(wei(80), wei(60)).expect("the same transaction, dearer");
        budget.settle(wei(80), wei(30));
        budget.reserve(wei(70), wei(0)).expect("what it did not cost is free again");
        assert!(budget.allows(wei(1)).is_err());
        assert!(Budget::new(None).allows(U256::MAX).is_ok());
    }
}
