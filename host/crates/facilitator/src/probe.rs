//! What the chain itself says about a payment, however its settlement was answered. Reads only.
//!
//! Whoever sees a signature can submit it, and the money goes to `payTo` all the same: a transfer by
//! somebody else's transaction pays as well as one of ours.

use std::sync::Arc;

use alloy::primitives::{Address, B256, U256};
use alloy::rpc::types::{Filter, Log};
use alloy::sol_types::SolEvent;

use coinslot_evm::abi::IEip3009::{AuthorizationUsed, Transfer, authorizationStateCall};
use coinslot_evm::{CallError, Chain};
use coinslot_x402::exact::{Authorization, ExactPayload};
use coinslot_x402::facilitator::PaymentRequest;
use coinslot_x402::price::Amount;
use coinslot_x402::{SettlementResponse, UnixTime};

/// The most blocks that one question for logs spans. Nodes limit it.
const SPAN: u64 = 2_000;

/// What was seen of a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OnChain {
    /// The money moved, deep enough in the chain.
    Paid(SettlementResponse),
    /// The money moved in a block that is not deep enough yet.
    Shallow,
    /// The authorisation is used or cancelled, and not for this payment: it will never pay it.
    Spent,
    /// The authorisation is unused, and the newest block that is deep enough is of this time.
    Unused { at: UnixTime },
    /// Nobody can tell now, and why.
    Nobody(String),
}

/// Reads one chain.
#[derive(Debug)]
pub struct SettlementProbe {
    chain: Arc<Chain>,
    /// Blocks on top of each other, from the payment's own, until it counts: at least 1.
    confirmations: u64,
}

/// A payment as a chain shows it.
#[derive(Debug)]
pub(super) struct Transferred {
    pub(super) token: Address,
    pub(super) pay_to: Address,
    pub(super) amount: U256,
    pub(super) authorization: Authorization,
}

impl Transferred {
    /// Whether the authorisation is used or cancelled.
    pub(super) async fn is_used(&self, chain: &Chain) -> Result<bool, CallError> {
        let call = authorizationStateCall { authorizer: self.authorization.from, nonce: self.authorization.nonce };
        chain.call(self.token, &call, None).await
    }

    pub(super) fn is_use(&self, log: &Log) -> bool {
        let topics = [AuthorizationUsed::SIGNATURE_HASH, self.authorization.from.into_word(), self.authorization.nonce];
        log.address() == self.token && log.topics() == topics
    }

    pub(super) fn is_transfer(&self, log: &Log) -> bool {
        let topics = [Transfer::SIGNATURE_HASH, self.authorization.from.into_word(), self.pay_to.into_word()];
        log.address() == self.token
            && log.topics() == topics
            && U256::try_from_be_slice(&log.data().data) == Some(self.amount)
    }

    /// The transaction of these blocks that used the authorisation for this payment, and its block.
    ///
    /// A transaction may do many things, so a transfer in it is not enough: it must be the log right
    /// after the authorisation's own, as FiatToken writes them.
    pub(super) async fn within(
        &self,
        chain: &Chain,
        oldest: u64,
        newest: u64,
    ) -> Result<Option<(B256, u64)>, CallError> {
        let filter = Filter::new()
            .address(self.token)
            .event_signature(AuthorizationUsed::SIGNATURE_HASH)
            .topic1(self.authorization.from.into_word())
            .topic2(self.authorization.nonce)
            .from_block(oldest)
            .to_block(newest);
        for used in chain.logs(&filter).await? {
            let (Some(hash), Some(index)) = (used.transaction_hash, used.log_index) else { continue };
            let Some(receipt) = chain.receipt(hash).await? else { continue };
            let mut logs = receipt.logs.iter();
            if receipt.succeeded() && logs.any(|log| log.log_index == Some(index + 1) && self.is_transfer(log)) {
                return Ok(Some((hash, receipt.block_number.to())));
            }
        }
        Ok(None)
    }
}

/// What is looked for.
struct Sought {
    payment: Transferred,
    max_timeout_seconds: u64,
    network: String,
}

impl Sought {
    fn of(request: &PaymentRequest) -> Option<Self> {
        let (payload, asset, pay_to, amount, max_timeout_seconds, network) = match request {
            PaymentRequest::V1 { payload, requirements: r } => (
                &payload.payload,
                &r.asset,
                &r.pay_to,
                &r.max_amount_required,
                r.max_timeout_seconds,
                r.network.clone(),
            ),
            PaymentRequest::V2 { payload, requirements: r } => {
                (&payload.payload, &r.asset, &r.pay_to, &r.amount, r.max_timeout_seconds, r.network.to_string())
            }
        };
        let payment = Transferred {
            token: asset.parse().ok()?,
            pay_to: pay_to.parse().ok()?,
            amount: Amount::parse_atomic(amount).ok()?.0,
            authorization: ExactPayload::parse(payload).ok()?.authorization,
        };
        Some(Self { payment, max_timeout_seconds, network })
    }

    /// No block before this time can hold the payment: it was offered at most so long before its end.
    fn earliest(&self) -> u64 {
        let valid_before = u64::try_from(self.payment.authorization.valid_before).unwrap_or(u64::MAX);
        valid_before.saturating_sub(self.max_timeout_seconds).saturating_sub(600)
    }

    fn paid(&self, transaction: B256) -> SettlementResponse {
        SettlementResponse {
            success: true,
            error_reason: None,
            error_message: None,
            transaction: transaction.to_string(),
            network: self.network.clone(),
            payer: Some(self.payment.authorization.from.to_checksum(None)),
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

    /// What became of the payment. Costs a few reads; many only for a payment that was used long ago.
    pub async fn look_up(&self, request: &PaymentRequest) -> OnChain {
        let Some(sought) = Sought::of(request) else {
            return OnChain::Nobody("the payment cannot be read".to_owned());
        };
        self.seek(&sought).await.unwrap_or_else(|error| OnChain::Nobody(error.to_string()))
    }

    async fn seek(&self, sought: &Sought) -> Result<OnChain, CallError> {
        let head = self.chain.block_number().await?;
        let deep = head.saturating_sub(self.confirmations - 1);
        // Time first: whatever is used after this question is younger than the answer.
        let at = self.chain.block_time(deep).await?;
        if !sought.payment.is_used(&self.chain).await? {
            return Ok(match at {
                Some(at) => OnChain::Unused { at: UnixTime(at) },
                None => OnChain::Nobody("the node does not have its own newest block".to_owned()),
            });
        }
        let mut newest = self.chain.block_number().await?;
        loop {
            let oldest = newest.saturating_sub(SPAN - 1);
            match sought.payment.within(&self.chain, oldest, newest).await? {
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
