//! Decides what the evidence of a settlement means: the one table for requests and for recovery.
//!
//! Each row of the table is a piece of evidence: what a facilitator said, or what the chain shows. Some mean one thing
//! for the request that has just sent the payment, and another for recovery, which looks at it later. Money is believed
//! to have moved, or to stay, only where the table says so; everything else stays open until the chain shows its end.
//!
//! | evidence | conclusion |
//! |---|---|
//! | logs that this process read | settled |
//! | a facilitator's success | settled; with a node, what the chain shows |
//! | a facilitator's refusal that cannot follow a broadcast | request: refused, and watched; with a node, if the chain calls the authorisation unused. Recovery: open, an earlier transaction may still wait for its block |
//! | our own transaction failed, and the authorisation is unused at its block | request: refused, and watched. Recovery: open |
//! | a facilitator: used before it was asked for the first time | as another refusal. With a node and a shared receiver: settled elsewhere, if the chain shows a payment that is not by our own transaction |
//! | our own facilitator found a payment for another seller | settled elsewhere |
//! | another refusal | request: open, and the reason is remembered. Recovery with a node: open. Recovery without one: the table below |
//! | no answer, or one that says nothing | open |
//! | provably not sent | request: released. Recovery: open, an earlier attempt may have sent it |
//! | the chain: paid, deep enough, by our own transaction | settled |
//! | the chain: paid, by a transaction with another seller's tag | settled; settled elsewhere if the receiver is shared |
//! | the chain: paid, by a transaction without a seller's tag | settled; settled elsewhere if the receiver is shared and no facilitator reported its success |
//! | the chain: paid, not deep enough | open |
//! | the chain: cancelled, deep enough | refused |
//! | the chain: unused at a time after `validBefore` | refused |
//! | the chain: unused before that | open |
//! | the chain: used, and no transaction that pays, after `validBefore`, in two looks | refused |
//! | the chain: the same earlier, or in one look | open |
//! | the chain cannot be read | open |
//!
//! Settled elsewhere: the money moved to our receiver, for a sale of another host with the same one. The payment buys
//! nothing here.
//!
//! Without a node nothing but a facilitator's word ends a payment that is open. What a refusal of recovery's sending
//! means depends on how the request's own sending ended. *Over* means: no block takes the authorisation any more.
//!
//! | the request's sending | the facilitator now says | conclusion |
//! |---|---|---|
//! | had no answer at all | any refusal | open; once over, undecidable |
//! | was refused because the transfer failed | the authorisation is used | open, and remembered; once over, undecidable |
//! | | another refusal | open; once over, refused |
//! | had another answer, or a used authorisation is remembered | any refusal | open; once over, undecidable |
//!
//! The rows weigh a payer who is charged for nothing against a seller whose answer is taken for nothing:
//!
//! - A sending without an answer may have moved the money, and a later refusal is about the later sending alone: "too
//!   late", "the balance is too low" and "the transfer would fail" are just what a facilitator says after the first one
//!   succeeded. So none of them becomes "refused", which tells the payer that nothing was charged and to sign anew.
//! - A used authorisation is no proof of payment: a payer can use its own nonce for a transfer to itself, for many
//!   payments at once while a facilitator is slow. But the lost sending may have used it, too, and so may another
//!   account that submitted the same transfer first, so it is not called refused either.
//! - An undecidable payment stays unknown. Its payer is neither told that nothing was charged nor asked to pay anew,
//!   its answer is not given away, and a node that is configured later decides it.
//!
//! Source: `host/docs/design.md`, rule 6.

mod chain_evidence;
mod earlier_answer;
#[cfg(test)]
mod tests;

use std::time::Duration;

use coinslot_facilitator::{Finality, OnChain, Proof, Settlement};
use coinslot_ledger::Reported;
use coinslot_x402::{Reason, SettlementResponse, UnixTime};

