//! What this process remembers of the payments it settles: one record per spend, behind one lock, so
//! that calls for the same spend queue up and find what the first one did.
//!
//! Memory only: after a restart the chain itself is asked (`evidence`). A record lives as long as its
//! authorisation could be used, and a while longer.

use std::collections::HashMap;
use std::sync::Arc;

use alloy::primitives::B256;
use parking_lot::Mutex;

use super::parsed::SpendId;
use coinslot_evm::TxHandle;
use coinslot_x402::UnixTime;
use coinslot_x402::exact::ExactPayload;

/// How long a finished record outlives its authorisation, in seconds.
const AFTERLIFE: u64 = 3_600;

/// Spends whose verification is remembered, at most. What is beyond it is not remembered.
const MAX_VERIFIED: usize = 65_536;

/// One spend. Empty until its transfer is ordered.
pub(super) type RecordSlot = Arc<tokio::sync::Mutex<Option<SpendRecord>>>;

#[derive(Clone, Debug)]
pub(super) struct SpendRecord {
    /// Exactly this payload; another one for the same spend is judged from the start.
    pub(super) payload: ExactPayload,
    pub(super) stage: SpendStage,
    /// Whether somebody who is told once has been told of the success.
    pub(super) told: bool,
}

#[derive(Clone, Debug)]
pub(super) enum SpendStage {
    /// In the hands of the sequencer.
    Ordered(TxHandle),
    /// In a block, with the right log.
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
    /// At this many slots the dead ones are removed.
    sweep_at: usize,
}

impl Records {
    /// The slot of a spend, which stays the same as long as somebody holds it or it has a record.
    pub(super) fn slot(&self, id: SpendId, expiry: UnixTime, now: UnixTime) -> RecordSlot {
        let mut inner = self.inner.lock();
        if inner.slots.len() >= inner.sweep_at {
            inner.slots.retain(|_, (slot, expiry)| Arc::strong_count(slot) > 1 || expiry.plus(AFTERLIFE) > now);
            inner.sweep_at = (inner.slots.len() * 2).max(1_024);
        }
        let entry = inner.slots.entry(id);
        entry.or_insert_with(|| (RecordSlot::default(), expiry)).0.clone()
    }

    /// Forgets a spend for which nothing was done, unless somebody else is at it.
    pub(super) fn release(&self, id: SpendId, slot: RecordSlot) {
        let mut inner = self.inner.lock();
        let empty = slot.try_lock().is_ok_and(|record| record.is_none());
        // The map's and ours.
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

    /// Whether it was, in this process.
    pub(super) fn was_verified(&self, id: &SpendId) -> bool {
        self.inner.lock().verified.contains_key(id)
    }
}
