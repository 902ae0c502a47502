//! Pairs an asset that is taken with the facilitator that settles it.

use std::sync::Arc;

use alloy::primitives::Address;
use coinslot_facilitator::{Facilitator, Readiness, SettlementProbe};
use coinslot_ledger::PaymentId;
use coinslot_x402::exact::Domain;
use coinslot_x402::price::{Amount, Asset};

use super::identity::same_address;

/// One asset that is taken, and the facilitator that settles it.
#[derive(Clone, Debug)]
pub struct PaymentMethod {
    /// CAIP-2 network and contract, as in [`coinslot_x402::price::Asset`].
    pub asset: Arc<Asset>,
    /// The contract's address.
    pub contract: Address,
    /// The token's EIP-712 domain.
    pub domain: Domain,
    /// Verifies and settles payments in this asset.
    pub facilitator: Arc<dyn Facilitator>,
    /// Set if the facilitator can ask a contract at the payer's address (ERC-1271). If not, a signature that is not
    /// the payer's own is refused without asking the facilitator.
    pub contract_payers: bool,
    /// Reads the chain, whose word counts more than a facilitator's.
    pub probe: Option<Arc<SettlementProbe>>,
    /// The greatest sum that may be claimed and not settled, in atomic units. Above it payments are settled first.
    pub max_unsettled: Amount,
}

impl PaymentMethod {
    /// True if the payment is in this method's asset.
    pub(super) fn takes(&self, id: &PaymentId) -> bool {
        self.asset.network == *id.network() && same_address(&self.asset.address, id.asset())
    }

    /// True if the facilitator would settle a payment now, as far as is known without asking it.
    pub(super) fn is_ready(&self) -> bool {
        self.facilitator.readiness() == Readiness::Ready
    }
}
