//! What the chain says about a payment that was made: by our transaction, or by somebody else's with
//! the same authorisation (whoever sees a signature can submit it; the money goes to `payTo` all the
//! same).

use alloy::primitives::B256;
use alloy::rpc::types::Log;
use alloy::sol_types::SolEvent;

use super::Local;
use super::claim::Claim;
use crate::probe::Transferred;
use coinslot_evm::abi::IEip3009::{AuthorizationUsed, Transfer};
use coinslot_evm::{CallError, Landing};

impl Local {
    /// Whether the authorisation is used or cancelled.
    pub(super) async fn is_used(&self, claim: &Claim<'_>) -> Result<bool, CallError> {
        transferred(claim).is_used(&self.chain).await
    }

    /// The transaction that used this authorisation for this payment, among recent blocks.
    pub(super) async fn find(&self, claim: &Claim<'_>) -> Result<Option<B256>, CallError> {
        let newest = self.chain.block_number().await?;
        let oldest = newest.saturating_sub(self.lookback_blocks);
        Ok(transferred(claim).within(&self.chain, oldest, newest).await?.map(|(hash, _)| hash))
    }
}

fn transferred(claim: &Claim<'_>) -> Transferred {
    Transferred {
        token: claim.token.address,
        pay_to: claim.terms.pay_to,
        amount: claim.terms.amount,
        authorization: claim.authorization().clone(),
    }
}

/// What the receipt of our own transaction says about a payment that it was meant to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    Paid,
    /// The authorisation was not used there.
    Unused,
    /// The transaction did something, but not this payment.
    SomethingElse,
}

/// Success is not enough: there are tokens that do not revert on a used nonce, and tokens that keep a
/// fee. And of many calls in one transaction each fails for itself.
pub(super) fn shown(claim: &Claim<'_>, landing: &Landing) -> Shown {
    let (payment, receipt) = (transferred(claim), &landing.receipt);
    if !receipt.succeeded() {
        return Shown::Unused;
    }
    if !landing.shared {
        let paid = receipt.logs.iter().any(|log| payment.is_transfer(log));
        return if paid { Shown::Paid } else { Shown::SomethingElse };
    }
    // The same payer may pay the same price many times in one transaction, so a transfer belongs to
    // the authorisation beside it. FiatToken writes it after; if the first log is a transfer, the
    // token writes it before.
    let kinds = [AuthorizationUsed::SIGNATURE_HASH, Transfer::SIGNATURE_HASH];
    let of_token =
        |log: &&Log| log.address() == claim.token.address && log.topic0().is_some_and(|kind| kinds.contains(kind));
    let logs: Vec<&Log> = receipt.logs.iter().filter(of_token).collect();
    let Some(at) = logs.iter().position(|log| payment.is_use(log)) else {
        return Shown::Unused;
    };
    let used_first = logs.first().is_some_and(|log| log.topic0() == Some(&AuthorizationUsed::SIGNATURE_HASH));
    let beside = if used_first { at.checked_add(1) } else { at.checked_sub(1) };
    match beside.and_then(|beside| logs.get(beside)) {
        Some(log) if payment.is_transfer(log) => Shown::Paid,
        _ => Shown::SomethingElse,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use alloy::primitives::U256;

    use super::*;
    use crate::testing::World;
    use crate::{Facilitator, Settlement};
    use coinslot_evm::Receipt;

    #[tokio::test]
    async fn a_success_without_the_exact_transfer_is_no_payment() {
        let world = World::start().await;
        let local = world.local().await;
        let request = world.payment();
        let Settlement::Settled(settled) = local.settle(&request).await else { panic!("it settles") };
        let hash = settled.transaction.parse().expect("a hash");
        let receipt = local.chain.receipt(hash).await.expect("an answer").expect("a receipt");
        let claim = local.read(&request).expect("a claim");
        let transfer = receipt.logs.iter().position(|log| transferred(&claim).is_transfer(log)).expect("its transfer");
        for shared in [false, true] {
            let says = |logs: Vec<Log>| {
                let receipt = Arc::new(Receipt { logs, ..receipt.clone() });
                shown(&claim, &Landing { receipt, shared })
            };
            assert_eq!(says(receipt.logs.clone()), Shown::Paid);
            // A token that does not revert on a used nonce writes no transfer.
            let mut without = receipt.logs.clone();
            without.remove(transfer);
            assert_eq!(says(without), Shown::SomethingElse, "shared: {shared}");
            // A token that keeps a fee transfers less.
            let mut less = receipt.logs.clone();
            let short = claim.terms.amount - U256::from(1);
            less[transfer].inner.data.data = short.to_be_bytes::<32>().into();
            assert_eq!(says(less), Shown::SomethingElse, "shared: {shared}");
        }
    }
}
