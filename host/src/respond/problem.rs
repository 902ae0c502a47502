//! Answers paid requests that are not served.

use coinslot_plugin::QuoteRefusal;
use coinslot_x402::price::Challenge;
use coinslot_x402::{Network, Reason, SettlementResponse, Version};
use http::StatusCode;

use super::Reply;
use super::allowed;
use super::error::{
    Detail, ErrorRow, FUNDING_SECONDS, REFUND_SECONDS, detailed, error, passing, retry_after, row, with_payment_id,
};
use super::plugin::{failed, misbehaved, whole};
use super::required;
use super::settlement::{with_payment, with_settlement};
use crate::endpoint::PluginPages;
use crate::payment::{Charged, OwedFailure, PAYMENT_REFUNDED, Problem};
use crate::schema::{InputPart, InputRefusal};

const BODY_BROKEN: ErrorRow =
    row(StatusCode::BAD_REQUEST, "body_incomplete", "the request body ended early").advising("send the whole body");
const INPUT_TOO_COMPLEX: ErrorRow = row(
    StatusCode::BAD_REQUEST,
    "input_too_complex",
    "the check of this request against the endpoint's schema takes too long",
)
.advising("send less at once, and nest it less deeply");
const BODY_LATE: ErrorRow =
    row(StatusCode::REQUEST_TIMEOUT, "request_timeout", "the request's body did not come in time")
        .advising("send it again");
const IN_FLIGHT: ErrorRow = passing(
    StatusCode::CONFLICT,
    "payment_in_flight",
    "this payment is being worked on: send the same request with the same payment again to fetch its answer",
);
const OTHER_REQUEST: ErrorRow = row(
    StatusCode::CONFLICT,
    "payment_used_for_another_request",
    "this payment was used for another request or under another signature: repeat that request exactly, with the same payment, or sign a new authorization with a new nonce",
);
const NAME_TAKEN: ErrorRow = row(
    StatusCode::CONFLICT,
    "payment_used_for_another_request",
    "another payment with this payment-identifier was used for another request, and this payment was not taken; nothing was charged for it: repeat that request exactly, or send this one with a new identifier",
);
const FOREIGN: ErrorRow = row(
    StatusCode::CONFLICT,
    "payment_already_used",
    "this payment was used before, and only the client that used it can fetch what it bought: repeat the request with the whole `accepted` of its challenge, or sign a new payment",
);
const OVERLOADED: ErrorRow =
    passing(StatusCode::SERVICE_UNAVAILABLE, "host_busy", "too many bytes are held for requests at work")
        .advising(SAME_PAYMENT_LATER);
const CHECKS_BUSY: ErrorRow =
    passing(StatusCode::SERVICE_UNAVAILABLE, "input_checks_busy", "the checks of large inputs are all in use")
        .advising("send the same request again later");
const NOT_SENT: ErrorRow =
    passing(StatusCode::SERVICE_UNAVAILABLE, "settlement_not_sent", "the payment could not be sent for settlement")
        .advising(SAME_PAYMENT_LATER);
const ANSWER_GONE: ErrorRow = row(
    StatusCode::GONE,
    "answer_no_longer_kept",
    "this payment was settled and its answer is no longer kept: sign a new payment to ask again",
);
const SETTLED_ELSEWHERE: ErrorRow = row(
    StatusCode::CONFLICT,
    "payment_settled_elsewhere",
    "the receiver has this payment from a sale of another host or from an unknown sender, so it buys nothing here: fetch the answer from the host that you gave it to first, or sign a new payment",
);
const OWED_LATER: ErrorRow = row(
    StatusCode::SERVICE_UNAVAILABLE,
    "answer_owed",
    "this is paid and its answer is owed, but several tries to give it failed: send the same request with the same payment again after Retry-After, never a new one",
);
const OWED_NO_MORE: ErrorRow = row(
    StatusCode::BAD_GATEWAY,
    "answer_not_given",
    "this is paid and its answer is owed, but the endpoint failed too often to give it, and is not run for it again: ask the operator, who finds the payment by X-Coinslot-Payment-Id, and send the same request with the same payment once the endpoint is repaired",
);
const REFUNDING: ErrorRow = row(
    StatusCode::SERVICE_UNAVAILABLE,
    "refund_under_way",
    "this was paid and got no answer, and its money is on its way back: send the same request with the same payment again after Retry-After to hear the end, never a new one before",
)
.after(REFUND_SECONDS);
const TOO_MANY: ErrorRow =
    row(StatusCode::TOO_MANY_REQUESTS, "too_many_payments", "too many payments in too short a time")
        .advising(SAME_PAYMENT_LATER);
const CANNOT_SETTLE: ErrorRow =
    row(StatusCode::SERVICE_UNAVAILABLE, "cannot_settle", "payments cannot be settled now, so none is taken")
        .advising("send the same request again later")
        .after(FUNDING_SECONDS);
const CANNOT_VERIFY: ErrorRow =
    passing(StatusCode::SERVICE_UNAVAILABLE, "cannot_verify", "the payment could not be verified now")
        .advising("send the same payment again later");
