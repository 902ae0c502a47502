//! Remembers the payments that this process settles: one record per spend, behind one lock, so
//! that calls for the same spend queue up and find what the first one did.
//!
//! The records are in memory only: after a restart the chain itself is asked (`evidence`). A record lives as long as
//! its authorisation could be used, and a while longer.

use std::collections::HashMap;
use std::sync::Arc;

use alloy::primitives::{Address, B256};
use coinslot_evm::TxHandle;
use coinslot_x402::UnixTime;
use coinslot_x402::exact::ExactPayload;
use parking_lot::Mutex;

/// The time by which a finished record outlives its authorisation, in seconds.
const AFTERLIFE: u64 = 3_600;

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
    /// The sequencer has the call.
    Submitted(TxHandle),
    /// The transaction is in a block, and its logs prove the payment.
    Settled(B256),
}

#[derive(Debug, Default)]
pub(super) struct Records {
    inner: Mutex<RecordMaps>,
}

#[derive(Debug, Default)]
struct RecordMaps {
    slots: HashMap<SpendId, (RecordSlot, UnixTime)>,
    verified: HashMap<SpendId, UnixTime>,
    /// At this many slots the expired ones are removed.
    sweep_at: usize,
}

impl Records {
    /// The slot of a spend. It stays the same as long as a call holds it or it has a record.
    pub(super) fn slot(&self, id: SpendId, expiry: UnixTime, now: UnixTime) -> RecordSlot {
        let mut inner = self.inner.lock();
        if inner.slots.len() >= inner.sweep_at {
            inner.slots.retain(|_, (slot, expiry)| Arc::strong_count(slot) > 1 || expiry.plus(AFTERLIFE) > now);
            // Doubled, so that a sweep, which visits every slot, comes only after as many new slots.
            inner.sweep_at = (inner.slots.len() * 2).max(1_024);
        }
        let entry = inner.slots.entry(id);
        entry.or_insert_with(|| (RecordSlot::default(), expiry)).0.clone()
    }

    /// Forgets a spend without a record, unless another call holds its slot.
    pub(super) fn release(&self, id: SpendId, slot: RecordSlot) {
        let mut inner = self.inner.lock();
        let empty = slot.try_lock().is_ok_and(|record| record.is_none());
        // Two owners: the map, and this call. A third would be a call that is about to lock this slot, and a later call
        // would get a second slot for the same spend. No owner can be added while `inner` is locked.
        if empty && Arc::strong_count(&slot) == 2 {
            inner.slots.remove(&id);
        }
    }

    /// Remembers that the spend was unused when it was verified.
    pub(super) fn verified(&self, id: SpendId, expiry: UnixTime, now: UnixTime) {
        let mut inner = self.inner.lock();
        if inner.verified.len() >= MAX_VERIFIED {
            inner.verified.retain(|_, expiry| *expiry > now);
        }
        if inner.verified.len() < MAX_VERIFIED {
            inner.verified.insert(id, expiry);
        }
    }

    /// The spend was unused when this process verified it.
    pub(super) fn was_verified(&self, id: &SpendId) -> bool {
        self.inner.lock().verified.contains_key(id)
    }
}
