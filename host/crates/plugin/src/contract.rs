//! The types of the WIT contract in Rust, and the bodies of requests and responses.

use std::fmt;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;

use crate::fault::Fault;
use crate::template::Template;

/// A request body on its way into a guest.
pub type RequestBody = UnsyncBoxBody<Bytes, RequestBodyError>;
/// A response body on its way out of a guest: polling it drives the guest.
pub type ResponseBody = UnsyncBoxBody<Bytes, Fault>;
/// The reason why a request body ended early.
pub type RequestBodyError = Box<dyn std::error::Error + Send + Sync>;

/// A plugin's own description, checked for sizes and characters but not for prices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginInfo {
    pub name: String,
    pub version: String,
    pub endpoints: Vec<EndpointInfo>,
}

/// One declared endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointInfo {
    pub method: http::Method,
    pub path: Template,
    pub price: DeclaredPrice,
    pub summary: String,
    pub description: String,
    pub mime_type: String,
    /// A JSON object.
    pub input_schema: Option<serde_json::Value>,
    /// A JSON object.
    pub output_schema: Option<serde_json::Value>,
    /// The header fields that `quote` sees beside `content-type`, as written.
    pub quote_headers: Vec<String>,
    /// Keys and values that the contract has no field for.
    pub extensions: Vec<(String, String)>,
}

/// The variant `price` of the WIT contract, amounts as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeclaredPrice {
    Free,
    Exact(String),
    UpTo(String),
    Quoted(String),
}

impl EndpointInfo {
    /// The method and the path template, as in `GET /now`.
    pub fn label(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

impl fmt::Display for DeclaredPrice {
    /// `free`, `0.01`, `up to 0.50`, `quoted <= 0.50`: the amount as written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Free => f.write_str("free"),
            Self::Exact(amount) => f.write_str(amount),
            Self::UpTo(amount) => write!(f, "up to {amount}"),
            Self::Quoted(amount) => write!(f, "quoted <= {amount}"),
        }
    }
}

/// The result of `coinslot:plugin/payment.current`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentReceipt {
    pub payer: String,
    pub amount: String,
    pub asset: String,
    pub network: String,
    pub payment_id: String,
}

/// The argument of `coinslot:plugin/quote.quote`.
#[derive(Clone, Debug)]
pub struct QuoteRequest {
    pub method: http::Method,
    pub route: String,
    pub params: Vec<(String, String)>,
    pub query: Option<String>,
    pub headers: http::HeaderMap,
    pub body: Bytes,
}

/// The price that `coinslot:plugin/quote.quote` answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QuotedPrice {
    /// This request costs nothing.
    Free,
    /// An amount as written.
    Amount(String),
}

/// The error of `coinslot:plugin/quote.quote`. The status is from 400 to 499 and not 402.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuoteRefusal {
    pub status: u16,
    pub code: String,
    pub message: String,
    /// A JSON pointer to the wrong field, if the plugin names one.
    pub pointer: Option<String>,
    /// The rule that the field breaks, if the plugin names it.
    pub rule: Option<String>,
}
