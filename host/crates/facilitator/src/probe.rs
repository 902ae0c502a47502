//! Asks the chain itself about a payment, however its settlement was answered. It only reads.
//!
//! Every account that sees a signature can submit it, and the money goes to `payTo` all the same: a transfer by another
//! account's transaction pays as well as a transfer by ours, unless it was made for another seller.

use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::B256;
use coinslot_evm::eip3009::Eip3009Payment;
use coinslot_evm::{AuthorizationState, Chain, ChainTrouble, LookupBounds};
use coinslot_x402::exact::ExactPayload;
use coinslot_x402::facilitator::PaymentRequest;
use coinslot_x402::price::Amount;
use coinslot_x402::{SettlementResponse, UnixTime};

use crate::calls::{Calls, Operation};
use crate::facilitator::Unavailable;
use crate::seller::{PaidBy, Seller, Senders};

/// The interval at which the newest block is read while nothing else reads it.
pub(crate) const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// The state of a payment on the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OnChain {
    /// The money moved in the block of this number, deep enough in the chain.
    Paid { settlement: SettlementResponse, block: u64 },
    /// The money moved in a block that is not deep enough yet.
    Shallow,
    /// The authorisation is unused, and the newest block that is deep enough is of this time.
    Unused { at: UnixTime },
    /// The payer has cancelled the authorisation, deep enough in the chain: no money moved by it, and none will.
    Canceled,
    /// The authorisation is used or cancelled, and no transaction that pays was found. The newest block that is deep
    /// enough is of this time. It is a report and no verdict: a node that lacks logs says the same. The payment is lost
    /// only when the chain's time is past the authorisation's end, and a later look says it again.
    Used { at: UnixTime },
    /// The chain cannot be asked now, for this reason.
    Unavailable(String),
}

/// Looks up payments on one chain.
#[derive(Clone, Debug)]
pub struct SettlementProbe {
    chain: Arc<Chain>,
    /// Blocks on top of each other, from the payment's own, until it counts.
    confirmations: u64,
    seller: Seller,
    senders: Senders,
    calls: Calls,
}

/// A payment that is looked for.
struct SoughtPayment {
    payment: Eip3009Payment,
    /// The end of the authorisation, in Unix seconds.
    valid_before: u64,
    max_timeout_seconds: u64,
    /// The network as the seller writes it.
    network: String,
}

impl SoughtPayment {
    fn of(request: &PaymentRequest) -> Option<Self> {
        let authorization = ExactPayload::parse(request.payload()).ok()?.authorization;
        Some(Self {
            payment: Eip3009Payment {
                token: request.asset().parse().ok()?,
                payer: authorization.from,
                nonce: authorization.nonce,
                pay_to: request.pay_to().parse().ok()?,
                amount: Amount::parse_atomic(request.amount()).ok()?.0,
            },
            valid_before: authorization.valid_before.saturating_to(),
            max_timeout_seconds: request.max_timeout_seconds(),
            network: request.network_name().to_owned(),
        })
    }

    /// The time before which no block can hold the payment: it was accepted at most `max_timeout_seconds` before its
    /// end, by clocks that may differ from the chain's, for which 600 seconds are ample.
    fn earliest(&self) -> u64 {
        self.valid_before.saturating_sub(self.max_timeout_seconds).saturating_sub(600)
    }

    fn paid(&self, transaction: B256) -> SettlementResponse {
        SettlementResponse {
            success: true,
            error_reason: None,
            error_message: None,
            transaction: transaction.to_string(),
            network: self.network.clone(),
            payer: Some(self.payment.payer.to_checksum(None)),
            amount: None,
            extensions: None,
            extra: None,
        }
    }
}

impl SettlementProbe {
    /// A probe on this chain, for a seller whose payments are sent by itself. `confirmations`: 1 means that the
    /// payment's own block is enough.
    pub fn new(chain: Arc<Chain>, confirmations: u64, seller: Seller) -> Self {
        Self { chain, confirmations: confirmations.max(1), seller, senders: Senders::Own, calls: Calls::default() }
    }

    /// The same, whose lookups are calls of this facilitator.
    pub fn observed(self, calls: Calls) -> Self {
        Self { calls, ..self }
    }

    /// The same, for a seller whose payments are sent by facilitators, too: their tags tell nothing.
    pub fn with_facilitators(self) -> Self {
        Self { senders: Senders::AndFacilitators, ..self }
    }

    /// Tells by the tag of its transaction who has sent a payment that [`Self::look_up`] found.
    pub async fn paid_by(&self, settlement: &SettlementResponse) -> Result<PaidBy, Unavailable> {
        let transaction = settlement.transaction.parse();
        let transaction = transaction.map_err(|_| Unavailable { message: "this is no transaction".to_owned() })?;
        Ok(self.seller.paid_by(&self.chain, transaction, self.senders).await?)
    }

    /// The seller for whom it looks.
    pub fn seller(&self) -> &Seller {
        &self.seller
    }

    /// The reason for which the chain cannot be read at the moment, as far as earlier reads showed it. It asks nothing.
    pub fn trouble(&self) -> Option<ChainTrouble> {
        self.chain.trouble()
    }

    /// Keeps [`Self::trouble`] true while nothing is looked up: reads the newest block every few seconds. It never
    /// returns; it is spawned once.
    pub async fn watch(&self) {
        loop {
            self.chain.look(LOOK_INTERVAL).await;
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    /// Looks up a payment. A transaction that is known to have been sent for it is read first, which costs one read.
    /// Otherwise it costs a few, and many only for an authorisation that was used long ago. All are of one block.
    pub async fn look_up(&self, request: &PaymentRequest, transaction: Option<&str>) -> OnChain {
        let Some(sought) = SoughtPayment::of(request) else {
            return OnChain::Unavailable("the payment cannot be read".to_owned());
        };
        let known: Option<B256> = transaction.and_then(|hash| hash.parse().ok());
        let bounds = LookupBounds {
            confirmations: self.confirmations,
            reached: 0,
            earliest: sought.earliest(),
            blocks: u64::MAX,
        };
        let call = self.calls.begin(Operation::Lookup);
        call.ended_with(match self.chain.payment_state(&sought.payment, known, bounds).await {
            Ok(AuthorizationState::Paid { transaction, block }) => {
                OnChain::Paid { settlement: sought.paid(transaction), block }
            }
            Ok(AuthorizationState::Shallow { .. }) => OnChain::Shallow,
            Ok(AuthorizationState::Unused { at, .. }) => OnChain::Unused { at: UnixTime(at) },
            Ok(AuthorizationState::Canceled) => OnChain::Canceled,
            Ok(AuthorizationState::Used { at } | AuthorizationState::PaidOtherwise { at, .. }) => {
                OnChain::Used { at: UnixTime(at) }
            }
            Err(error) => OnChain::Unavailable(error.to_string()),
        })
    }
}