const LEDGER_UNAVAILABLE: ErrorRow = passing(
    StatusCode::SERVICE_UNAVAILABLE,
    "ledger_unavailable",
    "payments cannot be recorded now: do not pay again; send the same request with the same payment later",
);
const SETTLEMENT_UNKNOWN: ErrorRow = passing(
    StatusCode::SERVICE_UNAVAILABLE,
    "settlement_unknown",
    "the payment was sent and its settlement is not confirmed yet: do not pay again; send the same request with the same payment to fetch the answer",
);
const OUTCOME_UNKNOWN: ErrorRow = passing(
    StatusCode::SERVICE_UNAVAILABLE,
    "outcome_unknown",
    "the request ended unexpectedly: do not pay again; send the same request with the same payment",
);

const SAME_PAYMENT_LATER: &str = "send the same request with the same payment later";
const SIGN_ANEW: &str = "the payment was refused: sign a new one for this offer";

/// The response to each problem. There is no wildcard: a new problem does not compile until its response is decided.
pub(super) fn explain(problem: Problem, charged: Charged, pages: PluginPages) -> Reply {
    match problem {
        Problem::PaymentRequired(challenge) => required::bare(&challenge),
        Problem::Malformed { error, challenge } => {
            required::refused(StatusCode::BAD_REQUEST, &challenge, error.reason().as_str(), error.to_string(), charged)
        }
        Problem::Invalid { reason, message, challenge } => invalid(&reason, message, &challenge, charged),
        Problem::OtherVersion { taken, challenge } => other_version(taken, &challenge, charged),
        Problem::PayerRefused(refusal) => allowed::payer_refused(refusal, charged),
        Problem::KeyRefused(refusal) => allowed::key_refused(refusal, charged),
        Problem::KeyElsewhere { challenge } => allowed::key_elsewhere(&challenge, charged),
        Problem::KeyExhausted { remainder, challenge } => allowed::key_exhausted(remainder, &challenge, charged),
        Problem::NoPass { refusal, challenge } => allowed::no_pass(refusal, &challenge, charged),
        Problem::CannotCount => allowed::cannot_count(charged),
        Problem::Refused(refusal) => refused_by_plugin(&refusal, charged),
        Problem::PriceTooHigh { message } => {
            error(StatusCode::UNPROCESSABLE_ENTITY, "price_too_high", &message, charged)
        }
        Problem::Input(refusal) => bad_input(&refusal, charged),
        Problem::InputTooComplex => INPUT_TOO_COMPLEX.reply(charged),
        Problem::BodyTooLarge { limit } => body_too_large(limit, charged),
        Problem::BodyBroken => BODY_BROKEN.reply(charged),
        Problem::BodyLate => BODY_LATE.reply(charged),
        Problem::InFlight { payment_id } => with_payment_id(IN_FLIGHT.reply(charged), &payment_id),
        Problem::OtherRequest { payment_id } => with_payment_id(OTHER_REQUEST.reply(charged), &payment_id),
        Problem::NameTaken { payment_id } => with_payment_id(NAME_TAKEN.reply(charged), &payment_id),
        Problem::Foreign { payment_id } => with_payment_id(FOREIGN.reply(charged), &payment_id),
        Problem::Overloaded => OVERLOADED.reply(charged),
        Problem::ChecksBusy => CHECKS_BUSY.reply(charged),
        Problem::AnswerWaits { payment_id } => with_payment_id(OVERLOADED.reply(charged), &payment_id),
        Problem::NotSent { message } => not_sent(&message, charged),
        Problem::AnswerGone { payment_id, settlement, version } => {
            with_payment_id(with_settlement(ANSWER_GONE.reply(charged), &settlement, version), &payment_id)
        }
        Problem::SettledElsewhere { payment_id } => with_payment_id(SETTLED_ELSEWHERE.reply(charged), &payment_id),
        Problem::Owed { payment, failure } => with_payment(owed(failure, charged, pages), &payment),
        Problem::OwedLater { payment_id, wait } => {
            with_payment_id(retry_after(OWED_LATER.reply(charged), wait.as_secs() + 1), &payment_id)
        }
        Problem::OwedNoMore { payment_id } => with_payment_id(OWED_NO_MORE.reply(charged), &payment_id),
        Problem::Refunding { payment_id } => with_payment_id(REFUNDING.reply(charged), &payment_id),
        Problem::Refunded { payment_id, transaction, challenge } => {
            with_payment_id(refunded(&transaction, &challenge, charged), &payment_id)
        }
        Problem::Plugin(fault) => failed(&fault, charged),
        Problem::Declined(answer) => whole(answer, pages),
        Problem::Misbehaved(what) => misbehaved(&what, charged),
        Problem::TooMany { wait } => retry_after(TOO_MANY.reply(charged), wait.as_secs() + 1),
        Problem::CannotSettle => CANNOT_SETTLE.reply(charged),
        Problem::CannotVerify(what) => cannot_verify(&what, charged),
        Problem::Ledger(what) => ledger_unavailable(&what, charged),
        Problem::NotSettled { reason, message, transaction, network, payer, version } => {
            tracing::info!(%reason, ?message, "a settlement was refused");
            not_settled(unsettled(reason, transaction, &network, payer), version, charged)
        }
        Problem::Unknown { payment_id } => with_payment_id(SETTLEMENT_UNKNOWN.reply(charged), &payment_id),
        Problem::Lost { payment_id } => with_payment_id(OUTCOME_UNKNOWN.reply(charged), &payment_id),
    }
}

