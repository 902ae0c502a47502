//! Answers paid requests: sends the answer that was bought, with its settlement.

use coinslot_x402::{Network, SettlementResponse, Version, header};
use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue};

use super::error::with_payment_id;
use super::headers::private;
use super::plugin::guest_answer;
use super::{Reply, full, problem, with_cors};
use crate::payment::{GuestAnswer, Problem, Settled, SettledPayment};

/// The end of a paid request.
pub fn paid(end: Result<Settled, Problem>) -> Reply {
    let reply = match end {
        Ok(settled) => sold(settled),
        Err(problem) => {
            let charged = problem.charged().as_str();
            let reply = problem::explain(problem);
            tracing::debug!(status = reply.status().as_u16(), charged, "a paid route was not served");
            reply
        }
    };
    with_cors(reply)
}

/// The answer that was bought, whole or as the guest writes it.
fn sold(settled: Settled) -> Reply {
    let (status, mut headers, body, payment) = settled.open();
    private(&mut headers);
    // With a length, hyper would not poll an HTTP/1 body for its end, and it is the poll for the end that waits until
    // the ledger has it.
    headers.remove(CONTENT_LENGTH);
    with_payment(guest_answer(status, headers, body), &payment)
}

/// A guest's answer that was read to its end.
pub(super) fn whole(answer: GuestAnswer) -> Reply {
    let GuestAnswer { status, headers, body } = answer;
    guest_answer(status, headers, full(body))
}

/// Adds the settlement and the payment's id.
pub(super) fn with_payment(reply: Reply, payment: &SettledPayment) -> Reply {
    with_payment_id(with_settlement(reply, &payment.settlement, payment.version), &payment.id.short())
}

/// Adds `PAYMENT-RESPONSE`, or its version 1 name.
pub(super) fn with_settlement(mut reply: Reply, settlement: &SettlementResponse, version: Version) -> Reply {
    let (name, encoded) = match version {
        Version::V2 => (header::PAYMENT_RESPONSE, header::encode(settlement)),
        Version::V1 => (header::X_PAYMENT_RESPONSE, header::encode(&with_legacy_network(settlement))),
    };
    if let Ok(value) = HeaderValue::from_str(&encoded) {
        reply.headers_mut().insert(HeaderName::from_static(name), value);
    }
    reply
}

/// Version 1 clients know networks by name, as in `base-sepolia`.
fn with_legacy_network(settlement: &SettlementResponse) -> SettlementResponse {
    let network = Network::parse(&settlement.network).ok();
    let named = network.as_ref().and_then(Network::v1_name).map(ToOwned::to_owned);
    SettlementResponse { network: named.unwrap_or_else(|| settlement.network.clone()), ..settlement.clone() }
}
