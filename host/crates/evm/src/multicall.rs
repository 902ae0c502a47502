//! Makes many calls in one transaction, each of which fails for itself (Multicall3's `aggregate3`).

use alloy::primitives::{Address, Bytes};
use alloy::rpc::types::TransactionRequest;
use alloy::sol_types::{Panic, Revert, SolCall, SolError};

use crate::abi::IMulticall3::{Call3, aggregate3Call};
use crate::abi::MULTICALL3;
use crate::call_error::CallError;
use crate::chain::Chain;

/// The end of one call among many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CallOutcome {
    Success,
    /// It reverted, with this reason.
    Reverted(String),
    /// It failed without a reason: perhaps the gas did not suffice.
    NoReason,
}

/// Encodes the call of Multicall3. A call that fails does not make the others fail.
pub(super) fn data<'c>(calls: impl Iterator<Item = (Address, &'c Bytes)>) -> Bytes {
    let calls = calls.map(|(target, data)| Call3 { target, allowFailure: true, callData: data.clone() }).collect();
    aggregate3Call { calls }.abi_encode().into()
}

/// Runs the transaction that would be sent, with this much gas. An error is about all calls.
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
    Ok(results.into_iter().map(|result| outcome(result.success, &result.returnData)).collect())
}

fn outcome(success: bool, answer: &[u8]) -> CallOutcome {
    if success {
        return CallOutcome::Success;
    }
    if answer.is_empty() {
        return CallOutcome::NoReason;
    }
    // In the words in which nodes report the revert of a single call.
    CallOutcome::Reverted(match (Revert::abi_decode(answer), Panic::abi_decode(answer)) {
        (Ok(revert), _) => format!("execution reverted: {}", revert.reason),
        (_, Ok(panic)) => format!("execution reverted: {panic}"),
        _ => "execution reverted".to_owned(),
    })
}
