//! Sends the requests of `coinslot test`, and pays for them on the embedded chain.

#![expect(clippy::disallowed_methods, reason = "a payment is signed for a window of time")]

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use alloy::primitives::{Address, U256};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use coinslot_base::text::excerpt;
use coinslot_evm::Key;
use coinslot_x402::price::Amount;
use coinslot_x402::{SettlementResponse, UnixTime, header};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde_json::Value;

use crate::cli::dev::chain::DevChain;
use crate::example::ExampleRequest;
use crate::wallet::{ReceivedChallenge, SignedPayment, sign};

/// The most characters of an answer that are shown.
const MAX_SHOWN: usize = 300;

/// A client with money on the embedded chain.
pub(super) struct Buyer {
    url: String,
    client: reqwest::Client,
    key: Key,
    chain: Arc<DevChain>,
    timeout: Duration,
}

/// An answer that has been read to its end.
#[derive(Debug)]
pub(super) struct ReadAnswer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Buyer {
    /// A client of the host at this URL. Each request may take as long as `timeout`.
    pub(super) fn new(url: String, chain: Arc<DevChain>, timeout: Duration) -> Result<Self, String> {
        let client = reqwest::Client::builder()
            .timeout(timeout)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            // The user agent of `coinslot pay`: a plugin that recognized a test could answer it otherwise than customers.
            .user_agent(concat!("coinslot/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| format!("no HTTP client: {error}"))?;
        let key = Key::parse(&chain.payer_key(), "the embedded chain").map_err(|error| error.to_string())?;
        Ok(Self { url, client, key, chain, timeout })
    }

    /// Sends a request, with a payment if there is one.
    pub(super) async fn send(
        &self,
        example: &ExampleRequest,
        payment: Option<&SignedPayment>,
    ) -> Result<ReadAnswer, String> {
        let failed = |error: reqwest::Error| {
            if error.is_timeout() {
                let seconds = self.timeout.as_secs_f64();
                return format!("no complete answer came within {seconds} seconds: --timeout is the longest time");
            }
            let mut reason = error.to_string();
            let mut cause = std::error::Error::source(&error);
            while let Some(inner) = cause {
                reason = format!("{reason}: {inner}");
                cause = inner.source();
            }
            format!("the answer broke off: {reason}")
        };
        let mut request = self.client.request(example.method.clone(), format!("{}{}", self.url, example.target));
        if let Some(media_type) = &example.media_type {
            request = request.header(CONTENT_TYPE, media_type);
        }
        if !example.body.is_empty() {
            request = request.body(example.body.clone());
        }
        if let Some(payment) = payment {
            request = request.header(payment.header, &payment.value);
        }
        let answer = request.send().await.map_err(failed)?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        Ok(ReadAnswer { status, headers, body: answer.bytes().await.map_err(failed)? })
    }

    /// Signs a payment for a challenge, by its first way to pay.
    pub(super) fn sign(&self, challenge: &ReceivedChallenge) -> Result<SignedPayment, String> {
        let option = challenge.options.first().ok_or("the challenge has no way to pay")?;
        sign(&self.key, challenge, option, UnixTime::from(SystemTime::now())).map_err(|error| error.to_string())
    }

    /// The address that pays.
    pub(super) fn payer(&self) -> Address {
        self.key.address()
    }

    /// The address that is paid.
    pub(super) fn seller(&self) -> Address {
        self.chain.seller()
    }

    /// The money that the payer has.
    pub(super) async fn balance(&self) -> Result<Amount, String> {
        let balance: Option<U256> = self.chain.balance(self.key.address()).await;
        balance.map(Amount).ok_or_else(|| "the embedded chain does not answer".to_owned())
    }
}

impl ReadAnswer {
    /// The challenge of a 402: version 2, and the same in version 1.
    pub(super) fn challenge(&self) -> Result<ReceivedChallenge, String> {
        let required = self.headers.get(header::PAYMENT_REQUIRED).map(http::HeaderValue::as_bytes);
        let second = ReceivedChallenge::read(Some(required.unwrap_or_default()), &[]);
        let second = second.map_err(|error| error.to_string())?;
        let first = ReceivedChallenge::read(None, &self.body).map_err(|error| error.to_string())?;
        let amounts = |challenge: &ReceivedChallenge| -> Vec<Amount> {
            challenge.options.iter().map(|option| option.amount).collect()
        };
        if amounts(&first) != amounts(&second) {
            return Err("its header and its body ask for different amounts".to_owned());
        }
        if let Some(reason) = second.unusable.first() {
            return Err(format!("its requirements are not valid: {reason}"));
        }
        Ok(second)
    }

    /// The receipt, if the payment was settled.
    pub(super) fn receipt(&self) -> Option<SettlementResponse> {
        let value = self.headers.get(header::PAYMENT_RESPONSE)?;
        let receipt: SettlementResponse = serde_json::from_slice(&STANDARD.decode(value).ok()?).ok()?;
        receipt.success.then_some(receipt)
    }

    pub(super) fn media_type(&self) -> &str {
        self.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The status, and the reason that the body gives.
    pub(super) fn summary(&self) -> String {
        let document: Option<Value> = serde_json::from_slice(&self.body).ok();
        let field = |name: &str| document.as_ref()?.get(name)?.as_str().map(str::to_owned);
        let text = match (field("error"), field("message")) {
            (Some(code), Some(message)) => format!("{code}: {message}"),
            (Some(text), None) | (None, Some(text)) => text,
            (None, None) => String::from_utf8_lossy(&self.body).into_owned(),
        };
        match excerpt(text.trim(), MAX_SHOWN) {
            text if text.is_empty() => self.status.to_string(),
            text => format!("{} {text}", self.status),
        }
    }
}
