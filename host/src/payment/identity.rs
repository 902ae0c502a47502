//! Identifies payments and requests: by the spend on the chain, and by fingerprints of what was signed and what was asked.

use alloy::primitives::hex;
use bytes::Bytes;
use coinslot_ledger::{Fingerprint, PaymentId};
use coinslot_plugin::PaymentReceipt;
use coinslot_x402::exact::ExactPayload;
use coinslot_x402::price::{Amount, Asset};
use http::header::CONTENT_TYPE;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Uri};
use sha2::{Digest, Sha256};

use crate::endpoint::Endpoint;

/// The spend that the chain lets through once: network, token, payer and nonce. Source: EIP-3009.
pub(super) fn payment_id(asset: &Asset, exact: &ExactPayload) -> PaymentId {
    PaymentId::new(
        asset.network.clone(),
        asset.address.to_ascii_lowercase(),
        hex::encode_prefixed(exact.authorization.from),
        hex::encode_prefixed(exact.authorization.nonce),
    )
}

/// The receipt that the guest sees: the payer of this run, and the amount.
pub(super) fn receipt(asset: &Asset, exact: &ExactPayload, id: &PaymentId) -> PaymentReceipt {
    PaymentReceipt {
        payer: exact.authorization.from.to_checksum(None),
        amount: Amount(exact.authorization.value).decimal(asset.decimals),
        asset: asset.address.clone(),
        network: asset.network.to_string(),
        payment_id: id.short(),
    }
}

/// Hashes everything that distinguishes one signed payment from another of the same nonce.
pub(super) fn payment_fingerprint(exact: &ExactPayload) -> Fingerprint {
    let authorization = &exact.authorization;
    let mut hash = Sha256::new();
    hash.update(authorization.to);
    hash.update(authorization.value.to_be_bytes::<32>());
    hash.update(authorization.valid_after.to_be_bytes::<32>());
    hash.update(authorization.valid_before.to_be_bytes::<32>());
    hash.update(&exact.signature);
    Fingerprint(hash.finalize().into())
}

/// Hashes everything that a repetition of the request must have in common with it: method, template, target, media type
/// and body.
pub(super) fn request_fingerprint(endpoint: &Endpoint, uri: &Uri, headers: &HeaderMap, body: &Bytes) -> Fingerprint {
    let mut hash = Sha256::new();
    let target = uri.path_and_query().map_or("", PathAndQuery::as_str);
    let media = headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    // Each part with its length, so that no byte can move from one part to the next and leave the hash as it was.
    for part in [endpoint.label.as_bytes(), target.as_bytes(), media, body] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    Fingerprint(hash.finalize().into())
}

/// Compares addresses as hex digits: a facilitator may write them checksummed or not.
pub(super) fn same_address(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}
