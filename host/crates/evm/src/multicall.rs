//! Many calls in one transaction, each failing for itself (Multicall3's `aggregate3`).

use alloy::primitives::{Address, Bytes};
use alloy::rpc::types::TransactionRequest;
use alloy::sol_types::{Panic, Revert, SolCall, SolError};

use super::abi::IMulticall3::{Call3, aggregate3Call};
use super::abi::MULTICALL3;
use super::{CallError, Chain};

/// How one call of many ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CallOutcome {
    Well,
    /// With the contract's words.
    Reverted(String),
    /// Without a word: perhaps the gas did not suffice.
    Silently,
}

/// What goes to Multicall3.
pub(super) fn data<'c>(calls: impl Iterator<Item = (Address, &'c Bytes)>) -> Bytes {
    let calls = calls.map(|(target, data)| Call3 { target, allowFailure: true, callData: data.clone() }).collect();
    aggregate3Call { calls }.abi_encode().into()
}

/// Runs what would be sent, with this much gas. An error is about all of them.
pub(super) async fn simulate(
    chain: &Chain,
    from: Address,
    data: Bytes,
    gas: u64,
) -> Result<Vec<CallOutcome>, CallError> {
    let mut request = TransactionRequest::default().from(from).to(MULTICALL3).input(data.into());
    request.gas = Some(gas);
    let answer = chain.run(request).await?;
    let results = aggregate3Call::abi_decode_returns(&answer)
        .map_err(|error| CallError::Reverted(format!("{}: {error}", aggregate3Call::SIGNATURE)))?;
    Ok(results.into_iter().map(|result| ended(result.success, &result.returnData)).collect())
}

fn ended(success: bool, answer: &[u8]) -> CallOutcome {
    if success {
        return CallOutcome::Well;
    }
    if answer.is_empty() {
        return CallOutcome::Silently;
    }
    // The words that a node puts before the reason of a single call.
    CallOutcome::Reverted(match (Revert::abi_decode(answer), Panic::abi_decode(answer)) {
        (Ok(revert), _) => format!("execution reverted: {}", revert.reason),
        (_, Ok(panic)) => format!("execution reverted: {panic}"),
        _ => "execution reverted".to_owned(),
    })
}
