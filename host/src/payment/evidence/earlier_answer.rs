//! Classifies the answer that a facilitator gave earlier, as the ledger remembers it.

use coinslot_x402::Reason;

/// The specification's word for a transaction that failed (x402 version 2, section 9). Shipped facilitators for EVM
/// have words of their own.
const SPECIFIED_FAILURE: &str = "invalid_transaction_state";

/// The earlier answer of a facilitator about an open payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::payment) enum EarlierAnswer {
    /// The request's sending had no answer at all: it was lost, or this host died.
    Absent,
    /// The transfer failed, or would have.
    Failed,
    /// Another refusal, a used authorisation among them, or an answer that is none.
    Other,
}

impl EarlierAnswer {
    /// The answer that a reason in the ledger stands for: see [`coinslot_ledger::Step::Unknown`].
    pub(in crate::payment) fn of(reason: Option<&str>) -> Self {
        let Some(reason) = reason else { return Self::Absent };
        if reason == SPECIFIED_FAILURE {
            return Self::Failed;
        }
        match Reason::parse(reason) {
            Some(Reason::TransactionFailed | Reason::SimulationFailed | Reason::TransferEventMismatch) => Self::Failed,
            _ => Self::Other,
        }
    }
}
