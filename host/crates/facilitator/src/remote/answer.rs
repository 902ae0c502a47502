//! Reads a facilitator's answers. A facilitator may be sloppy, or lie: no answer counts as a success unless it is
//! complete and speaks of this payment, on this network, by this payer.
//!
//! For `/verify` everything unclear is [`Unavailable`]; for `/settle` it is [`Settlement::Unknown`], because the money
//! may have moved. Texts are shortened: they end in headers and in logs.

#![expect(clippy::disallowed_types, reason = "a client reads the answer of its facilitator")]

use coinslot_base::text::first_chars;
use coinslot_x402::facilitator::{PaymentRequest, VerifyResponse};
use coinslot_x402::{Reason, SettlementResponse};
use reqwest::StatusCode;
use serde::de::{DeserializeOwned, Error as _};
use serde_json::Value;

use super::connection::{Exchange, HttpAnswer, RequestFailure, unexpected};
use super::expected::{Expected, MAX_MESSAGE, MAX_REASON, check_success, known_fields};
use super::status::{is_about_the_facilitator, is_answer, is_gateway_time_out, objects_to_the_payment};
use crate::calls::CallResult;
use crate::facilitator::{Finality, PayerKind, Proof, Settlement, Unavailable, Verification};

/// Reasons of the specification (version 2, section 9) that no shipped facilitator for EVM writes, and that are found
/// before anything is sent.
const SPECIFIED_BEFORE_SENDING: &[&str] = &[
    "insufficient_funds",
    "invalid_exact_evm_payload_signature",
    "invalid_exact_evm_payload_recipient_mismatch",
    "invalid_scheme",
];

/// The end of one try to settle: its meaning for the money, and for trying another facilitator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SettleEnd {
    /// A sound answer, of whatever content.
    Answered(Settlement),
    /// No sound answer, after the request may have arrived. The settlement is unknown.
    Unclear(Settlement),
    /// No sound answer, and a status that objects to this one payment. The settlement is unknown, and nothing is learnt
    /// about the facilitator.
    Objected(Settlement),
    /// The request cannot have arrived: another facilitator may be called.
    NotSent(String),
}

/// The end of one call of `/verify`: its meaning for the payment, and for the facilitator's circuit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum VerifyEnd {
    /// A sound verdict.
    Answered(Verification),
    /// No verdict, and a status that objects to this one payment: nothing is learnt about the facilitator.
    Objected(Unavailable),
    /// No verdict, in an answer that may be about this payment or about the facilitator, such as a 500: `/supported`
    /// tells them apart.
    Ambiguous(Unavailable),
    /// No verdict: the facilitator does not answer, is not there, or refuses this host.
    Failed(Unavailable),
}

/// The content of one answer of `/settle`.
pub(super) enum SettleAnswer {
    End(SettleEnd),
    /// The transaction is sent and in no block: the same request may be sent once more for its end.
    Pending {
        transaction: Option<String>,
        message: String,
    },
}

impl From<&VerifyEnd> for CallResult {
    fn from(end: &VerifyEnd) -> Self {
        match end {
            VerifyEnd::Answered(verification) => verification.into(),
            VerifyEnd::Objected(_) | VerifyEnd::Ambiguous(_) | VerifyEnd::Failed(_) => Self::Unknown,
        }
    }
}

impl From<&SettleAnswer> for CallResult {
    fn from(answer: &SettleAnswer) -> Self {
        match answer {
            SettleAnswer::Pending { .. } => Self::Unknown,
            SettleAnswer::End(SettleEnd::NotSent(_)) => Self::Unreachable,
            SettleAnswer::End(
                SettleEnd::Answered(settlement) | SettleEnd::Unclear(settlement) | SettleEnd::Objected(settlement),
            ) => settlement.into(),
        }
    }
}

/// Reads an object. Serde would read an array too, field by field; and a field that is there twice is an
/// error of the type that is read.
fn object<T: DeserializeOwned>(body: &[u8]) -> Result<T, serde_json::Error> {
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(serde_json::Error::custom("not a JSON object"));
    }
    serde_json::from_slice(body)
}

