//! Transactions that wait for a block: because of a gap before their nonce, or because blocks come at
//! an interval. At most one per sender and nonce; a replacement must pay a tenth more.
//!
//! First come, first mined: tips do not reorder, so a test can foretell the order.

use std::collections::{BTreeMap, HashMap, HashSet};

use alloy::consensus::Transaction as _;
use alloy::consensus::TxEnvelope;
use alloy::consensus::transaction::Recovered;
use alloy::eips::eip2718::Decodable2718 as _;
use alloy::primitives::{Address, B256};

use super::CHAIN_ID;
use super::rejection::TxRejection;

/// Transactions waiting at most.
const MAX_POOLED: usize = 4_096;
/// How far a nonce may be ahead of the account's.
const MAX_NONCE_GAP: u64 = 1_024;
/// Bytes of one transaction, go-ethereum's limit.
const MAX_TX_BYTES: usize = 128 * 1024;

#[derive(Debug, Default)]
pub(super) struct TxPool {
    waiting: HashMap<Address, BTreeMap<u64, PooledTx>>,
    places: HashMap<B256, (Address, u64)>,
    arrivals: u64,
}

#[derive(Debug)]
struct PooledTx {
    tx: Recovered<TxEnvelope>,
    arrival: u64,
}

impl TxPool {
    /// `next` is the sender's nonce in the newest state. The transaction has been checked otherwise.
    pub(super) fn add(&mut self, tx: Recovered<TxEnvelope>, next: u64) -> Result<(), TxRejection> {
        let (hash, sender, nonce) = (*tx.tx_hash(), tx.signer(), tx.nonce());
        if self.places.contains_key(&hash) {
            return Err(TxRejection::AlreadyKnown);
        }
        if nonce < next {
            return Err(TxRejection::NonceTooLow { next, tx: nonce });
        }
        if nonce - next > MAX_NONCE_GAP {
            return Err(TxRejection::NonceTooFar { next, tx: nonce, limit: MAX_NONCE_GAP });
        }
        let arrival = match self.waiting.get(&sender).and_then(|of| of.get(&nonce)) {
            Some(old) if outbids(&tx, &old.tx) => old.arrival,
            Some(_) => return Err(TxRejection::ReplacementUnderpriced),
            None if self.places.len() >= MAX_POOLED => return Err(TxRejection::PoolFull),
            None => self.arrivals,
        };
        self.arrivals += 1;
        self.places.insert(hash, (sender, nonce));
        if let Some(old) = self.waiting.entry(sender).or_default().insert(nonce, PooledTx { tx, arrival }) {
            self.places.remove(old.tx.tx_hash());
        }
        Ok(())
    }

    pub(super) fn get(&self, hash: B256) -> Option<&Recovered<TxEnvelope>> {
        let (sender, nonce) = self.places.get(&hash)?;
        Some(&self.waiting.get(sender)?.get(nonce)?.tx)
    }

    /// The sender's next nonce after those that wait without a gap from `next` on.
    pub(super) fn nonce_after(&self, sender: Address, mut next: u64) -> u64 {
        let waiting = self.waiting.get(&sender);
        while waiting.is_some_and(|of| of.contains_key(&next)) {
            next += 1;
        }
        next
    }

    /// The longest waiting transaction that has its sender's next nonce, pays `base_fee`, and is not in `passed`.
    pub(super) fn first(
        &self,
        mut next: impl FnMut(Address) -> u64,
        base_fee: u64,
        passed: &HashSet<B256>,
    ) -> Option<&Recovered<TxEnvelope>> {
        self.waiting
            .iter()
            .filter_map(|(sender, of)| of.get(&next(*sender)))
            .filter(|one| one.tx.max_fee_per_gas() >= u128::from(base_fee) && !passed.contains(one.tx.tx_hash()))
            .min_by_key(|one| one.arrival)
            .map(|one| &one.tx)
    }

    pub(super) fn remove(&mut self, hash: B256) {
        let Some((sender, nonce)) = self.places.remove(&hash) else { return };
        if let Some(of) = self.waiting.get_mut(&sender) {
            of.remove(&nonce);
            if of.is_empty() {
                self.waiting.remove(&sender);
            }
        }
    }

    /// Drops what can never be mined because its nonce has been used.
    pub(super) fn remove_stale(&mut self, mut next: impl FnMut(Address) -> u64) {
        let places = &mut self.places;
        self.waiting.retain(|sender, of| {
            let stays = of.split_off(&next(*sender));
            for stale in std::mem::replace(of, stays).values() {
                places.remove(stale.tx.tx_hash());
            }
            !of.is_empty()
        });
    }

    pub(super) fn clear(&mut self) {
        self.waiting.clear();
        self.places.clear();
    }
}

/// Reads a signed transaction and finds its sender: everything that needs no state.
///
/// Blob transactions are not taken, as on Base.
pub(super) fn decode(raw: &[u8]) -> Result<Recovered<TxEnvelope>, TxRejection> {
    if raw.len() > MAX_TX_BYTES {
        return Err(TxRejection::Oversized { size: raw.len(), limit: MAX_TX_BYTES });
    }
    let mut rest = raw;
    let tx = TxEnvelope::decode_2718(&mut rest).map_err(TxRejection::Undecodable)?;
    if !rest.is_empty() {
        return Err(TxRejection::TrailingBytes(rest.len()));
    }
    if matches!(tx, TxEnvelope::Eip4844(_)) {
        return Err(TxRejection::TypeNotSupported);
    }
    match tx.chain_id() {
        Some(CHAIN_ID) => {}
        Some(have) => return Err(TxRejection::WrongChain { have }),
        None => return Err(TxRejection::NotReplayProtected),
    }
    // EIP-2: the malleable twin of a signature is no signature.
    if tx.signature().normalize_s().is_some() {
        return Err(TxRejection::InvalidSender);
    }
    let sender =
        tx.signature().recover_address_from_prehash(&tx.signature_hash()).map_err(|_| TxRejection::InvalidSender)?;
    Ok(Recovered::new_unchecked(tx, sender))
}

/// Both prices must rise by a tenth (go-ethereum's rule).
fn outbids(new: &TxEnvelope, old: &TxEnvelope) -> bool {
    let risen = |new: u128, old: u128| new >= old.saturating_add(old.div_ceil(10)) && new > old;
    let tip = |tx: &TxEnvelope| tx.max_priority_fee_per_gas().unwrap_or(tx.max_fee_per_gas());
    risen(new.max_fee_per_gas(), old.max_fee_per_gas()) && risen(tip(new), tip(old))
}
