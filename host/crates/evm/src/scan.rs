//! Finds the payments by EIP-3009 authorisation to known receivers in a range of blocks.
//!
//! Nodes bound the blocks and the logs of one `eth_getLogs`, each in its own way and its own words. So the range is
//! asked for in windows that shrink when a node refuses and grow again when it answers.

use std::collections::{BTreeSet, HashMap};
use std::ops::RangeInclusive;
use std::time::Duration;

use alloy::primitives::{Address, B256, U256};
use alloy::rpc::types::{Filter, Log};
use alloy::sol_types::SolEvent;

use crate::abi::IEip3009::{AuthorizationUsed, Transfer};
use crate::{CallError, Chain};

/// The most payers in one request for logs: each is a topic to match.
const MAX_PAYERS: usize = 200;

/// How often a window is asked for while the node does not answer.
const ATTEMPTS: u32 = 4;

/// A payment that is on chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MinedPayment {
    pub token: Address,
    pub payer: Address,
    pub nonce: B256,
    pub pay_to: Address,
    /// Atomic units.
    pub amount: U256,
    pub transaction: B256,
}

/// A range of blocks that could not be scanned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("logs of blocks {first} to {last}: {error}")]
pub struct ScanError {
    pub first: u64,
    pub last: u64,
    pub error: CallError,
}

/// Finds every payment in `token` to one of the receivers, with its block. `window` is the most blocks in one request.
pub async fn scan(
    chain: &Chain,
    token: Address,
    receivers: &[Address],
    blocks: RangeInclusive<u64>,
    window: u64,
) -> Result<Vec<(u64, MinedPayment)>, ScanError> {
    let mut found = Vec::new();
    let (mut first, end) = blocks.into_inner();
    let (mut step, mut attempt) = (window.max(1), 1);
    while first <= end {
        let last = first.saturating_add(step - 1).min(end);
        match scan_window(chain, token, receivers, first, last).await {
            Ok(payments) => {
                found.extend(payments);
                first = last + 1;
                attempt = 1;
                step = step.saturating_mul(2).min(window.max(1));
            }
            // Too many blocks, too many logs, or too many requests: a refusal does not say which.
            Err(CallError::Refused(reason)) if last > first => {
                tracing::debug!(reason, first, last, "the node refused a range of blocks");
                step = (step / 2).max(1);
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(CallError::Unreachable(reason)) if attempt < ATTEMPTS => {
                tracing::warn!(reason, "asking the node again");
                tokio::time::sleep(Duration::from_secs(1) * attempt).await;
                attempt += 1;
            }
            Err(error) => return Err(ScanError { first, last, error }),
        }
    }
    Ok(found)
}

/// Asks for the transfers to the receivers, and then for the authorisations of their payers: a transfer alone says
/// nothing about the payment that it belongs to.
async fn scan_window(
    chain: &Chain,
    token: Address,
    receivers: &[Address],
    first: u64,
    last: u64,
) -> Result<Vec<(u64, MinedPayment)>, CallError> {
    let receivers: Vec<B256> = receivers.iter().map(Address::into_word).collect();
    let filter = Filter::new().address(token).from_block(first).to_block(last);
    let transfers = filter.clone().event_signature(Transfer::SIGNATURE_HASH).topic2(receivers);
    let transfers = chain.logs(&transfers).await?;
    let payers: BTreeSet<B256> = transfers.iter().filter_map(|log| log.topics().get(1).copied()).collect();
    let mut used: HashMap<(B256, u64), Log> = HashMap::new();
    for payers in payers.into_iter().collect::<Vec<_>>().chunks(MAX_PAYERS) {
        let filter = filter.clone().event_signature(AuthorizationUsed::SIGNATURE_HASH).topic1(payers.to_vec());
        let logs = chain.logs(&filter).await?;
        used.extend(logs.into_iter().filter_map(|log| Some((position(&log)?, log))));
    }
    let found = transfers.iter().filter_map(|transfer| {
        let (transaction, index) = position(transfer)?;
        let authorization = used.get(&(transaction, index.checked_sub(1)?))?;
        Some((transfer.block_number?, payment(authorization, transfer)?))
    });
    Ok(found.collect())
}

/// The payments in the logs of one transaction.
pub fn payments_of(logs: &[Log]) -> Vec<MinedPayment> {
    logs.windows(2).filter_map(|pair| payment(&pair[0], &pair[1])).collect()
}

/// A used authorisation and its transfer, which stands right behind it.
fn payment(authorization: &Log, transfer: &Log) -> Option<MinedPayment> {
    let ((transaction, at), (other, next)) = (position(authorization)?, position(transfer)?);
    let (&[used, payer, nonce], &[moved, from, to]) = (authorization.topics(), transfer.topics()) else {
        return None;
    };
    let together = transaction == other && at + 1 == next && authorization.address() == transfer.address();
    let right = used == AuthorizationUsed::SIGNATURE_HASH && moved == Transfer::SIGNATURE_HASH && payer == from;
    (together && right).then_some(())?;
    Some(MinedPayment {
        token: transfer.address(),
        payer: Address::from_word(payer),
        nonce,
        pay_to: Address::from_word(to),
        amount: U256::try_from_be_slice(&transfer.data().data)?,
        transaction,
    })
}

/// The transaction of a log and its index in the block; `None` for a log that a reorganisation removed.
fn position(log: &Log) -> Option<(B256, u64)> {
    (!log.removed).then_some(())?;
    log.transaction_hash.zip(log.log_index)
}

/// Finds the first block that was made at this time (Unix seconds) or later, or the one after `head` if even that is
/// older. Blocks that the node has pruned count as older.
pub async fn first_block_since(chain: &Chain, time: u64, head: u64) -> Result<u64, CallError> {
    let (mut low, mut high) = (0, head + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        if chain.block_time(middle).await?.is_none_or(|at| at < time) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}
