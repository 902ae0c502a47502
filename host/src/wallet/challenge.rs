//! Reads the challenge of a 402: version 2 from its header, or version 1 from its body. Untrusted.
//!
//! An entry of `accepts` that this wallet can pay is kept as it came, because the payment echoes it. Of an entry that
//! it cannot pay only the reason is kept.

use alloy::primitives::Address;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use coinslot_base::text::excerpt;
use coinslot_x402::price::{Amount, Asset, Eip712};
use coinslot_x402::{Network, Object, Version};
use serde_json::Value;

/// The most entries of `accepts` that are read.
const MAX_ENTRIES: usize = 64;

/// The most characters of a server's text in a message.
const MAX_TEXT: usize = 300;

/// A challenge that a server sent.
#[derive(Clone, Debug, PartialEq)]
pub struct ReceivedChallenge {
    pub version: Version,
    /// The server's reason why the request was not served.
    pub error: Option<String>,
    /// The ways to pay that this wallet knows, in the server's order.
    pub options: Vec<PaymentOption>,
    /// The reasons why it cannot pay the other entries.
    pub unusable: Vec<String>,
    pub(super) resource: Option<Value>,
    pub(super) extensions: Option<Value>,
}

/// One way to pay that this wallet knows: one entry of `accepts`.
#[derive(Clone, Debug, PartialEq)]
pub struct PaymentOption {
    pub asset: Asset,
    pub amount: Amount,
    pub pay_to: Address,
    pub max_timeout_seconds: u64,
    pub(super) token: Address,
    pub(super) chain_id: u64,
    pub(super) domain: Eip712,
    pub(super) raw: Object,
}

/// The reason why a 402 cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChallengeError {
    #[error("the answer is 402, but neither a PAYMENT-REQUIRED header nor a version 1 body says how to pay")]
    Missing,
    #[error("the PAYMENT-REQUIRED header is not Base64 of a JSON object with x402Version 2")]
    Malformed,
}

impl ReceivedChallenge {
    /// Reads the `PAYMENT-REQUIRED` header, or without one the body.
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
        Self::of(version, &document)
    }

    /// Reads a challenge that is a document of this version, as servers of MCP send it.
    pub fn of(version: Version, document: &Object) -> Result<Self, ChallengeError> {
        let accepts = document.get("accepts").and_then(Value::as_array);
        let wanted = document.get("x402Version").and_then(Value::as_u64) == Some(version.number());
        let (Some(accepts), true) = (accepts, wanted) else {
            return Err(match version {
                Version::V1 => ChallengeError::Missing,
                Version::V2 => ChallengeError::Malformed,
            });
        };
        let mut options = Vec::new();
        let mut unusable = Vec::new();
        for raw in accepts.iter().take(MAX_ENTRIES) {
            match option(version, raw) {
                Ok(option) => options.push(option),
                Err(reason) => unusable.push(reason),
            }
        }
        Ok(Self {
            version,
            error: document.get("error").and_then(Value::as_str).map(printable),
            options,
            unusable,
            resource: document.get("resource").filter(|v| v.is_object()).cloned(),
            extensions: document.get("extensions").filter(|v| v.is_object()).cloned(),
        })
    }
}

/// A text of a server, safe and short enough for a terminal.
fn printable(text: &str) -> String {
    excerpt(text, MAX_TEXT)
}

/// Reads one entry of `accepts`, or says why it cannot be paid.
fn option(version: Version, raw: &Value) -> Result<PaymentOption, String> {
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
    Ok(PaymentOption { asset, amount, pay_to, max_timeout_seconds, token, chain_id, domain, raw: raw.clone() })
}

/// Finds a dollar token in the table of well-known tokens: the limit in dollars holds for these alone.
fn known(network: &Network, token: Address) -> Option<Asset> {
    [None, Some("USDC"), Some("USDT"), Some("USDT0"), Some("USAT")]
        .into_iter()
        .filter_map(|symbol| Asset::known(network, symbol))
        .find(|asset| asset.address.parse() == Ok(token))
}
