//! Gives `tests/fuzzing` the readers of a facilitator's answers. It is behind a feature of its name, so that the
//! interface of this package stays small.

#![expect(clippy::disallowed_types, reason = "a client reads the answer of its facilitator")]

use coinslot_x402::facilitator::PaymentRequest;
use reqwest::StatusCode;

use super::answer::{self, SettleAnswer, SettleEnd, VerifyEnd};
use super::connection::HttpAnswer;
use crate::facilitator::{Settlement, Verification};

/// Reads an answer of `/verify`. None for a number that is no status.
pub fn verification(request: &PaymentRequest, status: u16, body: &[u8]) -> Option<Verification> {
    Some(match answer::verification(request, Ok(answered(status, body)?)) {
        VerifyEnd::Answered(verdict) => verdict,
        VerifyEnd::Objected(why) | VerifyEnd::Ambiguous(why) | VerifyEnd::Failed(why) => Verification::Unavailable(why),
    })
}

/// Reads an answer of `/settle`. None for a number that is no status.
pub fn settlement(request: &PaymentRequest, status: u16, body: &[u8]) -> Option<Settlement> {
    Some(match answer::settlement(request, Ok(answered(status, body)?)) {
        SettleAnswer::End(SettleEnd::Answered(end) | SettleEnd::Unclear(end) | SettleEnd::Objected(end)) => end,
        SettleAnswer::End(SettleEnd::NotSent(message)) => Settlement::NotSent { message },
        SettleAnswer::Pending { transaction, message } => {
            Settlement::Unknown { transaction, message, unanswered: false }
        }
    })
}

fn answered(status: u16, body: &[u8]) -> Option<HttpAnswer> {
    Some(HttpAnswer { status: StatusCode::from_u16(status).ok()?, location: None, body: body.to_owned() })
}
