//! What a guest says and is told, as the rest of the host reads it: the words of the WIT contract in Rust.

use bytes::Bytes;

use crate::template::Template;

/// What a plugin says of itself, checked for sizes and characters but not for prices.
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
    /// JSON, parsed.
    pub input_schema: Option<serde_json::Value>,
    /// JSON, parsed.
    pub output_schema: Option<serde_json::Value>,
    /// Keys and values that the contract has no field for.
    pub extensions: Vec<(String, String)>,
}

/// The variant of the WIT contract, amounts as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeclaredPrice {
    Free,
    Exact(String),
    UpTo(String),
    Quoted(String),
}

/// What `coinslot:plugin/payment.current` answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentReceipt {
    pub payer: String,
    pub amount: String,
    pub asset: String,
    pub network: String,
    pub payment_id: String,
}

/// What `coinslot:plugin/quote.quote` is asked.
#[derive(Clone, Debug)]
pub struct QuoteRequest {
    pub method: http::Method,
    pub route: String,
    pub params: Vec<(String, String)>,
    pub query: Option<String>,
    pub headers: http::HeaderMap,
    pub body: Bytes,
}

/// What it answers instead of an amount. The status is from 400 to 499 and not 402.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuoteRefusal {
    pub status: u16,
    pub code: String,
    pub message: String,
}
