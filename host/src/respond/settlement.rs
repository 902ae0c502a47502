//! Adds the settlement of a payment to a response, in the notation of the version that the client paid in.

use coinslot_x402::{Network, SettlementResponse, Version, header};
use http::header::{HeaderName, HeaderValue};

use super::Reply;
use super::error::with_payment_id;
use crate::payment::SettledPayment;

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
