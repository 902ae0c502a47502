//! Remembers the payments that this process settles: one record per spend, behind one lock, so
//! that calls for the same spend queue up and find what the first one did.
//!
//! The records are in memory only: after a restart the chain itself is asked (`evidence`). A record lives as long as
//! its authorisation could be used, and a while longer; one of a settled payment ends soon where the caller remembers.

use std::collections::HashMap;
use std::sync::Arc;

use alloy::primitives::{Address, B256};
use coinslot_evm::TxHandle;
use coinslot_x402::UnixTime;
use coinslot_x402::exact::ExactPayload;
use parking_lot::Mutex;

use super::config::SettledMemory;
use crate::facilitator::PayerKind;

/// The time by which a record outlives its authorisation, in seconds: clocks differ, and a transaction may be late.
const KEPT_AFTER_EXPIRY: u64 = 600;

/// The time for which a settled record is kept for a caller that remembers, in seconds.
const SETTLED_KEPT: u64 = 60;

/// The interval at which records that are over are removed, in seconds.
const SWEEP_INTERVAL: u64 = 30;

/// Records, at most. Beyond it the settled ones go first that end first.
const MAX_RECORDS: usize = 131_072;

/// Spends whose verification is remembered, at most. What is beyond it is not remembered.
const MAX_VERIFIED: usize = 65_536;

/// The identity of one spend on this chain: token, payer and nonce.
pub(super) type SpendId = (Address, Address, B256);

/// The record of one spend. Empty until its transfer is submitted.
pub(super) type RecordSlot = Arc<tokio::sync::Mutex<Option<SpendRecord>>>;

#[derive(Clone, Debug)]
pub(super) struct SpendRecord {
    /// The record counts for exactly this payload; another one for the same spend is judged from the start.
    pub(super) payload: ExactPayload,
    pub(super) stage: SpendStage,
    /// The success was reported to a caller of `settle_once`.
    pub(super) reported: bool,
}

#[derive(Clone, Debug)]
pub(super) enum SpendStage {
    /// The sequencer has the call, which pays for this kind of account.
    Submitted(TxHandle, PayerKind),
    /// A transaction may have been sent, perhaps this one, and nothing follows it any more.
    Doubtful(Option<B256>),
    /// The transaction is in a block, and its logs prove the payment.
    Settled { hash: B256, block: u64 },
}

#[derive(Debug)]
pub(super) struct Records {
    memory: SettledMemory,
    inner: Mutex<RecordMaps>,
}

#[derive(Debug, Default)]
struct RecordMaps {
    slots: HashMap<SpendId, Slot>,
    verified: HashMap<SpendId, UnixTime>,
    /// The time of the next removal of records that are over.
    sweep_at: Option<UnixTime>,
    /// There are too many records, of which none can go before the next removal.
    is_crowded: bool,
}

#[derive(Debug)]
struct Slot {
    record: RecordSlot,
    ends: UnixTime,
    is_settled: bool,
}

impl Records {
    pub(super) fn new(memory: SettledMemory) -> Self {
        Self { memory, inner: Mutex::default() }
    }

    /// The slot of a spend. It stays the same as long as a call holds it or it has a record.
    pub(super) fn slot(&self, id: SpendId, expiry: UnixTime, now: UnixTime) -> RecordSlot {
        let mut inner = self.inner.lock();
        inner.sweep(now);
        let new = || Slot { record: RecordSlot::default(), ends: expiry.plus(KEPT_AFTER_EXPIRY), is_settled: false };
        inner.slots.entry(id).or_insert_with(new).record.clone()
    }

    /// Takes note that the spend is settled and reported. A caller that remembers does not need the record for long.
    pub(super) fn settled(&self, id: &SpendId, now: UnixTime) {
        let mut inner = self.inner.lock();
        if let Some(slot) = inner.slots.get_mut(id) {
            slot.is_settled = true;
            if self.memory == SettledMemory::Brief {
                slot.ends = slot.ends.min(now.plus(SETTLED_KEPT));
            }
        }
    }

    /// Forgets that the spend was verified: its success was reported.
    pub(super) fn reported(&self, id: &SpendId) {
        self.inner.lock().verified.remove(id);
    }

