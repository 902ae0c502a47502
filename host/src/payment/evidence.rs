//! Decides what the evidence of a settlement means: the one table for requests and for recovery.
//!
//! Each row of the table is a piece of evidence (what a facilitator said, or what the chain shows), each column an
//! origin: the request that has just sent the payment, or recovery, which looks at it later. Money is believed to have
//! moved, or to stay, only where the table says so; everything else stays open until the chain knows.
//!
//! | evidence | conclusion |
//! |---|---|
//! | logs that this process read | settled |
//! | a facilitator's success | settled; with a node, what the chain shows |
//! | a facilitator's refusal that cannot follow a broadcast | request: refused, and watched; with a node, if the chain calls the authorisation unused. Recovery: open, an earlier transaction may still wait for its block |
//! | our own transaction failed, and the authorisation is unused at its block | request: refused, and watched. Recovery: open |
//! | another refusal | open |
//! | no answer, or one that says nothing | open |
//! | provably not sent | request: released. Recovery: open, an earlier attempt may have sent it |
//! | the chain: paid, deep enough | settled |
//! | the chain: paid, not deep enough | open |
//! | the chain: unused at a time after `validBefore` | refused |
//! | the chain: unused before that | open |
//! | the chain: used, and no transaction that pays, after `validBefore`, in two looks | refused |
//! | the chain: the same earlier, or in one look | open |
//! | the chain cannot be read | open |
//!
//! Without a node nothing but a facilitator's word ends a payment that is open: see [`Situation::is_over`].
//!
//! Source: `host/docs/design.md`, rule 6.

use std::time::Duration;

use coinslot_facilitator::{Finality, OnChain, Proof, Settlement};
use coinslot_x402::{Reason, SettlementResponse, UnixTime};

/// The time after `validBefore` from which on an authorisation is dead by our own clock: blocks lag behind the clock by
/// seconds, not by minutes.
pub(super) const BLOCK_LAG: Duration = Duration::from_secs(120);

/// The looks that must find an authorisation used without a payment. A node that lags behind the others finds no log
/// for a moment.
const LOOKS: u32 = 2;

/// A piece of evidence about the settlement of one payment.
#[derive(Clone, Debug)]
pub(super) enum Evidence {
    /// The answer of the facilitator that was asked to settle.
    Facilitator(Settlement),
    /// The state of the payment on the chain.
    Chain(OnChain),
}

/// The circumstances under which evidence is judged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Situation {
    pub(super) asker: Asker,
    /// Set if the chain can be asked.
    pub(super) has_node: bool,
    /// The time from which the chain refuses the authorisation.
    pub(super) valid_before: UnixTime,
    pub(super) now: UnixTime,
    /// The looks before this one that found the authorisation used after `valid_before` without a payment.
    pub(super) looks_used: u32,
}

/// The work for which evidence is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asker {
    /// The request that the payment is for, which has sent it for the first time.
    Request,
    /// Recovery: the payment may have been sent before.
    Recovery,
}

/// The meaning of the evidence for the payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Conclusion {
    /// The money moved. `alone`: by a transaction that settles no other payment.
    Settled { settlement: SettlementResponse, alone: bool },
    /// The money did not move. `watch`: a transaction may have been sent all the same, so the chain is looked at once
    /// more when the authorisation is dead.
    Refused { reason: String, message: Option<String>, transaction: String, watch: bool },
    /// Nothing was sent: the claim is given back.
    NotSent { message: String },
    /// The facilitator's word alone is not enough: the chain decides, and until then `otherwise`.
    AskChain { transaction: Option<String>, otherwise: Box<Conclusion> },
    /// Nobody knows yet.
    Open { transaction: Option<String>, why: String },
}

impl Situation {
    /// True if no block takes the authorisation any more, by our own clock.
    fn is_over(&self) -> bool {
        self.now >= self.valid_before.plus(BLOCK_LAG.as_secs())
    }
}

/// Judges a piece of evidence, by the table above.
pub(super) fn conclude(evidence: Evidence, situation: Situation) -> Conclusion {
    match evidence {
        Evidence::Facilitator(settlement) => by_facilitator(settlement, situation),
        Evidence::Chain(on_chain) => by_chain(on_chain, situation),
    }
}

