//! Finds the payments by EIP-3009 authorisation to known receivers in a range of blocks.
//!
//! Nodes bound the blocks and the logs of one `eth_getLogs`, each in its own way and its own words. So the range is
//! asked for in windows that shrink when a node refuses and grow again when it answers.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::time::Duration;

use alloy::primitives::{Address, B256, U256};
use alloy::rpc::types::{Filter, Log};
use alloy::sol_types::SolEvent;

use crate::abi::IEip3009::{AuthorizationUsed, Transfer};
use crate::call_error::CallError;
use crate::chain::Chain;
use crate::eip3009::{Eip3009Payment, payments_in, transfers_in};
use crate::span::LogSpan;

/// The most payers in one request for logs: each is a topic to match.
const MAX_PAYERS: usize = 200;

/// Attempts to read one window while the node does not answer.
const ATTEMPTS: u32 = 4;

/// A payment by authorisation, with its transaction and its block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MinedPayment {
    pub payment: Eip3009Payment,
    pub transaction: B256,
    pub block: u64,
}

/// A range of blocks that could not be scanned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("logs of blocks {first} to {last}: {error}")]
pub struct ScanError {
    pub first: u64,
    pub last: u64,
    pub error: CallError,
}

/// Finds every payment in `token` to one of the receivers. `window` is the most blocks in one request.
pub async fn scan(
    chain: &Chain,
    token: Address,
    receivers: &[Address],
    blocks: RangeInclusive<u64>,
    window: u64,
) -> Result<Vec<MinedPayment>, ScanError> {
    in_windows(blocks, window, |first, last| Box::pin(scan_window(chain, token, receivers, first, last))).await
}

/// Finds every transfer of `token` from one account to another: transaction and amount. `window` is the most blocks in
/// one request.
pub async fn transfers(
    chain: &Chain,
    token: Address,
    from: Address,
    to: Address,
    blocks: RangeInclusive<u64>,
    window: u64,
) -> Result<Vec<(B256, U256)>, ScanError> {
    let filter = Filter::new().address(token).event_signature(Transfer::SIGNATURE_HASH);
    let filter = filter.topic1(from.into_word()).topic2(to.into_word());
    in_windows(blocks, window, |first, last| {
        let filter = filter.clone().from_block(first).to_block(last);
        Box::pin(transfers_of(chain, token, from, filter))
    })
    .await
}

async fn transfers_of(
    chain: &Chain,
    token: Address,
    from: Address,
    filter: Filter,
) -> Result<Vec<(B256, U256)>, CallError> {
    let logs = chain.logs(&filter).await?;
    let found = by_transaction(logs).into_iter().flat_map(|((_, transaction), logs)| {
        transfers_in(&logs, token, from).into_iter().map(move |(_, amount)| (transaction, amount))
    });
    Ok(found.collect())
}

/// The answer about one window, which is on its way.
type WindowAnswer<'a, T> = Pin<Box<dyn Future<Output = Result<Vec<T>, CallError>> + Send + 'a>>;

/// Asks about every block of a range, in windows that a node answers.
async fn in_windows<'a, T>(
    blocks: RangeInclusive<u64>,
    window: u64,
    ask: impl Fn(u64, u64) -> WindowAnswer<'a, T>,
) -> Result<Vec<T>, ScanError> {
    let mut found = Vec::new();
    let (mut first, end) = blocks.into_inner();
    let (mut span, mut attempt) = (LogSpan::new(window), 1);
    while first <= end {
        let last = first.saturating_add(span.blocks() - 1).min(end);
        let answer = ask(first, last).await;
        match span.learn(last - first + 1, answer).await {
            Ok(Some(more)) => {
                found.extend(more);
                first = last + 1;
                attempt = 1;
            }
            Ok(None) => {}
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

/// Asks for the transfers to the receivers, and then for the authorisations of their payers: a transfer without one is
/// no payment by authorisation.
///
/// [`payments_in`] wants all logs of the token in a transaction, and these are only some. They are enough where nothing
/// is ambiguous, see [`is_plain`]; elsewhere the receipt of the transaction has the others.
async fn scan_window(
    chain: &Chain,
    token: Address,
    receivers: &[Address],
    first: u64,
    last: u64,
) -> Result<Vec<MinedPayment>, CallError> {
    let words: Vec<B256> = receivers.iter().map(Address::into_word).collect();
    let filter = Filter::new().address(token).from_block(first).to_block(last);
    let transfers = chain.logs(&filter.clone().event_signature(Transfer::SIGNATURE_HASH).topic2(words)).await?;
    let payers: BTreeSet<B256> = transfers.iter().filter_map(|log| log.topics().get(1).copied()).collect();
    let mut logs = transfers;
    for payers in payers.into_iter().collect::<Vec<_>>().chunks(MAX_PAYERS) {
        let used = filter.clone().event_signature(AuthorizationUsed::SIGNATURE_HASH).topic1(payers.to_vec());
        logs.extend(chain.logs(&used).await?);
    }
    let mut found = Vec::new();
    for ((block, transaction), logs) in by_transaction(logs) {
        if !logs.iter().any(|log| log.topic0() == Some(&AuthorizationUsed::SIGNATURE_HASH)) {
            continue;
        }
        let payments = if is_plain(&logs) {
            payments_in(&logs)
        } else {
            let missing =
                || CallError::Unreachable(format!("the node shows logs of {transaction} and not its receipt"));
            let receipt = chain.receipt(transaction).await?.ok_or_else(missing)?;
            if receipt.succeeded() { payments_in(&receipt.logs) } else { Vec::new() }
        };
        let ours = payments.into_iter().filter(|paid| paid.token == token && receivers.contains(&paid.pay_to));
        found.extend(ours.map(|payment| MinedPayment { payment, transaction, block }));
    }
    Ok(found)
}

/// Groups logs by block and transaction, in the order in which the transaction wrote them. Logs that a reorganisation
/// removed are left out.
fn by_transaction(logs: Vec<Log>) -> BTreeMap<(u64, B256), Vec<Log>> {
    let mut transactions: BTreeMap<(u64, B256), Vec<Log>> = BTreeMap::new();
    for log in logs.into_iter().filter(|log| !log.removed) {
        if let (Some(block), Some(transaction)) = (log.block_number, log.transaction_hash) {
            transactions.entry((block, transaction)).or_default().push(log);
        }
    }
    for logs in transactions.values_mut() {
        logs.sort_by_key(|log| log.log_index);
    }
    transactions
}

/// True if the logs are pairs of an authorisation and the transfer of the same account right behind it, as FiatToken
/// writes them, with nothing left over. The token's other logs in the transaction could lead to other pairs only if the
/// token wrote transfers first, and an ordinary transfer from the payer to the receiver followed the authorisation.
fn is_plain(logs: &[Log]) -> bool {
    logs.chunks(2).all(|pair| match pair {
        [used, transfer] => {
            used.topic0() == Some(&AuthorizationUsed::SIGNATURE_HASH)
                && transfer.topic0() == Some(&Transfer::SIGNATURE_HASH)
                && used.topics().get(1) == transfer.topics().get(1)
                && used.log_index.and_then(|index| index.checked_add(1)) == transfer.log_index
        }
        _ => false,
    })
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