pub(super) use chain_evidence::ChainEvidence;
pub(super) use earlier_answer::EarlierAnswer;

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
    Chain(ChainEvidence),
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
    /// The earlier answer of a facilitator about the payment.
    pub(super) earlier: EarlierAnswer,
    /// The word of the facilitator by which a payment that the chain shows is judged.
    pub(super) reported: Option<Reported>,
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
    /// The money moved. `alone`: by a transaction that settles no other payment. `block`: its block, if a node showed it.
    Settled { settlement: SettlementResponse, alone: bool, block: Option<u64> },
    /// The money did not move. `watch`: a transaction may have been sent all the same, so the chain is looked at once
    /// more when the authorisation is dead.
    Refused { reason: String, message: Option<String>, transaction: String, watch: bool },
    /// The money moved, by this transaction if it is known, for a sale of another host with the same receiver.
    SettledElsewhere { transaction: Option<String> },
    /// Nothing was sent: the claim is given back.
    NotSent { message: String },
    /// The facilitator's word alone is not enough: the chain decides, and until then `otherwise`.
    AskChain { transaction: Option<String>, reported: Option<Reported>, otherwise: Box<Conclusion> },
    /// The end is not known yet. `answer` and `reported`: what the facilitator said, if the ledger is to remember it.
    Open { transaction: Option<String>, why: String, answer: Option<String>, reported: Option<Reported> },
    /// The end cannot be found out any more, unless a node is configured.
    Undecidable { reason: String },
}

impl Situation {
    /// True if no block takes the authorisation any more, by our own clock.
    pub(super) fn is_over(&self) -> bool {
        self.now >= self.valid_before.plus(BLOCK_LAG.as_secs())
    }
}

/// Judges a piece of evidence, by the table above.
pub(super) fn conclude(evidence: Evidence, situation: Situation) -> Conclusion {
    match evidence {
        Evidence::Facilitator(settlement) => by_facilitator(settlement, situation),
        Evidence::Chain(shown) => by_chain(shown, situation),
    }
}

/// Judges what the chain shows beside the facilitator's word, `otherwise`. A refusal stands only beside an
/// authorisation that the chain calls unused: a used one may have been used by the very transfer, whatever the
/// facilitator says.
pub(super) fn confirm(shown: ChainEvidence, otherwise: Conclusion, situation: Situation) -> Conclusion {
    let unused = matches!(shown.on_chain, OnChain::Unused { .. });
    let is_canceled = matches!(shown.on_chain, OnChain::Canceled);
    match (by_chain(shown, situation), otherwise) {
        (ended @ (Conclusion::Settled { .. } | Conclusion::SettledElsewhere { .. }), _) => ended,
        (ended @ Conclusion::Refused { .. }, Conclusion::Open { .. }) if is_canceled => ended,
        (Conclusion::Open { why, .. }, Conclusion::Refused { transaction, reason, .. }) if !unused => {
            let transaction = (!transaction.is_empty()).then_some(transaction);
            let reported = situation.reported;
            Conclusion::Open { transaction, why: format!("refused: {reason}; {why}"), answer: None, reported }
        }
        (_, otherwise) => otherwise,
    }
}

fn by_facilitator(settlement: Settlement, situation: Situation) -> Conclusion {
    match settlement {
        Settlement::Settled { settlement, proof: Proof::Logs { block } } => {
            Conclusion::Settled { settlement, alone: false, block: Some(block) }
        }
        Settlement::Settled { settlement, proof: Proof::Word { alone } } => {
            if !situation.has_node {
                return Conclusion::Settled { settlement, alone, block: None };
            }
            let why = "the facilitator says that it is settled, and the chain does not show it".to_owned();
            let (transaction, reported) = (Some(settlement.transaction), Some(Reported::Settled));
            let otherwise =
                Box::new(Conclusion::Open { transaction: transaction.clone(), why, answer: None, reported });
            Conclusion::AskChain { transaction, reported, otherwise }
        }
        Settlement::SettledElsewhere { transaction } => Conclusion::SettledElsewhere { transaction: Some(transaction) },
        Settlement::Refused { reason, message, transaction, finality } => {
            let refusal = FacilitatorRefusal { reason, message, transaction };
            match situation.asker {
                Asker::Request => refused_at_once(refusal, finality, situation),
                Asker::Recovery => refused_again(refusal, situation),
            }
        }
        Settlement::Unknown { transaction, message, unanswered } => {
            let answer = (situation.asker == Asker::Request && !unanswered).then(|| message.clone());
            Conclusion::Open { transaction, why: message, answer, reported: None }
        }
        Settlement::NotSent { message } => match situation.asker {
            Asker::Request => Conclusion::NotSent { message },
            Asker::Recovery => Conclusion::Open { transaction: None, why: message, answer: None, reported: None },
        },
    }
}

