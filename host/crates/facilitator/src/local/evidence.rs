//! Proves payments by the logs of their transactions: ours, or another account's with the same authorisation. Every
//! account that sees a signature can submit it, and the money goes to `payTo` all the same.

use alloy::primitives::B256;
use coinslot_evm::eip3009::{self, AuthorizationUse, Eip3009Payment};
use coinslot_evm::{AuthorizationState, CallError, Inclusion, LookupBounds};

use super::parsed::ParsedPayment;
use super::state::LocalState;

/// Looks the payment up among recent blocks. `known` is a transaction that may have made it, and `reached` a block that
/// the node must have.
pub(super) async fn look_up(
    local: &LocalState,
    payment: &ParsedPayment<'_>,
    known: Option<B256>,
    reached: u64,
) -> Result<AuthorizationState, CallError> {
    let bounds = LookupBounds {
        confirmations: local.confirmations,
        reached,
        earliest: payment.earliest(),
        blocks: local.lookback_blocks,
    };
    local.chain.payment_state(&payment.on_chain(), known, bounds).await
}

/// The evidence in the receipt of our own transaction for a payment that it was meant to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReceiptEvidence {
    Paid,
    /// The authorisation was not used there.
    Unused,
    /// The transaction did something, but not this payment.
    OtherTransfer,
}

/// Reads the receipt. Its success is not enough: some tokens do not revert on a used nonce, some keep a fee, and
/// of many calls in one transaction each fails for itself.
pub(super) fn evidence_in(inclusion: &Inclusion, payment: &Eip3009Payment) -> ReceiptEvidence {
    let receipt = &inclusion.receipt;
    if !receipt.succeeded() {
        return ReceiptEvidence::Unused;
    }
    if !inclusion.shared {
        // The transaction is the one call of this payment, so that an exact transfer anywhere in it is its own.
        let is_paid = eip3009::is_transferred_in(&receipt.logs, payment);
        return if is_paid { ReceiptEvidence::Paid } else { ReceiptEvidence::OtherTransfer };
    }
    match eip3009::use_in(&receipt.logs, payment.token, payment.payer, payment.nonce) {
        AuthorizationUse::Unused => ReceiptEvidence::Unused,
        AuthorizationUse::Payment(found) if found == *payment => ReceiptEvidence::Paid,
        AuthorizationUse::Payment(_) | AuthorizationUse::NoTransfer => ReceiptEvidence::OtherTransfer,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use alloy::primitives::U256;
    use alloy::rpc::types::Log;

    use super::*;
    use crate::local::parsed::parse;
    use crate::testing::World;
    use crate::{Facilitator, Settlement};
    use coinslot_evm::TxReceipt;

    #[tokio::test]
    async fn a_success_without_the_exact_transfer_is_no_payment() {
        let world = World::start().await;
        let local = world.local().await;
        let request = world.payment();
        let Settlement::Settled { settlement: settled, .. } = local.settle(&request).await else {
            panic!("it settles")
        };
        let hash = settled.transaction.parse().expect("a hash");
        let receipt = local.state.chain.receipt(hash).await.expect("an answer").expect("a receipt");
        let payment = parse(&local.state, &request).expect("a payment");
        let moves = |log: &Log| eip3009::is_transferred_in(std::slice::from_ref(log), &payment.on_chain());
        let transfer = receipt.logs.iter().position(moves).expect("its transfer");
        for shared in [false, true] {
            let says = |logs: Vec<Log>| {
                let receipt = Arc::new(TxReceipt { logs, ..receipt.clone() });
                evidence_in(&Inclusion { receipt, shared }, &payment.on_chain())
            };
            assert_eq!(says(receipt.logs.clone()), ReceiptEvidence::Paid);
            // A token that does not revert on a used nonce writes no transfer.
            let mut without = receipt.logs.clone();
            without.remove(transfer);
            assert_eq!(says(without), ReceiptEvidence::OtherTransfer, "shared: {shared}");
            // A token that keeps a fee transfers less.
            let mut less = receipt.logs.clone();
            let short = payment.terms.amount - U256::from(1);
            less[transfer].inner.data.data = short.to_be_bytes::<32>().into();
            assert_eq!(says(less), ReceiptEvidence::OtherTransfer, "shared: {shared}");
        }
    }
}
