//! Declares the counts of requests for the funnel from the price to the payment.

/// Requests to one endpoint that ended alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestCount {
    /// The money that the endpoint takes is worth nothing.
    pub testnet: bool,
    pub plugin: String,
    /// The method and the path template.
    pub endpoint: String,
    /// The word for their end: `challenged`, `refused` and so on.
    pub outcome: &'static str,
    /// The code of the error that they were answered with. Empty: there was none.
    pub code: String,
    pub requests: u64,
}
