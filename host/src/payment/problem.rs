//! The reasons why a paid request is not served. `unserved` says what each means for the money, and `respond` makes
//! their responses.

use std::time::Duration;

use coinslot_ledger::PassRefusal;
use coinslot_plugin::{Circuit, Fault, Plugin, QuoteRefusal};
use coinslot_x402::header::HeaderError;
use coinslot_x402::price::Challenge;
use coinslot_x402::{Network, SettlementResponse, Version};

use super::allowed::KeyRefusal;
use super::answer::UnreadAnswer;
use super::free_use::FreeRemainder;
use super::{GuestAnswer, SettledPayment};
use crate::allowance::PayerRefusal;
use crate::schema::InputRefusal;

/// The error of a payment whose money went back: its new challenge has it, and so does the answer.
pub const PAYMENT_REFUNDED: &str = "payment_refunded";

/// Everything that can keep a paid request from being served.
#[derive(Debug)]
pub enum Problem {
    /// There is no payment yet, which is no mistake.
    PaymentRequired(Challenge),
    /// The payment header cannot be read.
    Malformed { error: HeaderError, challenge: Challenge },
    /// The payment can be read, and does not buy this.
    Invalid { reason: String, message: Option<String>, challenge: Challenge },
    /// The payment can be read, and nothing here is paid in its version.
    OtherVersion { taken: Version, challenge: Challenge },
    /// The operator does not let this payer pay.
    PayerRefused(PayerRefusal),
    /// The key of the request does not count.
    KeyRefused(KeyRefusal),
    /// The key of the request is for other endpoints.
    KeyElsewhere { challenge: Challenge },
    /// The quota of the request's key is used up.
    KeyExhausted { remainder: FreeRemainder, challenge: Challenge },
    /// The client has bought a pass, and it does not serve this request: it may pay, as ever.
    NoPass { refusal: PassRefusal, challenge: Challenge },
    /// A free request could not be counted.
    CannotCount,
    /// The plugin refused the request before payment.
    Refused(QuoteRefusal),
    /// The plugin quotes more for the request than its operator sells it for.
    PriceTooHigh { message: String },
    /// The input does not fit the schema that the plugin declares.
    Input(InputRefusal),
    /// The check of the input against its schema was given up.
    InputTooComplex,
    /// The body is larger than the endpoint takes.
    BodyTooLarge { limit: u64 },
    /// The client stopped sending the body.
    BodyBroken,
    /// The client sent its body too slowly.
    BodyLate,
    /// The same payment is at work for the same request.
    InFlight { payment_id: String },
    /// The same payment was used for another request.
    OtherRequest { payment_id: String },
    /// Another payment of the payer has the same identifier, and was used for another request. This one is not taken.
    NameTaken { payment_id: String },
    /// The payment was used before, by a client that this one is not, as far as can be told.
    Foreign { payment_id: String },
    /// The payment was settled for this request, and its answer is no longer kept.
    AnswerGone { payment_id: String, settlement: SettlementResponse, version: Version },
    /// The payment was settled for this request, and the budget of bytes has no room for its stored answer.
    AnswerWaits { payment_id: String },
    /// The payment was settled for a sale of another host with the same receiver.
    SettledElsewhere { payment_id: String },
    /// The plugin failed; nothing was charged and the claim is released.
    Plugin(Fault),
    /// The plugin answered with a status of 400 or above, which costs nothing and is passed on; the claim is released.
    Declined(GuestAnswer),
    /// The plugin asked for money itself, or quoted a price outside its declaration.
    Misbehaved(String),
    /// No payment for this would be settled now, so none is asked for and none is taken.
    CannotSettle,
    /// No facilitator could verify the payment; the claim is released.
    CannotVerify(String),
    /// Too many payments of this payer, or too many bad ones from this address.
    TooMany { wait: Duration },
    /// The host holds as many bytes for its clients, or for this one, as it may; the claim is released.
    Overloaded,
    /// The checks that take long are all in use, or this client has had many.
    ChecksBusy,
    /// The settlement was provably not sent; the claim is released.
    NotSent { message: String },
    /// The ledger cannot be written.
    Ledger(String),
    /// The settlement was refused: nothing moved.
    NotSettled {
        reason: String,
        message: Option<String>,
        transaction: String,
        network: Network,
        payer: String,
        version: Version,
    },
    /// The payment was settled first, and the plugin did not answer: the same payment runs again.
    Owed { payment: SettledPayment, failure: OwedFailure },
    /// The plugin did not answer a paid request several times: the next run waits for this long.
    OwedLater { payment_id: String, wait: Duration },
    /// The plugin failed too often to answer a paid request: it is not run for it again, unless its operator changes
    /// something.
    OwedNoMore { payment_id: String },
    /// The payment was settled first and got no answer, and its money is on its way back.
    Refunding { payment_id: String },
    /// The payment was settled first and got no answer, and its money went back by this transaction.
    Refunded { payment_id: String, transaction: String, challenge: Challenge },
    /// The settlement's end is unknown: the money may have moved.
    Unknown { payment_id: String },
    /// The work ended without an answer: a bug of ours.
    Lost { payment_id: String },
}

