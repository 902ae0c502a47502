//! Declares what an examination records.

use std::time::Duration;

use alloy::primitives::Address;
use coinslot_x402::facilitator::Supported;
use coinslot_x402::{Network, SettlementResponse};
use http::Method;
use http::header::CONTENT_TYPE;
use url::Url;

use super::client::{Answer, DoctorRequest, Unanswered};
use super::description::DescribedOperation;
use super::documents::Documents;
use super::facts::{ChallengeFacts, Reach};

/// An answer, or the reason why there is none.
pub(super) type Exchange = Result<Answer, Unanswered>;

/// The endpoint under examination.
#[derive(Clone, Debug)]
pub struct EndpointTarget {
    /// A whole request that it would serve for a payment.
    pub request: DoctorRequest,
    /// False if the method is not known, and is to be found by probing.
    pub has_method: bool,
    /// The descriptions of its path in `/openapi.json`.
    described: Vec<DescribedOperation>,
    /// The description of its method and path.
    pub(super) operation: Option<DescribedOperation>,
}

/// Everything that was seen of one endpoint.
#[derive(Clone, Debug)]
pub struct Observed {
    pub target: EndpointTarget,
    pub reach: Reach,
    /// Probes without body and payment, by method.
    pub(super) probes: Vec<(Method, Exchange)>,
    /// The first challenge. None: nothing asked for money.
    pub challenge: Option<ChallengeFacts>,
    /// The answer that the challenge came with.
    pub(super) challenged: Option<Answer>,
    /// The same request again.
    pub(super) again: Option<ChallengeFacts>,
    pub(super) preflight: Exchange,
    pub(super) from_page: Exchange,
    pub(super) head: Option<Exchange>,
    pub(super) unknown_path: Exchange,
    /// Payment headers that no payment is in: what was sent, and its answer.
    pub(super) garbage: Vec<(&'static str, Exchange)>,
    /// A payment header as long as the echo of the challenge, and its length.
    pub(super) long_header: (usize, Exchange),
    pub(super) large_body: Exchange,
    pub(super) keep_alive: KeepAlive,
    /// Over TLS: the answer by HTTP/2. `Ok(None)`: the server does not agree to it.
    pub(super) http2: Option<Result<Option<Answer>, Unanswered>>,
    /// The time of this machine when the challenge came, in Unix seconds.
    pub(super) asked_at: u64,
    pub(super) documents: std::sync::Arc<Documents>,
    pub chain: ChainFacts,
    pub facilitator: FacilitatorFacts,
    pub payment: PaymentFacts,
}

/// The answers of two requests on one connection.
#[derive(Clone, Debug)]
pub(super) struct KeepAlive {
    pub(super) first: Exchange,
    /// The second request, which was sent without reading the body of the first answer to its end. None: the server has
    /// said that it closes the connection.
    pub(super) second: Option<Exchange>,
}

/// The nodes' words about the tokens of a challenge.
#[derive(Clone, Debug)]
pub enum ChainFacts {
    /// No node was given.
    NotAsked,
    /// The node could not be used.
    Unusable(String),
    Read(Vec<TokenFacts>),
}

/// A node's word about one token of a challenge.
#[derive(Clone, Debug)]
pub struct TokenFacts {
    /// The index of its entry in `accepts`.
    pub index: usize,
    pub network: Network,
    pub address: Address,
    pub has_code: bool,
    /// The names and the version of the contract, where it has such functions.
    pub name: Option<String>,
    pub version: Option<String>,
    /// True if the domain of the challenge has the separator of the contract. None: it tells none.
    pub separator_agrees: Option<bool>,
    pub decimals: Option<u8>,
}

/// The kinds of payments that a facilitator says it settles.
#[derive(Clone, Debug)]
pub enum FacilitatorFacts {
    NotAsked,
    Unusable(String),
    Supported(Supported),
}

/// The purchase of an examination.
#[derive(Clone, Debug)]
pub enum PaymentFacts {
    /// Nothing was paid, for this reason.
    NotPaid(String),
    /// A payment was to be made, and could not, for this reason.
    Failed(String),
    Paid(Box<PaidFacts>),
}

/// The outcome of one payment.
#[derive(Clone, Debug)]
pub struct PaidFacts {
    /// The price in words.
    pub price: String,
    pub payer: Address,
    pub network: Network,
    pub took: Duration,
    pub(super) answer: Exchange,
    pub(super) receipt: Option<SettlementResponse>,
    /// The same payment again.
    pub(super) repeated: Exchange,
    /// The same payment without what only this client knows. None: the challenge has nothing such.
    pub(super) stranger: Option<Exchange>,
    pub transfer: TransferFacts,
}

/// The chain's word about the payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransferFacts {
    NotAsked(String),
    /// The transaction used the authorization of the payment for its transfer, and the payer has paid once in all.
    Found,
    Missing(String),
    /// The transaction shows the transfer, and the payer has as much as before.
    Unmoved(String),
    /// The balance of the payer fell by more than the price.
    PaidTwice(String),
}

