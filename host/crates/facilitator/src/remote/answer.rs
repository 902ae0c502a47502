//! Reads a facilitator's answers. It may be sloppy, or lie: nothing counts as a success unless
//! it is complete and speaks of this payment, on this network, by this payer.
//!
//! For `/verify` everything unclear is [`Unavailable`]; for `/settle` it is
//! [`Settlement::Unknown`], because the money may have moved. Texts are shortened: they end in
//! headers and in logs.

#![expect(clippy::disallowed_types, reason = "a client reads the answer of its facilitator")]

use coinslot_base::text::first_chars;
use coinslot_x402::facilitator::{PaymentRequest, VerifyResponse};
use coinslot_x402::{Network, Reason, SettlementResponse};
use reqwest::StatusCode;
use serde::de::{DeserializeOwned, Error as _};
use serde_json::Value;

use super::connection::{Exchange, RequestFailure};
use crate::facilitator::{PayerKind, Settlement, Unavailable, Verification};

/// The longest reason, and the longest text for people, in characters. The protocol's own reasons
/// have at most 60.
const MAX_REASON: usize = 128;
const MAX_MESSAGE: usize = 512;

/// The longest name of a transaction on any network.
const MAX_TRANSACTION: usize = 128;

/// The end of one try to settle: its meaning for the money, and for trying another facilitator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RemoteAttempt {
    /// A sound answer, of whatever content.
    Answered(Settlement),
    /// No sound answer, after the request may have arrived. The settlement is unknown.
    Unclear(Settlement),
    /// The request cannot have arrived: another facilitator may be called.
    NotSent(String),
}

/// The facts that an answer has to agree with.
struct Expected<'r> {
    /// Known of payloads with an EIP-3009 or Permit2 authorisation.
    payer: Option<&'r str>,
    network: Option<Network>,
    amount: &'r str,
    scheme: &'r str,
}

impl<'r> Expected<'r> {
    fn of(request: &'r PaymentRequest) -> Self {
        Self {
            payer: request.named_payer(),
            network: request.network(),
            amount: request.amount(),
            scheme: request.scheme(),
        }
    }

    fn is_payer(&self, named: &str) -> bool {
        self.payer.is_none_or(|payer| payer.eq_ignore_ascii_case(named))
    }