/// A refusal as a facilitator gives it.
struct FacilitatorRefusal {
    reason: String,
    message: Option<String>,
    /// The transaction that it names; empty if it names none.
    transaction: String,
}

impl FacilitatorRefusal {
    fn stands(self, watch: bool) -> Conclusion {
        let Self { reason, message, transaction } = self;
        Conclusion::Refused { reason, message, transaction, watch }
    }

    fn stays_open(self, reported: Option<Reported>) -> Conclusion {
        let Self { reason, transaction, .. } = self;
        let transaction = (!transaction.is_empty()).then_some(transaction);
        Conclusion::Open { transaction, why: format!("refused: {reason}"), answer: Some(reason), reported }
    }
}

/// Judges a refusal of the request's own sending. It was the first one: where the authorisation was used before it, and
/// the chain shows a payment, another account has sent that: another seller, if the receiver is shared. Without a node
/// the payer may as well have cancelled it.
fn refused_at_once(refusal: FacilitatorRefusal, finality: Finality, situation: Situation) -> Conclusion {
    let transaction = (!refusal.transaction.is_empty()).then(|| refusal.transaction.clone());
    let reported = (finality == Finality::UsedBefore).then_some(Reported::UsedBefore);
    let otherwise = match finality {
        Finality::Final | Finality::Failed => refusal.stands(situation.has_node),
        Finality::UsedBefore | Finality::Open => refusal.stays_open(reported),
    };
    match finality {
        Finality::Final | Finality::Open | Finality::UsedBefore if situation.has_node => {
            Conclusion::AskChain { transaction, reported, otherwise: Box::new(otherwise) }
        }
        Finality::Final | Finality::Open | Finality::UsedBefore | Finality::Failed => otherwise,
    }
}

/// Judges a refusal of a sending by recovery. With a node the chain decides, at each look. Without one the second table
/// of this module does.
fn refused_again(refusal: FacilitatorRefusal, situation: Situation) -> Conclusion {
    let open = |answer: Option<String>| Conclusion::Open {
        transaction: None,
        why: format!("refused: {}", refusal.reason),
        answer,
        reported: None,
    };
    if situation.has_node {
        return open(None);
    }
    let is_used = refusal.reason == Reason::NonceAlreadyUsed.as_str();
    // It is settled or being settled, and the reason does not say by which sending.
    let is_duplicate = refusal.reason == Reason::DuplicateSettlement.as_str();
    match (situation.earlier, situation.is_over()) {
        (EarlierAnswer::Failed, true) if !is_used && !is_duplicate => refusal.stands(false),
        (EarlierAnswer::Failed, false) if is_used => open(Some(refusal.reason.clone())),
        (EarlierAnswer::Absent | EarlierAnswer::Failed | EarlierAnswer::Other, true) => {
            Conclusion::Undecidable { reason: refusal.reason }
        }
        (EarlierAnswer::Absent | EarlierAnswer::Failed | EarlierAnswer::Other, false) => open(None),
    }
}

fn by_chain(shown: ChainEvidence, situation: Situation) -> Conclusion {
    let open = |why: &str| Conclusion::Open { transaction: None, why: why.to_owned(), answer: None, reported: None };
    let refused = |reason: Reason| Conclusion::Refused {
        reason: reason.as_str().to_owned(),
        message: None,
        transaction: String::new(),
        watch: false,
    };
    let is_for_us = shown.is_for_us(situation.reported);
    match shown.on_chain {
        OnChain::Paid { settlement, block } if is_for_us => {
            Conclusion::Settled { settlement, alone: false, block: Some(block) }
        }
        OnChain::Paid { settlement, .. } => Conclusion::SettledElsewhere { transaction: Some(settlement.transaction) },
        OnChain::Shallow => open("its block is not deep enough yet"),
        // The reason by which facilitators call it, too.
        OnChain::Canceled => refused(Reason::NonceAlreadyUsed),
        OnChain::Unused { at } if at >= situation.valid_before => refused(Reason::ValidBefore),
        OnChain::Unused { .. } => open("the chain does not show it"),
        OnChain::Used { at } if at >= situation.valid_before && situation.looks_used + 1 >= LOOKS => {
            refused(Reason::NonceAlreadyUsed)
        }
        OnChain::Used { .. } => open("its authorization is used, and no transaction is found that pays"),
        OnChain::Unavailable(why) => Conclusion::Open { transaction: None, why, answer: None, reported: None },
    }
}