/// Judges what the chain shows beside the facilitator's word, `otherwise`. A refusal stands only beside an authorisation
/// that the chain calls unused: a used one may have been used by the very transfer, whatever the facilitator says.
pub(super) fn confirm(on_chain: OnChain, otherwise: Conclusion, situation: Situation) -> Conclusion {
    let unused = matches!(on_chain, OnChain::Unused { .. });
    match (by_chain(on_chain, situation), otherwise) {
        (settled @ Conclusion::Settled { .. }, _) => settled,
        (Conclusion::Open { why, .. }, Conclusion::Refused { transaction, reason, .. }) if !unused => {
            let transaction = (!transaction.is_empty()).then_some(transaction);
            Conclusion::Open { transaction, why: format!("refused: {reason}; {why}") }
        }
        (_, otherwise) => otherwise,
    }
}

fn by_facilitator(settlement: Settlement, situation: Situation) -> Conclusion {
    match settlement {
        Settlement::Settled { settlement, proof: Proof::Logs } => Conclusion::Settled { settlement, alone: false },
        Settlement::Settled { settlement, proof: Proof::Word { alone } } => {
            if !situation.has_node {
                return Conclusion::Settled { settlement, alone };
            }
            let why = "the facilitator says that it is settled, and the chain does not show it".to_owned();
            let transaction = Some(settlement.transaction);
            let otherwise = Box::new(Conclusion::Open { transaction: transaction.clone(), why });
            Conclusion::AskChain { transaction, otherwise }
        }
        Settlement::Refused { reason, message, transaction, finality } => {
            let sent = (!transaction.is_empty()).then(|| transaction.clone());
            let refused =
                Conclusion::Refused { reason: reason.clone(), message, transaction, watch: situation.has_node };
            let open = Conclusion::Open { transaction: sent.clone(), why: format!("refused: {reason}") };
            match (finality, situation.asker) {
                (Finality::Final, Asker::Request) if situation.has_node => {
                    Conclusion::AskChain { transaction: sent, otherwise: Box::new(refused) }
                }
                (Finality::Final, Asker::Request) => refused,
                (Finality::Open, Asker::Request) if situation.has_node => {
                    Conclusion::AskChain { transaction: sent, otherwise: Box::new(open) }
                }
                (Finality::Failed, Asker::Request) => refused,
                // Without a node the facilitator's word is all there is, once nothing can be sent any more. A used nonce
                // never means "not paid": the very settlement whose answer was lost may have used it.
                (_, Asker::Recovery)
                    if !situation.has_node && situation.is_over() && reason != Reason::NonceAlreadyUsed.as_str() =>
                {
                    refused
                }
                (Finality::Final | Finality::Failed | Finality::Open, Asker::Request | Asker::Recovery) => open,
            }
        }
        Settlement::Unknown { transaction, message } => Conclusion::Open { transaction, why: message },
        Settlement::NotSent { message } => match situation.asker {
            Asker::Request => Conclusion::NotSent { message },
            Asker::Recovery => Conclusion::Open { transaction: None, why: message },
        },
    }
}

fn by_chain(on_chain: OnChain, situation: Situation) -> Conclusion {
    let open = |why: &str| Conclusion::Open { transaction: None, why: why.to_owned() };
    let refused = |reason: Reason| Conclusion::Refused {
        reason: reason.as_str().to_owned(),
        message: None,
        transaction: String::new(),
        watch: false,
    };
    match on_chain {
        OnChain::Paid(settlement) => Conclusion::Settled { settlement, alone: false },
        OnChain::Shallow => open("its block is not deep enough yet"),
        OnChain::Unused { at } if at >= situation.valid_before => refused(Reason::ValidBefore),
        OnChain::Unused { .. } => open("the chain does not show it"),
        OnChain::Used { at } if at >= situation.valid_before && situation.looks_used + 1 >= LOOKS => {
            refused(Reason::NonceAlreadyUsed)
        }
        OnChain::Used { .. } => open("its authorization is used, and no transaction is found that pays"),
        OnChain::Unavailable(why) => Conclusion::Open { transaction: None, why },
    }
}

#[cfg(test)]
mod tests;
