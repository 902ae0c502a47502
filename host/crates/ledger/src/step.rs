//! The steps of a payment after its claim, and the state diagram that they make.

use std::time::Duration;

use coinslot_x402::{Flow, SettlementResponse};

use crate::{PaymentState, StoredAnswer};

/// One step of a payment: what happened, with what the ledger keeps of it.
///
/// ```text
/// authorization   reserved [-> executing] -> settling [-> unknown] -> settled -> delivered
///                                                               \-> refused [-> owed]
/// upfront         reserved -> settling [-> unknown] -> executing -> settled -> delivered
///                                               \-> refused   \-> owed -> executing ..
/// refund          owed -> refunding -> refunded
///                                 \-> owed
/// ```
///
/// An unknown row can stay unknown for good: see [`Step::Undecidable`].
///
/// `Step::next` is this diagram as a table. Three transitions are no step: a claim makes a row `reserved`, the claim of
/// an owed payment makes its row `executing` again, and the end of a lease ([`crate::Ledger::expire`]). Neither are those of
/// a refund: [`crate::Ledger::begin_refund`], [`crate::Ledger::end_refund`].
///
/// A refusal that is watched is looked at once more when the authorisation has expired. If the money moved after all,
/// its answer is gone, and the row becomes `owed` in both flows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The claim is given up, before anything was sent for settlement. The row is deleted.
    Released,
    /// The guest failed before any money moved: the claim is given up, and the row deleted, as by [`Step::Released`]. A
    /// line with the reason is kept for [`crate::reports`].
    Failed { reason: String },
    /// The guest is about to run, before any money moved. A crash from here on ends the payment, once the step is
    /// written.
    Executing,
    /// Settlement is about to be sent for the answer that the guest made. From here on only the chain
    /// knows how it ends. The step may follow the claim directly: [`Step::Executing`] is only noted, and can be lost.
    Settling {
        /// JSON of the facilitator request.
        request: String,
        answer: StoredAnswer,
    },
    /// Settlement is about to be sent before the guest runs. Whatever flow was claimed, it is upfront now.
    SettlingUpfront {
        /// JSON of the facilitator request.
        request: String,
    },
    /// The settlement was provably not sent: the claim is given up after all. The row is deleted.
    NotSent,
    /// The request that sent the settlement does not know its end: recovery finds out. Recovery takes the step again
    /// for what it has learnt. Each field replaces what the row has, unless it is `None`.
    Unknown {
        transaction: Option<String>,
        /// The reason with which a facilitator has refused the payment, if one has.
        reason: Option<String>,
        /// The word of a facilitator by which a payment that the chain shows later is judged.
        reported: Option<Reported>,
    },
    /// The authorisation is dead, and no one who can be asked knows whether the money moved. The row stays unknown, and
    /// is looked at again when the ledger is opened the next time: a node may be configured by then. `reason` as in
    /// [`Step::Unknown`].
    Undecidable { reason: Option<String> },
    /// The money moved. In the authorization flow the kept answer is bought. In the upfront flow the guest
    /// runs next or, if recovery found out, the answer is owed, because no request waits for it.
    /// `block`: the number of the transaction's block, where a node has shown it.
    Settled { settlement: SettlementResponse, by: SettledBy, block: Option<u64> },
    /// The guest answered after the money had moved. Upfront flow only.
    Answered { kept: Retained, run: Duration },
    /// The answer was not given after the money had moved: it is owed. Upfront flow only.
    ///
    /// `client_left`: the client hung up, or may have a part of the answer. That is kept, whatever comes: a client must not
    /// get its money back by itself for an answer that it has.
    Owed { reason: String, client_left: bool },
    /// The money did not move and will not. A kept answer is deleted.
    Refused {
        reason: String,
        transaction: Option<String>,
        /// True if the authorisation has left the house, so that the refusal may prove wrong. The request is kept, and
        /// recovery looks once more, two minutes after the authorisation has expired.
        watch: bool,
    },
    /// A watched refusal is final: the kept request is deleted.
    Dismissed,
    /// The answer was handed to the connection. Without `keep` it is deleted.
    ///
    /// Nothing depends on this step, and in no state is it out of order. An answer that is fetched again has no hold:
    /// see [`crate::Ledger::delivered`].
    Delivered { keep: bool },
}

/// The part of an answer that is kept after it was given for money that had moved before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Retained {
    /// The whole answer, for another fetch.
    Answer(StoredAnswer),
    /// Nothing, for this reason: a repetition of the payment learns that its answer is gone.
    Nothing { why: String },
}