    /// Forgets a spend without a record, unless another call holds its slot.
    pub(super) fn release(&self, id: SpendId, slot: RecordSlot) {
        let mut inner = self.inner.lock();
        let is_empty = slot.try_lock().is_ok_and(|record| record.is_none());
        // Two owners: the map, and this call. A third would be a call that is about to lock this slot, and a later call
        // would get a second slot for the same spend. No owner can be added while `inner` is locked.
        if is_empty && Arc::strong_count(&slot) == 2 {
            inner.slots.remove(&id);
        }
    }

    /// Remembers that the spend was unused when it was verified.
    pub(super) fn verified(&self, id: SpendId, expiry: UnixTime, now: UnixTime) {
        let mut inner = self.inner.lock();
        inner.sweep(now);
        if inner.verified.len() < MAX_VERIFIED {
            inner.verified.insert(id, expiry);
        }
    }

    /// The spend was unused when this process verified it, and no success was reported since.
    pub(super) fn was_verified(&self, id: &SpendId) -> bool {
        self.inner.lock().verified.contains_key(id)
    }
}

impl RecordMaps {
    /// Removes the records that are over, at most twice a minute, and settled ones when there are too many.
    fn sweep(&mut self, now: UnixTime) {
        let is_full = self.slots.len() >= MAX_RECORDS && !self.is_crowded;
        if self.sweep_at.is_some_and(|at| now < at) && !is_full {
            return;
        }
        self.sweep_at = Some(now.plus(SWEEP_INTERVAL));
        self.slots.retain(|_, slot| Arc::strong_count(&slot.record) > 1 || slot.ends > now);
        self.verified.retain(|_, expiry| *expiry > now);
        self.is_crowded = false;
        if self.slots.len() < MAX_RECORDS {
            return;
        }
        let settled = |(id, slot): (&SpendId, &Slot)| {
            (slot.is_settled && Arc::strong_count(&slot.record) == 1).then_some((slot.ends, *id))
        };
        let mut settled: Vec<(UnixTime, SpendId)> = self.slots.iter().filter_map(settled).collect();
        settled.sort_unstable();
        // An eighth at once, so that this is not done for every payment of a flood.
        for (_, id) in settled.into_iter().take(MAX_RECORDS / 8) {
            self.slots.remove(&id);
        }
        self.is_crowded = self.slots.len() >= MAX_RECORDS;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spend(number: u64) -> SpendId {
        (Address::ZERO, Address::ZERO, B256::left_padding_from(&number.to_be_bytes()))
    }

    fn kept(records: &Records) -> usize {
        records.inner.lock().slots.len()
    }

    #[test]
    fn settled_records_end_soon_for_a_caller_that_remembers() {
        let (now, expiry) = (UnixTime(1_000_000), UnixTime(1_086_400));
        for (memory, left) in [(SettledMemory::Brief, 1), (SettledMemory::WhileValid, 101)] {
            let records = Records::new(memory);
            for number in 0..100 {
                drop(records.slot(spend(number), expiry, now));
                records.settled(&spend(number), now);
            }
            // A spend that is under way stays.
            drop(records.slot(spend(100), expiry, now));
            drop(records.slot(spend(100), expiry, now.plus(2 * SETTLED_KEPT)));
            assert_eq!(kept(&records), left, "{memory:?}");
            drop(records.slot(spend(100), expiry, expiry.plus(KEPT_AFTER_EXPIRY)));
            assert_eq!(kept(&records), 1, "{memory:?}");
        }
    }

    #[test]
    fn records_are_bounded_and_those_under_way_stay() {
        let (now, expiry) = (UnixTime(1_000_000), UnixTime(1_086_400));
        let records = Records::new(SettledMemory::WhileValid);
        drop(records.slot(spend(0), expiry, now));
        for number in 1..=MAX_RECORDS as u64 {
            drop(records.slot(spend(number), expiry, now));
            records.settled(&spend(number), now);
        }
        assert!(kept(&records) <= MAX_RECORDS);
        assert!(records.inner.lock().slots.contains_key(&spend(0)), "it is not settled");
    }
}
