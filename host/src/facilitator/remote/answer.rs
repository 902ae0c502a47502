//! Reading a facilitator's answers. It may be sloppy, or lie: nothing here counts as success unless
//! it is complete and speaks of this payment, on this network, by this payer.
//!
//! For `/verify` everything unclear is [`Unavailable`]; for `/settle` it is
//! [`Settlement::Unknown`], because the money may have moved.

use alloy::primitives::B256;
use reqwest::StatusCode;
use serde_json::Value;

use super::Exchange;
use crate::facilitator::{PayerKind, Settlement, Unavailable, Verification};
use crate::x402::facilitator::{PaymentRequest, VerifyResponse};
use crate::x402::{Network, Object, Reason, SettlementResponse};

/// What an answer has to agree with.
struct Expected<'r> {
    /// Of payloads with an EIP-3009 authorisation.
    payer: Option<&'r str>,
    network: Option<Network>,
    amount: &'r str,
    scheme: &'r str,
}

impl<'r> Expected<'r> {
    fn of(request: &'r PaymentRequest) -> Self {
        let from = |payload: &'r Object| payload.get("authorization")?.get("from")?.as_str();
        match request {
            PaymentRequest::V1 { payload, requirements } => Self {
                payer: from(&payload.payload),
                network: Network::parse_v1(&requirements.network).ok(),
                amount: &requirements.max_amount_required,
                scheme: &requirements.scheme,
            },
            PaymentRequest::V2 { payload, requirements } => Self {
                payer: from(&payload.payload),
                network: Some(requirements.network.clone()),
                amount: &requirements.amount,
                scheme: &requirements.scheme,
            },
        }
    }

    fn is_payer(&self, named: &str) -> bool {
        self.payer.is_none_or(|payer| payer.eq_ignore_ascii_case(named))
    }

    fn is_evm(&self) -> bool {
        self.network.as_ref().is_some_and(|network| network.chain_id().is_some())
    }
}

/// Reads the answer of `/verify`. A refusal may come with a 4xx; an acceptance only with 200.
pub(super) fn verification(request: &PaymentRequest, exchange: Exchange) -> Verification {
    let unavailable =
        |message: String| Verification::Unavailable(Unavailable { message: format!("/verify: {message}") });
    let (status, body) = match exchange {
        Ok(exchange) => exchange,
        Err(error) => return unavailable(error),
    };
    if status != StatusCode::OK && !status.is_client_error() {
        return unavailable(format!("it answered {status}"));
    }
    let answer: VerifyResponse = match serde_json::from_slice(&body) {
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
        // Its own trouble says nothing about the payment.
        VerifyResponse { invalid_reason: Some(reason), .. } if reason == Reason::UnexpectedVerifyError.as_str() => {
            unavailable(reason)
        }
        VerifyResponse { invalid_reason: Some(reason), invalid_message, payer, .. } if !reason.is_empty() => {
            Verification::Invalid { reason, message: invalid_message, payer }
        }
        _ => unavailable(format!("it answered {status}, invalid, without a reason")),
    }
}

/// Reads the answer of `/settle`. A refusal may come with a 4xx; a success only with 200.
pub(super) fn settlement(request: &PaymentRequest, exchange: Exchange) -> Settlement {
    let unknown = |transaction: Option<String>, message: String| Settlement::Unknown {
        transaction: transaction.filter(|hash| !hash.is_empty()),
        message: format!("/settle: {message}"),
    };
    let (status, body) = match exchange {
        Ok(exchange) => exchange,
        Err(error) => return unknown(None, error),
    };
    let answer: SettlementResponse = match serde_json::from_slice(&body) {
        Ok(answer) => answer,
        Err(error) => {
            let transaction = serde_json::from_slice::<Value>(&body)
                .ok()
                .and_then(|body| body.get("transaction")?.as_str().map(str::to_owned));
            return unknown(transaction, format!("it answered {status}, not as agreed: {error}"));
        }
    };
    let transaction = Some(answer.transaction.clone());
    if status != StatusCode::OK && !status.is_client_error() {
        return unknown(transaction, format!("it answered {status}"));
    }
    if answer.success {
        return match settled(request, status, &answer) {
            Ok(()) => Settlement::Settled(answer),
            Err(problem) => unknown(transaction, problem),
        };
    }
    let Some(reason) = answer.error_reason.filter(|reason| !reason.is_empty()) else {
        return unknown(transaction, "it failed without a reason".to_owned());
    };
    // Under way, done before, or lost on its side: in none of these is it certain that no money moved.
    let open = [Reason::SettlementPending, Reason::DuplicateSettlement, Reason::UnexpectedSettleError];
    if open.iter().any(|open| open.as_str() == reason) {
        return unknown(transaction, reason);
    }
    Settlement::Refused { reason, message: answer.error_message, transaction: answer.transaction }
}

/// Whether a success is about this payment.
fn settled(request: &PaymentRequest, status: StatusCode, answer: &SettlementResponse) -> Result<(), String> {
    let expected = Expected::of(request);
    if status != StatusCode::OK {
        return Err(format!("it answered {status} and success"));
    }
    if answer.transaction.is_empty() {
        return Err("success without a transaction".to_owned());
    }
    let hash = answer.transaction.strip_prefix("0x");
    if expected.is_evm() && hash.is_none_or(|digits| digits.parse::<B256>().is_err()) {
        return Err("success with something that is no transaction hash".to_owned());
    }
    if Network::parse_v1(&answer.network).ok() != expected.network {
        return Err("success on another network".to_owned());
    }
    if answer.payer.as_ref().is_some_and(|payer| !expected.is_payer(payer)) {
        return Err("success of another payer".to_owned());
    }
    if expected.scheme == "exact" && answer.amount.as_ref().is_some_and(|amount| amount != expected.amount) {
        return Err("success with another amount".to_owned());
    }
    Ok(())
}