/// The word of a facilitator about a payment whose end it does not decide: recovery needs it to judge a payment that it
/// finds on the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reported {
    /// It has settled the payment.
    Settled,
    /// The authorisation was used before it was asked for the first time.
    UsedBefore,
}

impl Reported {
    /// The word of the column `reported`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Settled => "settled",
            Self::UsedBefore => "used before",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Settled, Self::UsedBefore].into_iter().find(|reported| reported.as_str() == text)
    }
}

/// The source of the news that a payment is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettledBy {
    /// The request that the payment is for, with the duration of each part. `alone`: the transaction settles no other
    /// payment, so a second payment that claims it is refused with [`crate::LedgerError::Transaction`].
    Request { alone: bool, verify: Duration, run: Option<Duration>, settle: Duration },
    /// Recovery, from what the chain or the facilitator says. `alone` as above.
    Recovery { alone: bool },
}

/// Everything about a row that decides which steps it may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) state: PaymentState,
    pub(crate) flow: Flow,
    /// True if the money moved.
    pub(crate) paid: bool,
    /// True if recovery looks at the row again: for an unknown one that is not undecidable, and for a refused one that
    /// is watched.
    pub(crate) watched: bool,
}

/// The end of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The row enters this state, or stays in it.
    State(PaymentState),
    /// The row is deleted, as if the payment had never been claimed.
    Deleted,
}

impl SettledBy {
    /// True if the transaction settles no other payment.
    pub fn alone(self) -> bool {
        match self {
            Self::Request { alone, .. } | Self::Recovery { alone } => alone,
        }
    }
}

impl Step {
    /// The name of the step in errors and of its fault points.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Released | Self::Failed { .. } => "released",
            Self::Executing => "executing",
            Self::Settling { .. } | Self::SettlingUpfront { .. } => "settling",
            Self::NotSent => "not sent",
            Self::Unknown { .. } => "unknown",
            Self::Undecidable { .. } => "undecidable",
            Self::Settled { .. } => "settled",
            Self::Answered { .. } => "answered",
            Self::Owed { .. } => "owed",
            Self::Refused { .. } => "refused",
            Self::Dismissed => "dismissed",
            Self::Delivered { .. } => "delivered",
        }
    }

    /// The size of the request and the answer that the step writes.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Settling { request, answer } => request.len() + answer.bytes(),
            Self::SettlingUpfront { request } => request.len(),
            Self::Answered { kept: Retained::Answer(answer), .. } => answer.bytes(),
            Self::Released
            | Self::Failed { .. }
            | Self::NotSent
            | Self::Executing
            | Self::Unknown { .. }
            | Self::Undecidable { .. }
            | Self::Settled { .. }
            | Self::Answered { kept: Retained::Nothing { .. }, .. }
            | Self::Owed { .. }
            | Self::Refused { .. }
            | Self::Dismissed
            | Self::Delivered { .. } => 0,
        }
    }

    /// The state diagram: where this step leads from a row at `from`, or `None` if it is not allowed there.
    ///
    /// Every line reads: step, states before, whether the money has moved, state after.
    pub(crate) fn next(&self, from: Position) -> Option<Next> {
        use PaymentState::{Delivered, Executing, Owed, Refused, Reserved, Settled, Settling, Unknown};
        let Position { state, flow, paid, watched } = from;
        let after = match (self, state) {
            (Self::Released | Self::Failed { .. }, Reserved | Executing) if !paid => return Some(Next::Deleted),
            (Self::NotSent, Settling) => return Some(Next::Deleted),
            (Self::Executing, Reserved) => Executing,
            (Self::Settling { .. }, Reserved | Executing) if !paid => Settling,
            (Self::SettlingUpfront { .. }, Reserved) => Settling,
            (Self::Unknown { .. }, Settling | Unknown) => Unknown,
            (Self::Undecidable { .. }, Unknown) => Unknown,
            (Self::Settled { by, .. }, Settling | Unknown) => match (flow, by) {
                (Flow::Authorization, _) => Settled,
                (Flow::Upfront, SettledBy::Request { .. }) => Executing,
                (Flow::Upfront, SettledBy::Recovery { .. }) => Owed,
            },
            (Self::Settled { by: SettledBy::Recovery { .. }, .. }, Refused) if watched => Owed,
            (Self::Answered { .. }, Executing) if paid => Settled,
            (Self::Owed { .. }, Executing) if paid => Owed,
            (Self::Refused { .. }, Settling | Unknown) => Refused,
            (Self::Dismissed, Refused) if watched => Refused,
            (Self::Delivered { .. }, Settled) => Delivered,
            _ => return None,
        };
        Some(Next::State(after))
    }
}
