//! Asks the chain itself about a payment, however its settlement was answered. It only reads.
//!
//! Every account that sees a signature can submit it, and the money goes to `payTo` all the same: a transfer by another
//! account's transaction pays as well as a transfer by ours.

use std::sync::Arc;

use alloy::primitives::B256;
use coinslot_evm::eip3009::Eip3009Payment;
use coinslot_evm::{CallError, Chain};
use coinslot_x402::exact::ExactPayload;
use coinslot_x402::facilitator::PaymentRequest;
use coinslot_x402::price::Amount;
use coinslot_x402::{SettlementResponse, UnixTime};

/// The most blocks that one question for logs spans. Nodes limit it.
const SPAN: u64 = 2_000;

/// The state of a payment on the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OnChain {
    /// The money moved, deep enough in the chain.
    Paid(SettlementResponse),
    /// The money moved in a block that is not deep enough yet.
    Shallow,
    /// The authorisation is used or cancelled, and not for this payment: it will never pay for it.
    Spent,
    /// The authorisation is unused, and the newest block that is deep enough is of this time.
    Unused { at: UnixTime },
    /// The chain cannot be asked now, for this reason.
    Unavailable(String),
}

/// Looks up payments on one chain.
#[derive(Debug)]
pub struct SettlementProbe {
    chain: Arc<Chain>,
    /// Blocks on top of each other, from the payment's own, until it counts: at least 1.
    confirmations: u64,
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
    /// A probe on this chain. `confirmations`: 1 means that the payment's own block is enough.
    pub fn new(chain: Arc<Chain>, confirmations: u64) -> Self {
        Self { chain, confirmations: confirmations.max(1) }
    }

    /// Looks up a payment. It costs a few reads; many only for an authorisation that was used long ago.
    pub async fn look_up(&self, request: &PaymentRequest) -> OnChain {
        let Some(sought) = SoughtPayment::of(request) else {
            return OnChain::Unavailable("the payment cannot be read".to_owned());
        };
        self.seek(&sought).await.unwrap_or_else(|error| OnChain::Unavailable(error.to_string()))
    }

    async fn seek(&self, sought: &SoughtPayment) -> Result<OnChain, CallError> {
        let head = self.chain.block_number().await?;
        let deep = head.saturating_sub(self.confirmations - 1);
        // The time is read before the nonce: an authorisation that is used after this reading is used at a later time,
        // so "unused at this time" stays true.
        let at = self.chain.block_time(deep).await?;
        let Eip3009Payment { token, payer, nonce, .. } = sought.payment;
        if !self.chain.is_authorization_used(token, payer, nonce).await? {
            return Ok(match at {
                Some(at) => OnChain::Unused { at: UnixTime(at) },
                None => OnChain::Unavailable("the node does not have its own newest block".to_owned()),
            });
        }
        // Read again: the block that used the authorisation may be newer than `head`.
        let mut newest = self.chain.block_number().await?;
        loop {
            let oldest = newest.saturating_sub(SPAN - 1);
            match self.chain.find_payment(&sought.payment, oldest, newest).await? {
                Some((_, block)) if block > deep => return Ok(OnChain::Shallow),
                Some((hash, _)) => return Ok(OnChain::Paid(sought.paid(hash))),
                None if oldest == 0 => return Ok(OnChain::Spent),
                None => {}
            }
            if self.chain.block_time(oldest).await?.is_some_and(|at| at < sought.earliest()) {
                return Ok(OnChain::Spent);
            }
            newest = oldest - 1;
        }
    }
}
