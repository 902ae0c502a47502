//! What the chain says about a payment that was made: by our transaction, or by somebody else's with
//! the same authorisation (whoever sees a signature can submit it; the money goes to `payTo` all the
//! same).

use alloy::primitives::{B256, U256};
use alloy::rpc::types::{Filter, Log};
use alloy::sol_types::SolEvent;

use super::Local;
use super::claim::Claim;
use crate::chain::evm::abi::IEip3009::{AuthorizationUsed, Transfer, authorizationStateCall};
use crate::chain::evm::{CallError, Receipt};

impl Local {
    /// Whether the authorisation is used or cancelled.
    pub(super) async fn is_used(&self, claim: &Claim<'_>) -> Result<bool, CallError> {
        let call =
            authorizationStateCall { authorizer: claim.authorization().from, nonce: claim.authorization().nonce };
        self.chain.call(claim.token.address, &call, None).await
    }

    /// The transaction that used this authorisation for this payment, among recent blocks.
    ///
    /// Somebody else's transaction may do many things, so a transfer in it is not enough: it must be
    /// the log right after the authorisation's own, as FiatToken writes them.
    pub(super) async fn find(&self, claim: &Claim<'_>) -> Result<Option<B256>, CallError> {
        let authorization = claim.authorization();
        let newest = self.chain.block_number().await?;
        let filter = Filter::new()
            .address(claim.token.address)
            .event_signature(AuthorizationUsed::SIGNATURE_HASH)
            .topic1(authorization.from.into_word())
            .topic2(authorization.nonce)
            .from_block(newest.saturating_sub(self.lookback_blocks));
        for used in self.chain.logs(&filter).await? {
            let (Some(hash), Some(index)) = (used.transaction_hash, used.log_index) else {
                continue;
            };
            let Some(receipt) = self.chain.receipt(hash).await? else {
                continue;
            };
            let mut logs = receipt.logs.iter();
            if receipt.succeeded() && logs.any(|log| log.log_index == Some(index + 1) && is_transfer(claim, log)) {
                return Ok(Some(hash));
            }
        }
        Ok(None)
    }
}

/// Whether the receipt of a transaction that does nothing but this payment shows the transfer.
/// Success is not enough: there are tokens that do not revert on a used nonce, and tokens that keep
/// a fee.
pub(super) fn shows_transfer(claim: &Claim<'_>, receipt: &Receipt) -> bool {
    receipt.succeeded() && receipt.logs.iter().any(|log| is_transfer(claim, log))
}

fn is_transfer(claim: &Claim<'_>, log: &Log) -> bool {
    let topics = [Transfer::SIGNATURE_HASH, claim.authorization().from.into_word(), claim.terms.pay_to.into_word()];
    log.address() == claim.token.address
        && log.topics() == topics
        && U256::try_from_be_slice(&log.data().data) == Some(claim.terms.amount)
}
