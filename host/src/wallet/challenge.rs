//! What a 402 asks for, version 2 from its header or version 1 from its body. Untrusted.
//!
//! Entries are kept as they came, because the payment echoes the chosen one; those that cannot be
//! paid are kept as reasons.

use alloy::primitives::Address;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use coinslot_x402::price::{Amount, Asset, Eip712};
use coinslot_x402::{Network, Object, Version};

/// The most entries that are looked at.
const MAX_ENTRIES: usize = 64;

/// A parsed 402.
#[derive(Clone, Debug, PartialEq)]
pub struct Challenge {
    pub version: Version,
    /// Why the request was not served, in the server's words.
    pub error: Option<String>,
    /// What can be paid, in the server's order.
    pub entries: Vec<Entry>,
    /// Why the other entries cannot.
    pub unusable: Vec<String>,
    pub(super) resource: Option<Value>,
    pub(super) extensions: Option<Value>,
}

/// One way to pay that this wallet knows.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub asset: Asset,
    pub amount: Amount,
    pub pay_to: Address,
    pub max_timeout_seconds: u64,
    pub(super) token: Address,
    pub(super) chain_id: u64,
    pub(super) domain: Eip712,
    pub(super) raw: Object,
}

/// Why a 402 cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChallengeError {
    #[error("the answer is 402, but neither a PAYMENT-REQUIRED header nor a version 1 body says how to pay")]
    Missing,
    #[error("the PAYMENT-REQUIRED header is not Base64 of a JSON object with x402Version 2")]
    Malformed,
}

impl Challenge {
    /// Reads the header, or without one the body.
    pub fn read(header: Option<&[u8]>, body: &[u8]) -> Result<Self, ChallengeError> {
        let (version, document) = match header {
            Some(header) => {
                let document: Object = STANDARD
                    .decode(header)
                    .ok()
                    .and_then(|json| serde_json::from_slice(&json).ok())
                    .ok_or(ChallengeError::Malformed)?;
                (Version::V2, document)
            }
            None => {
                let document: Object = serde_json::from_slice(body).map_err(|_| ChallengeError::Missing)?;
                (Version::V1, document)
            }
        };
        let accepts = document.get("accepts").and_then(Value::as_array);
        let wanted = document.get("x402Version").and_then(Value::as_u64) == Some(version.number());
        let (Some(accepts), true) = (accepts, wanted) else {
            return Err(match version {
                Version::V1 => ChallengeError::Missing,
                Version::V2 => ChallengeError::Malformed,
            });
        };
        let mut entries = Vec::new();
        let mut unusable = Vec::new();
        for raw in accepts.iter().take(MAX_ENTRIES) {
            match entry(version, raw) {
                Ok(entry) => entries.push(entry),
                Err(reason) => unusable.push(reason),
            }
        }
        Ok(Self {
            version,
            error: document.get("error").and_then(Value::as_str).map(printable),
            entries,
            unusable,
            resource: document.get("resource").filter(|v| v.is_object()).cloned(),
            extensions: document.get("extensions").filter(|v| v.is_object()).cloned(),
        })
    }
}

/// A server's words as a terminal may show them.
fn printable(text: &str) -> String {
    let visible = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().take(300).map(visible).collect()
}

fn entry(version: Version, raw: &Value) -> Result<Entry, String> {
    let raw = raw.as_object().ok_or("an entry is not an object")?;
    let text = |key: &str| raw.get(key).and_then(Value::as_str).ok_or_else(|| format!("an entry has no {key}"));
    let scheme = text("scheme")?;
    let network = text("network")?;
    let on = |what: &str| printable(&format!("{what} on {network}"));
    if scheme != "exact" {
        return Err(on(&format!("scheme {scheme}")));
    }
    let extra = |key: &str| raw.get("extra")?.get(key)?.as_str();
    if let Some(method) = extra("assetTransferMethod")
        && method != "eip3009"
    {
        return Err(on(&format!("transfer method {method}")));
    }
    if let Some(flow) = extra("paymentFlow")
        && !["authorization", "upfront"].contains(&flow)
    {
        return Err(on(&format!("payment flow {flow}")));
    }
    let (network, amount) = match version {
        Version::V1 => (Network::parse_v1(network), text("maxAmountRequired")?),
        Version::V2 => (Network::parse(network), text("amount")?),
    };
    let network = network.map_err(|error| printable(&error.to_string()))?;
    let chain_id = network.chain_id().ok_or_else(|| on("no payments from here"))?;
    let token: Address = text("asset")?.parse().map_err(|_| on("an asset that is no address"))?;
    let asset = known(&network, token).ok_or_else(|| on(&format!("unknown token {token}")))?;
    let domain = asset.eip712.clone().ok_or_else(|| on(&format!("{} cannot be authorised", asset.symbol)))?;
    let amount = Amount::parse_atomic(amount).map_err(|error| printable(&error.to_string()))?;
    let pay_to = text("payTo")?.parse().map_err(|_| on("a payTo that is no address"))?;
    let max_timeout_seconds = raw
        .get("maxTimeoutSeconds")
        .and_then(Value::as_u64)
        .filter(|seconds| *seconds > 0)
        .ok_or_else(|| on("no maxTimeoutSeconds"))?;
    Ok(Entry { asset, amount, pay_to, max_timeout_seconds, token, chain_id, domain, raw: raw.clone() })
}

/// A dollar token of the table: only those are worth what `--max` says.
fn known(network: &Network, token: Address) -> Option<Asset> {
    [None, Some("USDC"), Some("USDT"), Some("USDT0"), Some("USAT")]
        .into_iter()
        .filter_map(|symbol| Asset::known(network, symbol))
        .find(|asset| asset.address.parse() == Ok(token))
}
