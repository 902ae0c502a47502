//! What the chain says about a payment that was made: by our transaction, or by somebody else's with
//! the same authorisation (whoever sees a signature can submit it; the money goes to `payTo` all the
//! same).

use alloy::primitives::B256;

use super::Local;
use super::parsed::ParsedPayment;
use coinslot_evm::eip3009::{self, AuthorizationUse, Eip3009Payment};
use coinslot_evm::{CallError, Inclusion};

impl Local {
    /// Whether the authorisation is used or cancelled.
    pub(super) async fn is_used(&self, payment: &ParsedPayment<'_>) -> Result<bool, CallError> {
        let Eip3009Payment { token, payer, nonce, .. } = payment.payment();
        self.chain.is_authorization_used(token, payer, nonce).await
    }

    /// The transaction that used this authorisation for this payment, among recent blocks.
    pub(super) async fn find(&self, payment: &ParsedPayment<'_>) -> Result<Option<B256>, CallError> {
        let newest = self.chain.block_number().await?;
        let oldest = newest.saturating_sub(self.lookback_blocks);
        Ok(self.chain.find_payment(&payment.payment(), oldest, newest).await?.map(|(hash, _)| hash))
    }
}

/// What the receipt of our own transaction says about a payment that it was meant to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReceiptEvidence {
    Paid,
    /// The authorisation was not used there.
    Unused,
    /// The transaction did something, but not this payment.
    SomethingElse,
}

/// Success is not enough: there are tokens that do not revert on a used nonce, and tokens that keep a
/// fee. And of many calls in one transaction each fails for itself.
pub(super) fn shown(payment: &ParsedPayment<'_>, landing: &Inclusion) -> ReceiptEvidence {
    let (payment, receipt) = (payment.payment(), &landing.receipt);
    if !receipt.succeeded() {
        return ReceiptEvidence::Unused;
    }
    if !landing.shared {
        // The transaction is one call of this payment, so an exact transfer is its own.
        let paid = eip3009::is_transferred_in(&receipt.logs, &payment);
        return if paid { ReceiptEvidence::Paid } else { ReceiptEvidence::SomethingElse };
    }
    match eip3009::use_in(&receipt.logs, payment.token, payment.payer, payment.nonce) {
        AuthorizationUse::Unused => ReceiptEvidence::Unused,
        AuthorizationUse::Payment(found) if found == payment => ReceiptEvidence::Paid,
        AuthorizationUse::Payment(_) | AuthorizationUse::NoTransfer => ReceiptEvidence::SomethingElse,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use alloy::primitives::U256;
    use alloy::rpc::types::Log;

    use super::*;
    use crate::testing::World;
    use crate::{Facilitator, Settlement};
    use coinslot_evm::TxReceipt;

    #[tokio::test]
    async fn a_success_without_the_exact_transfer_is_no_payment() {
        let world = World::start().await;
        let local = world.local().await;
        let request = world.payment();
        let Settlement::Settled(settled) = local.settle(&request).await else { panic!("it settles") };
        let hash = settled.transaction.parse().expect("a hash");
        let receipt = local.chain.receipt(hash).await.expect("an answer").expect("a receipt");
        let payment = local.read(&request).expect("a payment");
        let moves = |log: &Log| eip3009::is_transferred_in(std::slice::from_ref(log), &payment.payment());
        let transfer = receipt.logs.iter().position(moves).expect("its transfer");
        for shared in [false, true] {
            let says = |logs: Vec<Log>| {
                let receipt = Arc::new(TxReceipt { logs, ..receipt.clone() });
                shown(&payment, &Inclusion { receipt, shared })
            };
            assert_eq!(says(receipt.logs.clone()), ReceiptEvidence::Paid);
            // A token that does not revert on a used nonce writes no transfer.
            let mut without = receipt.logs.clone();
            without.remove(transfer);
            assert_eq!(says(without), ReceiptEvidence::SomethingElse, "shared: {shared}");
            // A token that keeps a fee transfers less.
            let mut less = receipt.logs.clone();
            let short = payment.terms.amount - U256::from(1);
            less[transfer].inner.data.data = short.to_be_bytes::<32>().into();
            assert_eq!(says(less), ReceiptEvidence::SomethingElse, "shared: {shared}");
        }
    }
}
