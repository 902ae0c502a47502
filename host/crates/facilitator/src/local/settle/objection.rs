//! Compares an objection to a payment with the chain, before the payment is refused.

use std::time::Duration;

use alloy::primitives::B256;
use coinslot_evm::{AuthorizationState, CallError, PinnedBlock};
use coinslot_x402::exact::SignedBy;
use coinslot_x402::{Reason, UnixTime};

use super::SpendLock;
use super::outcome::{NotSettled, PayingTx, SubmittedBy};
use crate::facilitator::{Finality, PayerKind};
use crate::local::evidence::look_up;
use crate::local::rejection::{Judgement, Rejection};
use crate::local::verify::{check_signature, is_of_contract, signed_by};

/// An objection to a payment that was not settled, before the chain is asked.
pub(super) struct Objection {
    pub(super) rejection: Rejection,
    /// The transaction that failed, and its block.
    pub(super) failed: Option<(B256, u64)>,
    /// The account whose transaction the payment would be if the chain shows it.
    pub(super) by: SubmittedBy,
}

/// The end of one look at the chain.
enum Confirmed {
    Ended(Result<PayingTx, NotSettled>),
    /// The chain does not confirm the objection, and does not show the payment.
    Not,
}

/// Looks at the chain for a block that confirms a refusal, and the pause between two: together some block times of a
/// rollup.
const LOOKS: u32 = 6;
const LOOK_PAUSE: Duration = Duration::from_millis(500);

impl SpendLock<'_> {
    /// Refuses the payment, unless the chain shows that it was made, or may have been.
    pub(super) async fn refuse(&self, judgement: Judgement) -> Result<PayingTx, NotSettled> {
        let rejection = match judgement {
            Judgement::Rejected(rejection) => rejection,
            Judgement::Unavailable(error) if self.record.is_none() => return Err(NotSettled::NotSent(error.message)),
            Judgement::Unavailable(error) => {
                return Err(NotSettled::Unknown { transaction: None, message: error.message });
            }
        };
        match self.may_be_paid(&rejection).await {
            Ok(true) => self.hold_to_chain(Objection { rejection, failed: None, by: SubmittedBy::Others }).await,
            Ok(false) => Err(NotSettled::Refused { rejection, transaction: None, finality: Finality::Final }),
            Err(message) => Err(NotSettled::Unknown { transaction: None, message }),
        }
    }

    /// True if a payment that was made may look like the refused one. The look at the chain costs several reads, so
    /// that it is taken only at a payment that is signed by its payer and pays these terms. An error says why that is
    /// not known.
    async fn may_be_paid(&self, rejection: &Rejection) -> Result<bool, String> {
        if !self.payment.pays_the_terms() {
            return Ok(false);
        }
        match rejection.reason {
            // Before that time, and in a token without EIP-3009, it cannot have been used.
            Reason::ValidAfter | Reason::Eip3009NotSupported => Ok(false),
            // A contract may take back what it signed, also after the payment.
            Reason::InvalidSignature => {
                is_of_contract(self.local, self.payment).await.map_err(|error| error.to_string())
            }
            Reason::ValidBefore => match check_signature(self.local, self.payment).await {
                Ok(_) => Ok(true),
                Err(Judgement::Rejected(_)) => Ok(false),
                Err(Judgement::Unavailable(error)) => Err(error.message),
            },
            _ => Ok(true),
        }
    }

    /// Asks the chain whether the payment was made all the same.
    ///
    /// A refusal is confirmed at the very block at which the authorisation is unused. Where it is not, the node was
    /// ahead of that block when it refused, with this payment in between, or another payment of the payer is not in a
    /// block yet: a later block shows it.
    pub(super) async fn hold_to_chain(&self, objection: Objection) -> Result<PayingTx, NotSettled> {
        let transaction = objection.failed.map(|(hash, _)| hash);
        for look in 0..LOOKS {
            if look > 0 {
                tokio::time::sleep(LOOK_PAUSE).await;
            }
            match self.look_at_chain(&objection).await {
                Confirmed::Ended(ended) => return ended,
                Confirmed::Not => {}
            }
        }
        let message = "the node refuses the payment, and shows no block in which it would fail".to_owned();
        Err(NotSettled::Unknown { transaction, message })
    }

    async fn look_at_chain(&self, objection: &Objection) -> Confirmed {
        let Objection { rejection, failed, by } = objection;
        let (transaction, reached) = failed.unzip();
        let unknown = |transaction: Option<B256>, message: String| {
            Confirmed::Ended(Err(NotSettled::Unknown { transaction, message }))
        };
        let finality = if transaction.is_some() { Finality::Failed } else { Finality::Final };
        let refused = || {
            let rejection = rejection.clone();
            Confirmed::Ended(Err(NotSettled::Refused { rejection, transaction, finality }))
        };
        let state = match look_up(self.local, self.payment, None, reached.unwrap_or_default()).await {
            Ok(state) => state,
            Err(error) => return unknown(transaction, error.to_string()),
        };
        match state {
            // A signature that its payer denies gets no success.
            AuthorizationState::Paid { .. } if rejection.reason == Reason::InvalidSignature => {
                unknown(transaction, "its payer's contract denies the signature".to_owned())
            }
            AuthorizationState::Paid { transaction, block } => {
                Confirmed::Ended(self.found(transaction, block, *by).await)
            }
            AuthorizationState::Shallow { transaction } => {
                unknown(Some(transaction), "it was paid in a block that is not deep enough yet".to_owned())
            }
            AuthorizationState::PaidOtherwise { transaction: other, .. } if Some(other) == transaction => refused(),
            AuthorizationState::PaidOtherwise { .. } | AuthorizationState::Canceled => {
                Confirmed::Ended(Err(NotSettled::Refused {
                    rejection: self.payment.rejected(Reason::NonceAlreadyUsed),
                    transaction,
                    finality: Finality::Final,
                }))
            }
            AuthorizationState::Used { at } => {
                Confirmed::Ended(Err(NotSettled::Used { transaction, at: UnixTime(at) }))
            }
            AuthorizationState::Unused { newest, .. } => {
                match self.is_refused_at(rejection, transaction, &newest).await {
                    Ok(true) => refused(),
                    Ok(false) => Confirmed::Not,
                    Err(error) => unknown(transaction, error.to_string()),
                }
            }
        }
    }

    /// Asks whether a refusal holds at a block at which the authorisation is unused.
    async fn is_refused_at(
        &self,
        rejection: &Rejection,
        failed: Option<B256>,
        block: &PinnedBlock,
    ) -> Result<bool, CallError> {
        match rejection.reason {
            // The failed transaction's own block is among those that the node has.
            _ if failed.is_some() => Ok(true),
            Reason::NonceAlreadyUsed => Ok(false),
            // A wallet's code may do something else when gas is free: its refusal stands.
            Reason::SimulationFailed | Reason::InsufficientBalance if signed_by(self.payment) == SignedBy::Payer => {
                let data = self.payment.transfer(PayerKind::Account).data();
                match self.local.chain.run_at(self.payment.token.address, data, block).await {
                    Ok(_) => Ok(false),
                    Err(CallError::Reverted(_)) => Ok(true),
                    Err(error) => Err(error),
                }
            }
            _ => Ok(true),
        }
    }
}