/// The reason why a guest did not give an answer that is paid for.
#[derive(Debug)]
pub enum OwedFailure {
    /// The guest failed.
    Fault(Fault),
    /// The guest answered with a status of 400 or above, which is passed on.
    Declined(GuestAnswer),
    /// The guest broke its contract.
    Misbehaved(String),
    /// The guest did not run: the host holds as many bytes as it may.
    NotBegun,
    /// The guest answered, and there was no room for its answer.
    NoRoom,
}

impl Problem {
    /// The guest's fault, if that is the problem.
    pub fn fault(&self) -> Option<&Fault> {
        if let Self::Plugin(fault) | Self::Owed { failure: OwedFailure::Fault(fault), .. } = self {
            return Some(fault);
        }
        None
    }

    /// The guest's answer, if the problem is that it is none that is paid for.
    pub(super) fn declined(&self) -> Option<&GuestAnswer> {
        if let Self::Declined(answer) = self { Some(answer) } else { None }
    }
}

impl From<UnreadAnswer> for Problem {
    fn from(unread: UnreadAnswer) -> Self {
        match unread {
            UnreadAnswer::Fault(fault) => Self::Plugin(fault),
            UnreadAnswer::NoRoom => Self::Overloaded,
        }
    }
}

impl From<UnreadAnswer> for OwedFailure {
    fn from(unread: UnreadAnswer) -> Self {
        match unread {
            UnreadAnswer::Fault(fault) => Self::Fault(fault),
            UnreadAnswer::NoRoom => Self::NoRoom,
        }
    }
}

impl OwedFailure {
    /// True if the plugin ran: a run that did not begin does not count as a failed try.
    pub(super) fn counts_as_try(&self) -> bool {
        !matches!(self, Self::NotBegun | Self::Fault(Fault::CircuitOpen { .. } | Fault::Busy | Fault::Paused))
    }
}

impl std::fmt::Display for OwedFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fault(fault) => fault.fmt(f),
            Self::Declined(answer) => write!(f, "the plugin answered {}", answer.status),
            Self::Misbehaved(what) => f.write_str(what),
            Self::NotBegun => f.write_str("the host held too many bytes to begin"),
            Self::NoRoom => f.write_str("there was no room for the answer"),
        }
    }
}

/// Refuses to sell the answer of a plugin that is paused, whose circuit of paid calls is open, or whose instances are all in use for
/// longer than a request waits for one: no money is asked for, and none is taken, for a 503.
pub(super) fn check_plugin(plugin: &Plugin) -> Result<(), Problem> {
    check_closed(plugin.paid_circuit())?;
    plugin.check_room().map_err(Problem::Plugin)
}

/// Says what a request without a payment would be refused for: it has a circuit of its own.
pub(super) fn check_free_plugin(plugin: &Plugin) -> Result<(), Problem> {
    check_closed(plugin.unpaid_circuit())?;
    plugin.check_room().map_err(Problem::Plugin)
}

/// Refuses what [`check_plugin`] refuses, and a payer whose own circuit is open.
pub(super) fn check_plugin_for(plugin: &Plugin, payer: &str) -> Result<(), Problem> {
    check_closed(plugin.circuit_of_payer(payer))?;
    plugin.check_room().map_err(Problem::Plugin)
}

fn check_closed(circuit: Circuit) -> Result<(), Problem> {
    match circuit {
        Circuit::Closed => Ok(()),
        Circuit::Open { retry } => Err(Problem::Plugin(Fault::CircuitOpen { retry })),
        Circuit::Paused => Err(Problem::Plugin(Fault::Paused)),
    }
}
