//! The pool of transactions that wait for a block: because there is a gap before their nonce, or because blocks are
//! mined at an interval. It has at most one transaction per sender and nonce; a replacement must pay a tenth more.
//!
//! Transactions are mined in the order of their arrival. Tips do not change the order, so a test can predict it.

use std::collections::{BTreeMap, HashMap, HashSet};

use alloy::consensus::Transaction as _;
use alloy::consensus::TxEnvelope;
use alloy::consensus::transaction::Recovered;
use alloy::eips::eip2718::Decodable2718 as _;
use alloy::primitives::{Address, B256};

use super::rejection::TxRejection;
use super::spec::CHAIN_ID;

/// Most pooled transactions.
const MAX_POOLED: usize = 4_096;
/// Most that a nonce may be ahead of the account's.
const MAX_NONCE_GAP: u64 = 1_024;
/// Largest transaction, in bytes: go-ethereum's limit.
const MAX_TX_BYTES: usize = 128 * 1024;

/// The pooled transactions.
#[derive(Debug, Default)]
pub(super) struct TxPool {
    waiting: HashMap<Address, BTreeMap<u64, PooledTx>>,
    /// The sender and the nonce of each pooled transaction.
    by_hash: HashMap<B256, (Address, u64)>,
    /// The number of transactions that have arrived.
    arrivals: u64,
}

/// A pooled transaction with its number in the order of arrival.
#[derive(Debug)]
struct PooledTx {
    tx: Recovered<TxEnvelope>,
    arrival: u64,
}

impl TxPool {
    /// Adds a transaction that `execute::check` has passed. `next` is the sender's nonce in the newest state. A
    /// replacement keeps the place of the transaction that it replaces.
    pub(super) fn add(&mut self, tx: Recovered<TxEnvelope>, next: u64) -> Result<(), TxRejection> {
        let (hash, sender, nonce) = (*tx.tx_hash(), tx.signer(), tx.nonce());
        if self.by_hash.contains_key(&hash) {
            return Err(TxRejection::AlreadyKnown);
        }
        if nonce < next {
            return Err(TxRejection::NonceTooLow { next, tx: nonce });
        }
        if nonce - next > MAX_NONCE_GAP {
            return Err(TxRejection::NonceTooFar { next, tx: nonce, limit: MAX_NONCE_GAP });
        }
        let arrival = match self.waiting.get(&sender).and_then(|by_nonce| by_nonce.get(&nonce)) {
            Some(old) if outbids(&tx, &old.tx) => old.arrival,
            Some(_) => return Err(TxRejection::ReplacementUnderpriced),
            None if self.by_hash.len() >= MAX_POOLED => return Err(TxRejection::PoolFull),
            None => self.arrivals,
        };
        self.arrivals += 1;
        self.by_hash.insert(hash, (sender, nonce));
        if let Some(old) = self.waiting.entry(sender).or_default().insert(nonce, PooledTx { tx, arrival }) {
            self.by_hash.remove(old.tx.tx_hash());
        }
        Ok(())
    }

    pub(super) fn get(&self, hash: B256) -> Option<&Recovered<TxEnvelope>> {
        let (sender, nonce) = self.by_hash.get(&hash)?;
        Some(&self.waiting.get(sender)?.get(nonce)?.tx)
    }

    /// The sender's next nonce after the pooled transactions that follow `next` without a gap.
    pub(super) fn nonce_after(&self, sender: Address, mut next: u64) -> u64 {
        let waiting = self.waiting.get(&sender);
        while waiting.is_some_and(|by_nonce| by_nonce.contains_key(&next)) {
            next += 1;
        }
        next
    }

    /// The oldest transaction that has its sender's next nonce, pays `base_fee`, and is not in `skipped`.
    pub(super) fn first(
        &self,
        mut next: impl FnMut(Address) -> u64,
        base_fee: u64,
        skipped: &HashSet<B256>,
    ) -> Option<&Recovered<TxEnvelope>> {
        self.waiting
            .iter()
            .filter_map(|(sender, by_nonce)| by_nonce.get(&next(*sender)))
            .filter(|pooled| {
                pooled.tx.max_fee_per_gas() >= u128::from(base_fee) && !skipped.contains(pooled.tx.tx_hash())
            })
            .min_by_key(|pooled| pooled.arrival)
            .map(|pooled| &pooled.tx)
    }

    pub(super) fn remove(&mut self, hash: B256) {
        let Some((sender, nonce)) = self.by_hash.remove(&hash) else { return };
        if let Some(by_nonce) = self.waiting.get_mut(&sender) {
            by_nonce.remove(&nonce);
            if by_nonce.is_empty() {
                self.waiting.remove(&sender);
            }
        }
    }

    /// Removes the transactions whose nonce has been used, which can never be mined.
    pub(super) fn remove_stale(&mut self, mut next: impl FnMut(Address) -> u64) {
        let by_hash = &mut self.by_hash;
        self.waiting.retain(|sender, by_nonce| {
            let stays = by_nonce.split_off(&next(*sender));
            for stale in std::mem::replace(by_nonce, stays).values() {
                by_hash.remove(stale.tx.tx_hash());
            }
            !by_nonce.is_empty()
        });
    }

    pub(super) fn clear(&mut self) {
        self.waiting.clear();
        self.by_hash.clear();
    }
}

/// Decodes a signed transaction and recovers its sender: all checks that need no state.
///
/// Blob transactions are rejected, as on Base.
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
    // A signature with a high `s` is invalid (EIP-2): it is the malleable twin of another signature.
    if tx.signature().normalize_s().is_some() {
        return Err(TxRejection::InvalidSender);
    }
    let sender =
        tx.signature().recover_address_from_prehash(&tx.signature_hash()).map_err(|_| TxRejection::InvalidSender)?;
    Ok(Recovered::new_unchecked(tx, sender))
}

/// Decides whether a replacement pays enough: both its prices are a tenth higher (go-ethereum's rule).
fn outbids(new: &TxEnvelope, old: &TxEnvelope) -> bool {
    let risen = |new: u128, old: u128| new >= old.saturating_add(old.div_ceil(10)) && new > old;
    let tip = |tx: &TxEnvelope| tx.max_priority_fee_per_gas().unwrap_or(tx.max_fee_per_gas());
    risen(new.max_fee_per_gas(), old.max_fee_per_gas()) && risen(tip(new), tip(old))
}