/// A payment that is not good for this offer.
fn invalid(reason: &str, message: Option<String>, challenge: &Challenge, charged: Charged) -> Reply {
    let message = message.unwrap_or_else(|| SIGN_ANEW.to_owned());
    required::refused(StatusCode::PAYMENT_REQUIRED, challenge, reason, message, charged)
}

/// A payment whose money went back: it buys nothing more.
fn refunded(transaction: &str, challenge: &Challenge, charged: Charged) -> Reply {
    let message = format!(
        "this was paid and got no answer, and its money went back to its payer by transaction {transaction}: sign a new \
         payment to buy it"
    );
    required::refused(StatusCode::PAYMENT_REQUIRED, challenge, PAYMENT_REFUNDED, message, charged)
}

/// A request that the plugin's quote refuses, in the plugin's words.
fn refused_by_plugin(refusal: &QuoteRefusal, charged: Charged) -> Reply {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_REQUEST);
    let at = Detail { pointer: refusal.pointer.as_deref(), code: refusal.rule.as_deref() };
    detailed(status, &refusal.code, &refusal.message, charged, at)
}

fn not_sent(message: &str, charged: Charged) -> Reply {
    tracing::warn!(%message, "a settlement was not sent");
    NOT_SENT.reply(charged)
}

fn cannot_verify(what: &str, charged: Charged) -> Reply {
    tracing::error!(%what, "a payment could not be verified");
    CANNOT_VERIFY.reply(charged)
}

fn ledger_unavailable(what: &str, charged: Charged) -> Reply {
    tracing::error!(%what, "the ledger is not available");
    LEDGER_UNAVAILABLE.reply(charged)
}

/// A payment that the chain or a facilitator refused to settle.
fn not_settled(settlement: SettlementResponse, version: Version, charged: Charged) -> Reply {
    let reason = settlement.error_reason.as_deref().unwrap_or_default();
    let text = "the payment could not be settled and nothing was charged: sign a new payment";
    with_settlement(error(StatusCode::PAYMENT_REQUIRED, reason, text, charged), &settlement, version)
}

/// The failure of a guest to give an answer that is paid for.
fn owed(failure: OwedFailure, charged: Charged, pages: PluginPages) -> Reply {
    match failure {
        OwedFailure::Fault(fault) => failed(&fault, charged),
        OwedFailure::Declined(answer) => whole(answer, pages),
        OwedFailure::Misbehaved(what) => misbehaved(&what, charged),
        OwedFailure::NotBegun | OwedFailure::NoRoom => OVERLOADED.reply(charged),
    }
}

/// The answer to a payment of the version in which nothing of the offer is paid.
fn other_version(taken: Version, challenge: &Challenge, charged: Charged) -> Reply {
    let message = match taken {
        Version::V2 => {
            "this is paid by x402 version 2 only: send PAYMENT-SIGNATURE for an entry of the PAYMENT-REQUIRED header"
        }
        Version::V1 => "this is paid by x402 version 1 only: send X-PAYMENT for an entry of `accepts` of this answer",
    };
    let reason = Reason::InvalidX402Version.as_str();
    required::refused(StatusCode::BAD_REQUEST, challenge, reason, message.to_owned(), charged)
}

/// An input that does not fit the schema of its endpoint. The message stays a sentence, and `pointer` and `code` tell
/// programs what it is about.
fn bad_input(refusal: &InputRefusal, charged: Charged) -> Reply {
    let InputRefusal { part, pointer, keyword, reason } = refusal;
    let at = Detail { pointer: Some(pointer), code: Some(keyword) };
    let place = if pointer.is_empty() { String::new() } else { format!("`{pointer}`: ") };
    let message = |part: &str| format!("the {part} does not fit this endpoint: {place}{reason}");
    match part {
        InputPart::Path => detailed(StatusCode::BAD_REQUEST, "invalid_path", &message("path"), charged, at),
        InputPart::Query => detailed(StatusCode::BAD_REQUEST, "invalid_query", &message("query"), charged, at),
        InputPart::Body => detailed(StatusCode::BAD_REQUEST, "invalid_body", &message("body"), charged, at),
        InputPart::Whole => detailed(StatusCode::BAD_REQUEST, "invalid_input", &message("request"), charged, at),
    }
}

fn body_too_large(limit: u64, charged: Charged) -> Reply {
    let message = format!("the request body is larger than {limit} bytes, the most that this endpoint takes");
    error(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", &message, charged)
}

/// The settlement response of a payment that was not settled.
fn unsettled(reason: String, transaction: String, network: &Network, payer: String) -> SettlementResponse {
    SettlementResponse {
        success: false,
        error_reason: Some(reason),
        error_message: None,
        payer: Some(payer),
        transaction,
        network: network.to_string(),
        amount: None,
        extensions: None,
        extra: None,
    }
}
