//! Holds the data of a purchase: the request, the payment and the price. Their JSON is the format of saved payments.

use alloy::primitives::Address;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use coinslot_base::text::excerpt;
use coinslot_x402::{Reason, SettlementResponse, Version};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use url::{Host, Url};

use super::http::MOST_SHOWN;
use crate::cli::Failure;
use crate::wallet::PaymentOption;

/// A request, complete, so that it can be sent again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct RequestSpec {
    pub(in crate::cli) url: Url,
    pub(in crate::cli) method: String,
    /// Pairs, because a header may come twice.
    pub(in crate::cli) headers: Vec<(String, String)>,
    /// Base64.
    pub(in crate::cli) body: Option<String>,
}

impl RequestSpec {
    /// True if the server is on this machine.
    pub(super) fn is_local(&self) -> bool {
        match self.url.host() {
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        }
    }

    /// Method, headers and body as they are sent.
    pub(in crate::cli) fn parts(&self) -> Result<(reqwest::Method, HeaderMap, Vec<u8>), Failure> {
        let method = reqwest::Method::from_bytes(self.method.as_bytes())
            .map_err(|_| Failure::usage(format!("`{}` is not a method", self.method)))?;
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let pair = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value));
            let (Ok(name), Ok(value)) = pair else {
                return Err(Failure::usage(format!("`{name}` is not a header that can be sent")));
            };
            headers.append(name, value);
        }
        let body = STANDARD
            .decode(self.body.as_deref().unwrap_or_default())
            .map_err(|_| Failure::new("the saved body is not Base64"))?;
        Ok((method, headers, body))
    }
}

/// The header of a signed payment, or of a proof of the payer's account.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SignedHeader {
    pub(super) header: String,
    pub(super) value: String,
}

impl std::fmt::Debug for SignedHeader {
    /// Leaves out the value, which is as good as the money.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SignedHeader(..)")
    }
}

/// The price of a purchase, and its transaction once it is paid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct PurchaseSummary {
    x402_version: u8,
    /// Decimal units.
    amount: String,
    symbol: String,
    /// Atomic units.
    atomic_amount: String,
    asset: String,
    network: String,
    pay_to: String,
    payer: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    transaction: Option<String>,
}

impl PurchaseSummary {
    pub(in crate::cli) fn new(version: Version, option: &PaymentOption, payer: Address) -> Self {
        Self {
            x402_version: match version {
                Version::V1 => 1,
                Version::V2 => 2,
            },
            amount: option.amount.decimal(option.asset.decimals),
            symbol: option.asset.symbol.clone(),
            atomic_amount: option.amount.to_string(),
            asset: option.asset.address.clone(),
            network: option.asset.network.to_string(),
            pay_to: option.pay_to.to_string(),
            payer: payer.to_string(),
            transaction: None,
        }
    }

    /// Adds the transaction of the receipt.
    pub(super) fn settled(mut self, receipt: Option<&SettlementResponse>) -> Self {
        self.transaction = receipt.map(|receipt| receipt.transaction.clone());
        self
    }

    /// The price in one line.
    pub(in crate::cli) fn offer_line(&self) -> String {
        format!("{} {} on {} to {}", self.amount, self.symbol, self.network, self.pay_to)
    }

    /// The transfer that the payment makes, by which it is found on the chain.
    pub(super) fn transfer_line(&self) -> String {
        let (amount, symbol, network) = (&self.amount, &self.symbol, &self.network);
        format!("a transfer of {amount} {symbol} on {network} from {} to {}", self.payer, self.pay_to)
    }

    /// The reason of a refusal in words, with its code.
    pub(super) fn explain(&self, code: Option<String>, message: Option<String>) -> Option<String> {
        let of_code = || match Reason::parse(code.as_deref()?)? {
            Reason::InsufficientBalance => Some(format!(
                "the account {} has less than {} {} on {}",
                self.payer, self.amount, self.symbol, self.network
            )),
            _ => None,
        };
        match (message.or_else(of_code), code) {
            (Some(message), Some(code)) if message != code => Some(format!("{message} ({code})")),
            (message, code) => message.or(code),
        }
    }

    /// The receipt in one line.
    pub(super) fn receipt_line(&self) -> String {
        let transaction = self.transaction.as_deref().map(|text| excerpt(text, MOST_SHOWN));
        format!("paid {}, transaction {}", self.offer_line(), transaction.as_deref().unwrap_or("unknown"))
    }
}
