//! The extension `offer-receipt`: the server signs its offers, and after the sale that it delivered.
//!
//! Pure: the key is a closure from a digest to a signature. Signatures are EIP-712 over structures of texts, in domains
//! of their own, so that none can be mistaken for a payment. A receipt is signed only after the money has moved.
//! Source: x402 specification, extension `offer-receipt`, format `eip712`; `tests/interop/receipt.mjs` holds it to the
//! verification of `@x402/extensions` 2.27.

#[cfg(test)]
mod tests;

use alloy_primitives::{Address, B256, Signature, U256, hex, keccak256};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::exact::recover;
use super::v2::PaymentRequirements;
use super::{Network, Object, SettlementResponse, UnixTime};

/// The extension's key.
pub const KEY: &str = "offer-receipt";

/// The version of both signed structures.
const VERSION: u64 = 1;

const DOMAIN_TYPE: &str = "EIP712Domain(string name,string version,uint256 chainId)";
const OFFER_TYPE: &str = "Offer(uint256 version,string resourceUrl,string scheme,string network,string asset,string payTo,string amount,uint256 validUntil)";
const RECEIPT_TYPE: &str =
    "Receipt(uint256 version,string network,string resourceUrl,string payer,uint256 issuedAt,string transaction)";

/// The signed part of an offer: one entry of `accepts` for one resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OfferPayload {
    /// The number 1.
    pub version: u64,
    pub resource_url: String,
    pub scheme: String,
    /// CAIP-2.
    pub network: String,
    pub asset: String,
    pub pay_to: String,
    /// Atomic units.
    pub amount: String,
    /// Unix seconds; 0 for an offer without an end.
    #[serde(default)]
    pub valid_until: u64,
}

/// The signed part of a receipt: this payer paid for this resource and was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReceiptPayload {
    /// The number 1.
    pub version: u64,
    /// CAIP-2.
    pub network: String,
    pub resource_url: String,
    pub payer: String,
    /// Unix seconds.
    pub issued_at: u64,
    /// The transaction's hash; empty when it is withheld.
    #[serde(default)]
    pub transaction: String,
}

/// The signature format that is written and read here. The extension's other format is `jws`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SignatureFormat {
    #[default]
    Eip712,
}

/// An [`OfferPayload`] with its signature: an element of `info.offers`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SignedOffer {
    pub format: SignatureFormat,
    /// The index of the entry in `accepts`: a hint, which is not signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accept_index: Option<usize>,
    pub payload: OfferPayload,
    /// 65 bytes in hex; `v` is 27 or 28.
    pub signature: String,
}

/// A [`ReceiptPayload`] with its signature: `info.receipt`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedReceipt {
    pub format: SignatureFormat,
    pub payload: ReceiptPayload,
    /// 65 bytes in hex; `v` is 27 or 28.
    pub signature: String,
}

/// Signs one entry of `accepts`, valid from `now` for the entry's `maxTimeoutSeconds`.
pub fn sign_offer<E>(
    resource_url: &str,
    accept_index: usize,
    accept: &PaymentRequirements,
    now: UnixTime,
    sign: impl FnOnce(B256) -> Result<Signature, E>,
) -> Result<SignedOffer, E> {
    let payload = OfferPayload {
        version: VERSION,
        resource_url: resource_url.to_owned(),
        scheme: accept.scheme.clone(),
        network: accept.network.to_string(),
        asset: accept.asset.clone(),
        pay_to: accept.pay_to.clone(),
        amount: accept.amount.clone(),
        valid_until: now.plus(accept.max_timeout_seconds).0,
    };
    let signature = encode(&sign(payload.digest())?);
    Ok(SignedOffer { format: SignatureFormat::Eip712, accept_index: Some(accept_index), payload, signature })
}

/// Signs that `payer` paid for the resource and gets its answer: call it only after settlement. Without a `transaction`
/// the receipt does not lead to the payer's account on the chain.
pub fn sign_receipt<E>(
    resource_url: &str,
    network: &Network,
    payer: &str,
    transaction: Option<&str>,
    now: UnixTime,
    sign: impl FnOnce(B256) -> Result<Signature, E>,
) -> Result<SignedReceipt, E> {
    let payload = ReceiptPayload {
        version: VERSION,
        network: network.to_string(),
        resource_url: resource_url.to_owned(),
        payer: payer.to_owned(),
        issued_at: now.0,
        transaction: transaction.unwrap_or_default().to_owned(),
    };
    let signature = encode(&sign(payload.digest())?);
    Ok(SignedReceipt { format: SignatureFormat::Eip712, payload, signature })
}

/// The extension's value in a challenge: `extensions["offer-receipt"]`. Each offer adds about 700 bytes to the header.
pub fn declaration(offers: &[SignedOffer]) -> Value {
    json!({ "info": { "offers": offers }, "schema": schema("offers", json!({ "type": "array", "items": { "type": "object" } })) })
}

impl SignedOffer {
    /// The signer, if the signature is valid: compare it with the address that the server is known by.
    pub fn signer(&self) -> Option<Address> {
        signer(self.payload.digest(), &self.signature)
    }
}

impl SignedReceipt {
    /// The signer, if the signature is valid: compare it with the address that the server is known by.
    pub fn signer(&self) -> Option<Address> {
        signer(self.payload.digest(), &self.signature)
    }

    /// Adds the receipt to the extensions of the settlement that goes out with the answer.
    pub fn attach(&self, settlement: &mut SettlementResponse) {
        let value = json!({ "info": { "receipt": self }, "schema": schema("receipt", json!({ "type": "object" })) });
        settlement.extensions.get_or_insert_with(Object::new).insert(KEY.to_owned(), value);
    }
}

impl OfferPayload {
    /// The EIP-712 digest that is signed.
    pub fn digest(&self) -> B256 {
        let fields = [
            keccak256(OFFER_TYPE),
            number(self.version),
            keccak256(&self.resource_url),
            keccak256(&self.scheme),
            keccak256(&self.network),
            keccak256(&self.asset),
            keccak256(&self.pay_to),
            keccak256(&self.amount),
            number(self.valid_until),
        ];
        digest("x402 offer", &fields)
    }
}

impl ReceiptPayload {
    /// The EIP-712 digest that is signed.
    pub fn digest(&self) -> B256 {
        let fields = [
            keccak256(RECEIPT_TYPE),
            number(self.version),
            keccak256(&self.network),
            keccak256(&self.resource_url),
            keccak256(&self.payer),
            number(self.issued_at),
            keccak256(&self.transaction),
        ];
        digest("x402 receipt", &fields)
    }
}

/// The EIP-712 digest of a structure. The chain id is always 1 and there is no contract: no contract verifies these.
fn digest(domain: &str, fields: &[B256]) -> B256 {
    let domain = [keccak256(DOMAIN_TYPE), keccak256(domain), keccak256("1"), number(1)];
    let (domain, fields) = (keccak256(domain.concat()), keccak256(fields.concat()));
    keccak256([&[0x19, 0x01], domain.as_slice(), fields.as_slice()].concat())
}

fn number(value: u64) -> B256 {
    U256::from(value).into()
}

fn encode(signature: &Signature) -> String {
    hex::encode_prefixed(signature.as_bytes())
}

fn signer(digest: B256, signature: &str) -> Option<Address> {
    recover(digest, &hex::decode(signature.strip_prefix("0x")?).ok()?)
}

/// The smallest schema that names the property: every byte of it is in every challenge.
fn schema(property: &str, of: Value) -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": { property: of },
        "required": [property],
    })
}