impl PaidFacts {
    /// The record of a payment that was sent, and sent again.
    pub fn new(
        (price, payer, network): (String, Address, Network),
        answer: Exchange,
        repeated: Exchange,
        stranger: Option<Exchange>,
        transfer: TransferFacts,
    ) -> Self {
        let receipt = answer.as_ref().ok().and_then(receipt);
        let took = answer.as_ref().map(|answer| answer.took).unwrap_or_default();
        Self { price, payer, network, took, answer, receipt, repeated, stranger, transfer }
    }
}

/// The receipt in the header of either version.
pub fn receipt(answer: &Answer) -> Option<SettlementResponse> {
    use base64::Engine;
    let headers = [coinslot_x402::header::PAYMENT_RESPONSE, coinslot_x402::header::X_PAYMENT_RESPONSE];
    let value = headers.into_iter().find_map(|name| answer.headers.get(name))?;
    serde_json::from_slice(&base64::prelude::BASE64_STANDARD.decode(value).ok()?).ok()
}

impl EndpointTarget {
    /// An endpoint, with the descriptions of its path.
    pub fn new(request: DoctorRequest, has_method: bool, described: Vec<DescribedOperation>) -> Self {
        let mut target = Self { request, has_method, described, operation: None };
        target.describe();
        target
    }

    /// Takes the method that asks for money.
    pub(super) fn take_method(&mut self, method: &Method) {
        self.request.method = method.clone();
        self.describe();
    }

    /// True if a description has its path.
    pub(super) fn is_described(&self) -> bool {
        !self.described.is_empty()
    }

    /// The method that the descriptions of its path name, one that costs something first.
    pub(super) fn described_method(&self) -> Option<Method> {
        let paid = self.described.iter().find(|operation| operation.payment_info.is_some());
        paid.or(self.described.first()).map(|operation| operation.method.clone())
    }

    /// Finds the description of the method, whose example stands for a body that is not known.
    fn describe(&mut self) {
        let is_it = |operation: &&DescribedOperation| operation.method == self.request.method;
        self.operation = self.described.iter().find(is_it).cloned();
        if let Some(operation) = self.operation.as_ref().filter(|_| self.request.body.is_empty()) {
            let example = operation.request();
            self.request.body = example.body;
            if let Some(media_type) = example.headers.get(CONTENT_TYPE) {
                self.request.headers.insert(CONTENT_TYPE, media_type.clone());
            }
        }
    }
}

/// True for an endpoint that is described as an operation without a price, and asks for no money.
pub(super) fn is_free(target: &EndpointTarget, probes: &[(Method, Exchange)], has_challenge: bool) -> bool {
    let described = target.operation.as_ref();
    let has_no_price = described.is_some_and(|it| it.payment_info.is_none() && !it.describes_402);
    let asks = |(_, probe): &(Method, Exchange)| probe.as_ref().is_ok_and(|answer| answer.status == 402);
    has_no_price && !has_challenge && !probes.iter().any(asks)
}

impl Observed {
    /// True if it is described as an operation without a price, and asks for no money.
    pub(super) fn is_free(&self) -> bool {
        is_free(&self.target, &self.probes, self.challenge.is_some())
    }

    /// The URL that was called.
    pub fn url(&self) -> &Url {
        &self.target.request.url
    }
}
