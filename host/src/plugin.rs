//! Running untrusted components within limits: engines, bindings, stores, faults.
//!
//! This room does not know that money exists. It is told what a receipt says and hands it to the
//! guest; it reads what a guest declares and returns the words as they are. A guest runs only with
//! a [`Permit`], which is granted in exactly two places: for a free route, and for a reserved payment.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;

/// A request body on its way into a guest.
pub type RequestBody = UnsyncBoxBody<Bytes, BodyError>;
/// A response body on its way out of a guest: polling it drives the guest.
pub type ResponseBody = UnsyncBoxBody<Bytes, Fault>;
/// Why a request body ended early.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// What bounds a plugin. Every limit has an operator's override.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Linear memory of one instance, in bytes.
    pub memory: usize,
    /// CPU time of one request.
    pub cpu: Duration,
    /// Wall time of one request until the response's head.
    pub first_byte: Duration,
    /// Wall time of one request in total.
    pub total: Duration,
    /// Request body, in bytes.
    pub request_body: u64,
    /// Response body, in bytes.
    pub response_body: u64,
    /// Instances at once.
    pub instances: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 128 << 20,
            cpu: Duration::from_secs(1),
            first_byte: Duration::from_secs(30),
            total: Duration::from_secs(300),
            request_body: 10 << 20,
            response_body: 10 << 20,
            instances: 64,
        }
    }
}

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
    pub path: String,
    pub price: DeclaredPrice,
    pub summary: String,
    pub description: String,
    pub mime_type: String,
    /// JSON, parsed.
    pub input_schema: Option<serde_json::Value>,
    /// JSON, parsed.
    pub output_schema: Option<serde_json::Value>,
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
pub struct Receipt {
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
pub struct Refusal {
    pub status: u16,
    pub code: String,
    pub message: String,
}

/// Leave to run a guest once. Not `Clone`: one grant, one run.
#[derive(Debug)]
#[must_use]
pub struct Permit {
    receipt: Option<Receipt>,
}

impl Permit {
    /// Grants leave. Call sites are counted by a test: one for free routes, one for reserved payments.
    pub fn grant(receipt: Option<Receipt>) -> Self {
        Self { receipt }
    }
}

/// Why a guest gave no usable answer. Nothing it said reaches a client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It trapped or exited; the text is for the operator's log.
    #[error("the plugin trapped: {0}")]
    Trap(String),
    /// It used up its CPU time.
    #[error("the plugin used more CPU time than its limit")]
    Cpu,
    /// It took too long.
    #[error("the plugin took longer than its limit")]
    Deadline,
    /// It wanted more memory than its limit.
    #[error("the plugin wanted more memory than its limit")]
    Memory,
    /// Its answer was larger than its limit.
    #[error("the plugin's answer is larger than its limit")]
    ResponseTooLarge,
    /// It returned without an answer, or with one that HTTP forbids.
    #[error("the plugin gave no valid response: {0}")]
    NoResponse(String),
    /// As many instances as allowed are running.
    #[error("the plugin is at its limit of instances")]
    Busy,
}

/// Why a component cannot be loaded. The sentence says what to do; it is for operators and authors.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// Not a component, or not one that this host can run.
    #[error("{0}")]
    Invalid(String),
    /// `describe` failed, refused, or said something that breaks the contract.
    #[error("{0}")]
    Describe(String),
}

/// Engines, linkers and the pool: one per process.
#[derive(Debug)]
pub struct Runtime {}

/// A loaded component, ready to be instantiated. Cheap to clone behind `Arc`.
#[derive(Debug)]
pub struct Plugin {
    info: PluginInfo,
}

impl Runtime {
    /// Builds both engines and starts the epoch ticker. `artifacts` is the directory of compiled
    /// components, created with mode 0700; nothing but this host may write there. At most
    /// `instances` guests run at once.
    pub fn new(artifacts: &std::path::Path, instances: usize) -> Result<Arc<Self>, std::io::Error> {
        let _ = (artifacts, instances);
        todo!("plugin room")
    }

    /// Validates, compiles (or finds the compiled artifact), pre-instantiates and describes.
    pub async fn load(self: &Arc<Self>, wasm: &[u8], limits: Limits) -> Result<Plugin, LoadError> {
        let _ = (wasm, limits);
        todo!("plugin room")
    }
}

impl Plugin {
    /// What it declared at load.
    pub fn info(&self) -> &PluginInfo {
        &self.info
    }

    /// Whether it exports `quote`.
    pub fn quotes(&self) -> bool {
        todo!("plugin room")
    }

    /// Answers one request in a fresh instance. The future and the body drive the guest; dropping
    /// either stops it.
    pub async fn invoke(
        &self,
        permit: Permit,
        request: http::Request<RequestBody>,
    ) -> Result<http::Response<ResponseBody>, Fault> {
        let _ = (permit.receipt, request);
        todo!("plugin room")
    }

    /// Asks the price of one request.
    pub async fn quote(&self, request: QuoteRequest) -> Result<Result<String, Refusal>, Fault> {
        let _ = request;
        todo!("plugin room")
    }
}
