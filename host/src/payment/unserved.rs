//! Pairs the reason why a request is not served with what is then known about the client's money.
//!
//! The same problem may end a request before the ledger was asked about its payment, and afterwards. Only afterwards is
//! it known that nothing was charged: the payment may have been settled by an earlier request. So a [`Problem`] does
//! not say what it means for the money, and the place where the request ends does, by the constructor that it calls.

use coinslot_ledger::PaymentId;
use http::HeaderMap;

use super::{Problem, challenge};

/// A request that is not served.
#[derive(Debug)]
pub struct Unserved {
    problem: Problem,
    charged: Charged,
    /// The payment at work, for the log.
    payment: Option<PaymentId>,
}

/// The effect of a payment on the client's money: it did not move, it moved, or that is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charged {
    No,
    Yes,
    Unknown,
}

impl Charged {
    /// The word for it in answers and in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Yes => "yes",
            Self::Unknown => "unknown",
        }
    }

    /// The effect of a request that ends before the ledger was asked: unknown if the request carries a payment, which
    /// an earlier request may have spent.
    pub fn unasked(headers: &HeaderMap) -> Self {
        if challenge::carries_payment(headers) { Self::Unknown } else { Self::No }
    }
}

impl Unserved {
    /// The ledger was not asked about a payment. It is unknown what became of it, if the request carries one.
    pub fn unasked(problem: Problem, headers: &HeaderMap) -> Self {
        Self { problem, charged: Charged::unasked(headers), payment: None }
    }

    /// The request carries a payment, and what became of it earlier is unknown: the ledger was not asked, or has a
    /// claim that was not looked at.
    pub(super) fn unknown(problem: Problem) -> Self {
        Self { problem, charged: Charged::Unknown, payment: None }
    }

    /// The request carries no payment, or one of which the ledger has no claim.
    pub(super) fn unclaimed(problem: Problem) -> Self {
        Self { problem, charged: Charged::No, payment: None }
    }

    /// The ledger was asked about the payment: the problem says what became of it.
    pub(super) fn of_claim(problem: Problem) -> Self {
        let charged = match &problem {
            // `Overloaded`: a guest's answer found no room, and the claim is released.
            Problem::PaymentRequired(_)
            | Problem::Malformed { .. }
            | Problem::Invalid { .. }
            | Problem::OtherVersion { .. }
            | Problem::PayerRefused(_)
            | Problem::KeyRefused(_)
            | Problem::KeyElsewhere { .. }
            | Problem::KeyExhausted { .. }
            | Problem::NoPass { .. }
            | Problem::CannotCount
            | Problem::Refused(_)
            | Problem::PriceTooHigh { .. }
            | Problem::Input(_)
            | Problem::InputTooComplex
            | Problem::Plugin(_)
            | Problem::Declined(_)
            | Problem::Misbehaved(_)
            | Problem::CannotSettle
            | Problem::CannotVerify(_)
            | Problem::NameTaken { .. }
            | Problem::Overloaded
            | Problem::ChecksBusy
            | Problem::NotSent { .. }
            | Problem::NotSettled { .. }
            | Problem::Refunded { .. } => Charged::No,
            Problem::AnswerGone { .. }
            | Problem::AnswerWaits { .. }
            | Problem::SettledElsewhere { .. }
            | Problem::Owed { .. }
            | Problem::OwedLater { .. }
            | Problem::Refunding { .. }
            | Problem::OwedNoMore { .. } => Charged::Yes,
            // The payment has an earlier claim whose end the problem does not name; or, from the body on, its claim was
            // not looked at.
            Problem::InFlight { .. }
            | Problem::OtherRequest { .. }
            | Problem::Foreign { .. }
            | Problem::Ledger(_)
            | Problem::Unknown { .. }
            | Problem::Lost { .. }
            | Problem::BodyTooLarge { .. }
            | Problem::BodyBroken
            | Problem::BodyLate
            | Problem::TooMany { .. } => Charged::Unknown,
        };
        Self { problem, charged, payment: None }
    }

    /// Takes back that nothing was charged if the same payment is at work for another request, which can still charge
    /// it.
    pub(super) fn beside_other_work(self, is_at_work: bool) -> Self {
        match self.charged {
            Charged::No if is_at_work => Self { charged: Charged::Unknown, ..self },
            Charged::No | Charged::Yes | Charged::Unknown => self,
        }
    }

    pub fn problem(&self) -> &Problem {
        &self.problem
    }

    /// Names the payment that was at work.
    pub(super) fn of_payment(self, id: PaymentId) -> Self {
        Self { payment: Some(id), ..self }
    }

    /// The problem, what is known about the money, and the payment that was at work.
    pub fn into_parts(self) -> (Problem, Charged, Option<PaymentId>) {
        (self.problem, self.charged, self.payment)
    }
}