    /// The text can be a transaction's name on this network.
    fn is_transaction(&self, named: &str) -> bool {
        let evm = self.network.as_ref().is_some_and(|network| network.chain_id().is_some());
        match named.strip_prefix("0x") {
            Some(digits) if evm => digits.len() == 64 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()),
            _ => {
                !evm && (1..=MAX_TRANSACTION).contains(&named.len())
                    && named.bytes().all(|byte| byte.is_ascii_graphic())
            }
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
pub(super) fn verification(request: &PaymentRequest, exchange: Exchange) -> Verification {
    let unavailable =
        |message: String| Verification::Unavailable(Unavailable { message: format!("/verify: {message}") });
    let (status, body) = match exchange {
        Ok(exchange) => exchange,
        Err(failure) => return unavailable(failure.into_message()),
    };
    if status != StatusCode::OK && !status.is_client_error() {
        return unavailable(format!("it answered {status}"));
    }
    let answer: VerifyResponse = match object(&body) {
        Ok(answer) => answer,
        Err(error) => {
            return unavailable(format!("it answered {status}, not as agreed: {error}"));
        }
    };
    let expected = Expected::of(request);
    match answer {
        VerifyResponse { is_valid: true, payer: Some(payer), .. }
            if status == StatusCode::OK && !payer.is_empty() && expected.is_payer(&payer) =>
        {
            Verification::Valid { payer, kind: PayerKind::Unknown }
        }
        VerifyResponse { is_valid: true, .. } => {
            unavailable(format!("it answered {status}, valid, without the payer of this payment"))
        }
        // A failure of the facilitator's own says nothing about the payment.
        VerifyResponse { invalid_reason: Some(reason), .. } if reason == Reason::UnexpectedVerifyError.as_str() => {
            unavailable(reason)
        }
        VerifyResponse { invalid_reason: Some(reason), invalid_message, payer, .. } if !reason.is_empty() => {
            Verification::Invalid {
                reason: first_chars(&reason, MAX_REASON).to_owned(),
                message: invalid_message.map(|text| first_chars(&text, MAX_MESSAGE).to_owned()),
                payer,
            }
        }
        _ => unavailable(format!("it answered {status}, invalid, without a reason")),
    }
}

/// Reads the answer of `/settle`. A refusal may come with a 4xx; a success only with 200.
pub(super) fn settlement(request: &PaymentRequest, exchange: Exchange) -> RemoteAttempt {
    let expected = Expected::of(request);
    let unknown = |transaction: Option<String>, message: String| Settlement::Unknown {
        transaction: transaction.filter(|named| expected.is_transaction(named)),
        message: format!("/settle: {}", first_chars(&message, MAX_MESSAGE)),
    };
    let unclear = |transaction, message| RemoteAttempt::Unclear(unknown(transaction, message));
    let (status, body) = match exchange {
        Ok(exchange) => exchange,
        Err(RequestFailure::NotSent(message)) => return RemoteAttempt::NotSent(message),
        Err(RequestFailure::Lost(message)) => return unclear(None, message),
    };
    let answer: SettlementResponse = match object(&body) {
        Ok(answer) => answer,
        Err(error) => {
            // A transaction is worth keeping even from an answer that is not believed: the operator can look it up.
            let transaction = serde_json::from_slice::<Value>(&body)
                .ok()
                .and_then(|body| body.get("transaction")?.as_str().map(str::to_owned));
            return unclear(transaction, format!("it answered {status}, not as agreed: {error}"));
        }
    };
    let transaction = Some(answer.transaction.clone());
    if status != StatusCode::OK && !status.is_client_error() {
        return unclear(transaction, format!("it answered {status}"));
    }
    if answer.success {
        return match check_success(&expected, status, &answer) {
            Ok(()) => RemoteAttempt::Answered(Settlement::Settled(answer)),
            Err(problem) => unclear(transaction, problem.to_owned()),
        };
    }
    let Some(reason) = answer.error_reason.filter(|reason| !reason.is_empty()) else {
        return unclear(transaction, "it failed without a reason".to_owned());
    };
    // Under way, done before, or failed on its side: in none of these is it certain that no money moved.
    let open = [Reason::SettlementPending, Reason::DuplicateSettlement, Reason::UnexpectedSettleError];
    if open.iter().any(|open| open.as_str() == reason) {
        return RemoteAttempt::Answered(unknown(transaction, reason));
    }
    RemoteAttempt::Answered(Settlement::Refused {
        reason: first_chars(&reason, MAX_REASON).to_owned(),
        message: answer.error_message.map(|text| first_chars(&text, MAX_MESSAGE).to_owned()),
        transaction: transaction.filter(|named| expected.is_transaction(named)).unwrap_or_default(),
    })
}

/// Checks that a success is about this payment.
fn check_success(expected: &Expected<'_>, status: StatusCode, answer: &SettlementResponse) -> Result<(), &'static str> {
    if status != StatusCode::OK {
        return Err("success, and a status that says otherwise");
    }
    if answer.transaction.is_empty() {
        return Err("success without a transaction");
    }
    if !expected.is_transaction(&answer.transaction) {
        return Err("success with something that is no transaction hash");
    }
    if expected.network.is_none() || Network::parse_v1(&answer.network).ok() != expected.network {
        return Err("success on another network");
    }
    if answer.payer.as_ref().is_some_and(|payer| !expected.is_payer(payer)) {
        return Err("success of another payer");
    }
    if expected.scheme == "exact" && answer.amount.as_ref().is_some_and(|amount| amount != expected.amount) {
        return Err("success with another amount");
    }
    Ok(())
}
