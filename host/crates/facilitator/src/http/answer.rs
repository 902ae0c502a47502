//! Answers `/verify`, `/settle` and `/health`.

#![expect(
    clippy::disallowed_types,
    reason = "`coinslot facilitator` is a server of its own, with the protocol's statuses"
)]

use coinslot_base::text::first_chars;
use coinslot_x402::facilitator::{PaymentRequest, VerifyResponse};
use coinslot_x402::{Reason, SettlementResponse};
use http::StatusCode;
use serde_json::json;

use super::Service;
use super::reply::{JsonResponse, failure_for_now, reply, unavailable};
use crate::{Facilitator, Readiness, Settlement, Unavailable, Verification};

pub(super) async fn verification(service: &Service, payment: &PaymentRequest) -> JsonResponse {
    // A payment that is called valid now could not be settled, and its seller would have worked for nothing.
    if service.facilitator.readiness() != Readiness::Ready {
        return failure_for_now("this facilitator cannot settle now: try again later with the same payment");
    }
    let answer = match service.facilitator.verify(payment).await {
        Verification::Valid { payer, .. } => {
            VerifyResponse { is_valid: true, invalid_reason: None, invalid_message: None, payer: Some(payer) }
        }
        Verification::Invalid { reason, message, payer } => VerifyResponse {
            is_valid: false,
            invalid_reason: Some(reason),
            invalid_message: message,
            payer: Some(payer.or_else(|| named_payer(payment)).unwrap_or_default()),
        },
        Verification::Unavailable(error) => return unavailable(&error),
    };
    reply(StatusCode::OK, &answer)
}

pub(super) async fn settlement(service: &Service, payment: PaymentRequest) -> JsonResponse {
    let facilitator = service.facilitator.clone();
    let payer = named_payer(&payment);
    let network = payment.network_name().to_owned();
    // A task of its own: a client that hangs up drops this future, and must not drop a settlement that was sent.
    let task = service.settlements.spawn(async move { facilitator.settle_once(&payment).await });
    let failed = |reason: String, message, transaction| SettlementResponse {
        success: false,
        error_reason: Some(reason),
        error_message: message,
        payer,
        transaction,
        network,
        amount: None,
        extensions: None,
        extra: None,
    };
    match task.await {
        Ok(Settlement::Settled { settlement, proof: _ }) => reply(StatusCode::OK, &settlement),
        Ok(Settlement::Refused { reason, message, transaction, finality: _ }) => {
            reply(StatusCode::OK, &failed(reason, message, transaction))
        }
        // `settle_once` says so itself; here for a caller that does not.
        Ok(Settlement::SettledElsewhere { transaction }) => {
            reply(StatusCode::OK, &failed(Reason::DuplicateSettlement.to_string(), None, transaction))
        }
        Ok(Settlement::Unknown { transaction: Some(hash), message, .. }) => {
            tracing::warn!(transaction = hash, message, "a settlement is open");
            let reason = Reason::SettlementPending.to_string();
            let message = "the transaction has no receipt yet: ask again with the same payment";
            reply(StatusCode::OK, &failed(reason, Some(message.to_owned()), hash))
        }
        // Without a hash the protocol has no answer for it: `success` would be wrong either way.
        Ok(Settlement::Unknown { transaction: None, message, .. } | Settlement::NotSent { message }) => {
            unavailable(&Unavailable { message })
        }
        Err(error) => unavailable(&Unavailable { message: error.to_string() }),
    }
}

pub(super) async fn health(service: &Service) -> JsonResponse {
    match service.facilitator.gas().await {
        Ok(gas) => {
            let ready = gas.balance >= service.min_gas;
            let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            let body = json!({
                "ready": ready,
                "network": service.facilitator.network(),
                "gasWallet": gas.address.to_string(),
                "gasBalanceWei": gas.balance.to_string(),
            });
            reply(status, &body)
        }
        Err(error) => unavailable(&error),
    }
}

/// The payer that the payload names, in at most 64 characters. Strict clients want a payer in every answer.
fn named_payer(payment: &PaymentRequest) -> Option<String> {
    payment.named_payer().map(|text| first_chars(text, 64).to_owned())
}
