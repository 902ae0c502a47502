//! Reads what the chain shows of a payment, and by whom it was sent.

use coinslot_facilitator::{OnChain, PaidBy, SettlementProbe};
use coinslot_ledger::Reported;
use coinslot_x402::facilitator::PaymentRequest;

/// The state of a payment on the chain, as one look found it.
#[derive(Clone, Debug)]
pub(in crate::payment) struct ChainEvidence {
    pub(in crate::payment) on_chain: OnChain,
    /// The sender of the transaction that paid. It means something only beside [`OnChain::Paid`].
    pub(super) by: PaidBy,
    /// Others sell for the same receiver.
    pub(super) shares_receiver: bool,
}

impl ChainEvidence {
    /// Looks up a payment, and by whom it was sent. `transaction` may have made it.
    pub(in crate::payment) async fn look_up(
        probe: &SettlementProbe,
        request: &PaymentRequest,
        transaction: Option<&str>,
    ) -> Self {
        let shares_receiver = probe.seller().shares_receiver;
        let on_chain = probe.look_up(request, transaction).await;
        let shown = |on_chain, by| Self { on_chain, by, shares_receiver };
        let OnChain::Paid { settlement, .. } = &on_chain else { return shown(on_chain, PaidBy::Untagged) };
        match probe.paid_by(settlement).await {
            Ok(by) => {
                if by == PaidBy::OtherSeller && !shares_receiver {
                    tracing::warn!(
                        transaction = settlement.transaction,
                        "another host's tag is on a payment to this host: if another host sells for its receiver, write `receiver_shared = true` in both"
                    );
                }
                shown(on_chain, by)
            }
            Err(error) => shown(OnChain::Unavailable(error.message), PaidBy::Untagged),
        }
    }

    /// True if a payment that is shown was made for a sale of this host.
    pub(super) fn is_for_us(&self, reported: Option<Reported>) -> bool {
        match (self.by, reported) {
            (PaidBy::Us, _) | (PaidBy::Untagged, Some(Reported::Settled)) => true,
            // See `Seller::counts`.
            (PaidBy::OtherSeller, _) | (PaidBy::Untagged, Some(Reported::UsedBefore) | None) => !self.shares_receiver,
        }
    }
}