/// Reads the answer of `/verify`. A refusal may come with a 4xx; an acceptance only with 200.
pub(super) fn verification(request: &PaymentRequest, exchange: Exchange) -> VerifyEnd {
    let without_verdict = |message: String| Unavailable { message: format!("/verify: {message}") };
    let HttpAnswer { status, location, body } = match exchange {
        Ok(reply) => reply,
        Err(failure) => return VerifyEnd::Failed(without_verdict(failure.into_message())),
    };
    let unavailable = |message: String| {
        let why = without_verdict(message);
        if objects_to_the_payment(status) {
            VerifyEnd::Objected(why)
        } else if is_about_the_facilitator(status) {
            VerifyEnd::Failed(why)
        } else {
            VerifyEnd::Ambiguous(why)
        }
    };
    if !is_answer(status) {
        return unavailable(unexpected(status, location.as_deref()));
    }
    let answer: VerifyResponse = match object(&body) {
        Ok(answer) => answer,
        Err(error) => {
            return unavailable(format!("it answered {status}, not as agreed: {error}"));
        }
    };
    let expected = Expected::of(request);
    if answer.is_valid {
        // Without a payer it is the one whose signature was checked here. Another payer contradicts that.
        let named = answer.payer.as_deref().filter(|payer| !payer.is_empty());
        return match named.or(expected.payer) {
            Some(payer) if status == StatusCode::OK && expected.is_payer(payer) => {
                let payer = first_chars(payer, MAX_REASON).to_owned();
                VerifyEnd::Answered(Verification::Valid { payer, kind: PayerKind::Unknown })
            }
            Some(_) if status == StatusCode::OK => unavailable("it called another payer's payment valid".to_owned()),
            _ => unavailable(format!("it answered {status}, valid, without a payer")),
        };
    }
    match answer {
        // A failure of the facilitator's own says nothing about the payment.
        VerifyResponse { invalid_reason: Some(reason), .. } if reason == Reason::UnexpectedVerifyError.as_str() => {
            unavailable(reason)
        }
        VerifyResponse { invalid_reason: Some(reason), invalid_message, payer, .. } if !reason.is_empty() => {
            VerifyEnd::Answered(Verification::Invalid {
                reason: first_chars(&reason, MAX_REASON).to_owned(),
                message: invalid_message.map(|text| first_chars(&text, MAX_MESSAGE).to_owned()),
                payer: payer.map(|text| first_chars(&text, MAX_REASON).to_owned()),
            })
        }
        _ => unavailable(format!("it answered {status}, invalid, without a reason")),
    }
}

/// Reads the answer of `/settle`. A refusal may come with a 4xx; a success only with 200.
pub(super) fn settlement(request: &PaymentRequest, exchange: Exchange) -> SettleAnswer {
    let expected = Expected::of(request);
    let unanswered = |message: &str| {
        let message = format!("/settle: {}", first_chars(message, MAX_MESSAGE));
        SettleAnswer::End(SettleEnd::Unclear(Settlement::Unknown { transaction: None, message, unanswered: true }))
    };
    let HttpAnswer { status, location, body } = match exchange {
        Ok(reply) => reply,
        Err(RequestFailure::NotSent(message)) => return SettleAnswer::End(SettleEnd::NotSent(message)),
        Err(RequestFailure::Lost(message) | RequestFailure::Late(message)) => return unanswered(&message),
    };
    if is_gateway_time_out(status) {
        return unanswered(&unexpected(status, None));
    }
    let unclear = |named: Option<&str>, message: &str| {
        let end = if objects_to_the_payment(status) { SettleEnd::Objected } else { SettleEnd::Unclear };
        SettleAnswer::End(end(expected.unknown(named, message)))
    };
    let answer: SettlementResponse = match object(&body) {
        Ok(answer) => answer,
        Err(_) if location.is_some() => return unclear(None, &unexpected(status, location.as_deref())),
        Err(error) => {
            // A transaction is worth keeping even from an answer that is not believed: the operator can look it up.
            let body = serde_json::from_slice::<Value>(&body).unwrap_or_default();
            let named = body.get("transaction").and_then(Value::as_str);
            return unclear(named, &format!("it answered {status}, not as agreed: {error}"));
        }
    };
    let named = Some(answer.transaction.as_str());
    if !is_answer(status) {
        return unclear(named, &unexpected(status, location.as_deref()));
    }
    if answer.success {
        return match check_success(&expected, status, &answer) {
            Ok(()) => SettleAnswer::End(SettleEnd::Answered(Settlement::Settled {
                settlement: known_fields(&expected, answer),
                proof: Proof::Word { alone: true },
            })),
            Err(problem) => unclear(named, problem),
        };
    }
    let Some(reason) = answer.error_reason.as_deref().filter(|reason| !reason.is_empty()) else {
        return unclear(named, "it failed without a reason");
    };
    failure(&expected, &answer, reason)
}

/// Reads the reason of a failure: the payment is pending, refused, or its end is unknown.
fn failure(expected: &Expected<'_>, answer: &SettlementResponse, reason: &str) -> SettleAnswer {
    match Reason::parse(reason) {
        Some(Reason::SettlementPending) => SettleAnswer::Pending {
            transaction: expected.transaction(&answer.transaction),
            message: format!("/settle: {reason}"),
        },
        // Failed on its side: it is not certain that no money moved.
        Some(Reason::UnexpectedSettleError) => {
            SettleAnswer::End(SettleEnd::Answered(expected.unknown(Some(&answer.transaction), reason)))
        }
        known => {
            let precedes = known.is_some_and(Reason::precedes_sending) || SPECIFIED_BEFORE_SENDING.contains(&reason);
            // A refusal that names a transaction follows a broadcast, whatever its reason.
            let is_final = precedes && answer.transaction.is_empty();
            let finality = match known {
                Some(Reason::DuplicateSettlement | Reason::NonceAlreadyUsed) => Finality::UsedBefore,
                _ if is_final => Finality::Final,
                _ => Finality::Open,
            };
            SettleAnswer::End(SettleEnd::Answered(Settlement::Refused {
                reason: first_chars(reason, MAX_REASON).to_owned(),
                message: answer.error_message.as_deref().map(|text| first_chars(text, MAX_MESSAGE).to_owned()),
                transaction: expected.transaction(&answer.transaction).unwrap_or_default(),
                finality,
            }))
        }
    }
}
