//! Sends the requests of `coinslot pay`. A redirect is an answer and is not followed: a payment is for one server.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use coinslot_base::text::excerpt;
use coinslot_x402::{SettlementResponse, header};
use reqwest::header::HeaderValue;

use super::outcome::{self, ChargedWord};
use super::purchase::{RequestSpec, SignedHeader};
use crate::cli::Failure;
use crate::wallet::ReceivedChallenge;

/// The largest body of a 402 that is read, in bytes.
const MAX_CHALLENGE: usize = 1024 * 1024;

/// The part of an error's body that is read to learn whether something was charged, in bytes.
const MAX_ERROR: usize = 64 * 1024;

/// The most characters of a text that a server has chosen and that stands in a line of this command.
pub(super) const MOST_SHOWN: usize = 500;

/// The error of a request that has no answer.
#[derive(Debug)]
pub(super) struct Unanswered {
    /// True if the server may have seen the request.
    pub(super) sent: bool,
    pub(super) message: String,
}

impl Unanswered {
    /// The failure of a request that carries no payment.
    pub(super) fn unpaid(self) -> Failure {
        Failure::new(format!("{}; nothing was paid", self.message))
    }
}

/// An HTTP client that follows no redirects.
#[derive(Debug)]
pub(super) struct PayClient(reqwest::Client);

/// An answer whose body is not read yet.
#[derive(Debug)]
pub(super) struct SellerAnswer {
    pub(super) status: u16,
    response: reqwest::Response,
    /// The part of the body that was read ahead.
    ahead: Option<Bytes>,
}

impl PayClient {
    /// A client that trusts the authorities of this file beside those of the machine.
    pub(super) fn new(timeout: Duration, authorities: Option<&Path>) -> Result<Self, Failure> {
        let client = client(authorities)?.connect_timeout(timeout.min(Duration::from_secs(10))).timeout(timeout);
        client.build().map(Self).map_err(|error| Failure::new(format!("no HTTP client: {error}")))
    }

    /// Sends the request, with a payment or a proof if there is one.
    pub(super) async fn send(
        &self,
        spec: &RequestSpec,
        signed: Option<&SignedHeader>,
    ) -> Result<SellerAnswer, Unanswered> {
        let unsent = |failure: Failure| Unanswered { sent: false, message: failure.message };
        let (method, headers, body) = spec.parts().map_err(unsent)?;
        let mut request = self.0.request(method, spec.url.clone()).headers(headers);
        if spec.body.is_some() {
            request = request.body(body);
        }
        if let Some(signed) = signed {
            request = request.header(signed.header.as_str(), signed.value.as_str());
        }
        match request.send().await {
            Ok(response) => Ok(SellerAnswer { status: response.status().as_u16(), response, ahead: None }),
            // Only a failure before the connection was made proves that the server saw nothing.
            Err(error) => {
                Err(Unanswered { sent: !(error.is_connect() || error.is_builder()), message: describe(&error) })
            }
        }
    }
}

/// A client that follows no redirects, and that trusts the authorities of this file beside those of the machine.
pub(in crate::cli) fn client(authorities: Option<&Path>) -> Result<reqwest::ClientBuilder, Failure> {
    let mut client = reqwest::Client::builder();
    if let Some(file) = authorities {
        let wrong = |reason: String| Failure::usage(format!("--ca {}: {reason}", file.display()));
        let pem = std::fs::read(file).map_err(|error| wrong(error.to_string()))?;
        let authorities =
            reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| wrong(format!("{error}: it is to be PEM")))?;
        if authorities.is_empty() {
            return Err(wrong("there is no certificate in it: it is to be PEM".to_owned()));
        }
        client = client.tls_certs_merge(authorities);
    }
    let client = client.redirect(reqwest::redirect::Policy::none());
    Ok(client.user_agent(concat!("coinslot/", env!("CARGO_PKG_VERSION"))))
}

/// The text of an error with those of its causes.
pub(in crate::cli) fn describe(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    if error.is_connect() && text.contains("Connection refused") {
        let server = error.url().map(|url| url.origin().ascii_serialization()).unwrap_or_default();
        return format!("nothing listens at {server}: start the host, or name another address (connection refused)");
    }
    match advice(&text) {
        Some(advice) => format!("{text} ({advice})"),
        None => text,
    }
}

/// The likely mistake behind an error of TLS, whose own words speak of records.
fn advice(text: &str) -> Option<&'static str> {
    if text.contains("InvalidContentType") {
        Some("the server does not speak TLS there: write http://")
    } else if text.contains("CaUsedAsEndEntity") {
        Some(
            "its certificate is that of an authority (CA:TRUE), as `openssl req -x509` makes it: a server needs one of its \
             own, which `-addext basicConstraints=critical,CA:FALSE` makes; trust that with --ca FILE",
        )
    } else if text.contains("UnknownIssuer") || text.contains("BadSignature") {
        Some(
            "its certificate is not signed by an authority that this machine trusts: name the authority with --ca FILE",
        )
    } else if text.contains("certificate expired") || text.contains("Expired") {
        Some("its certificate has expired, or this machine's clock is wrong")
    } else {
        None
    }
}

impl SellerAnswer {
    pub(super) fn header(&self, name: &str) -> Option<&[u8]> {
        self.response.headers().get(name).map(HeaderValue::as_bytes)
    }

    /// The next piece of the body.
    pub(super) async fn chunk(&mut self) -> reqwest::Result<Option<Bytes>> {
        match self.ahead.take() {
            Some(ahead) => Ok(Some(ahead)),
            None => self.response.chunk().await,
        }
    }

    /// The target of a redirect, as the server writes it.
    pub(super) fn redirect(&self) -> Option<String> {
        let location = self.header("location").filter(|_| matches!(self.status, 301 | 302 | 303 | 307 | 308))?;
        Some(excerpt(&String::from_utf8_lossy(location), MOST_SHOWN))
    }

    /// The status in words, with the target of a redirect.
    pub(super) fn said(&self) -> String {
        let status = self.status;
        match self.redirect() {
            Some(target) => format!("the server answered {status}, a redirect to {target} that was not followed"),
            None => format!("the server answered {status}"),
        }
    }

    /// The methods that a server names which refuses the one of the request.
    pub(super) fn methods(&self) -> Option<String> {
        let methods = self.header("allow").filter(|_| self.status == 405)?;
        Some(excerpt(&String::from_utf8_lossy(methods), MOST_SHOWN))
    }

    /// Reads the beginning of an error's body, in which the server says what went wrong.
    pub(super) async fn read_error(&mut self) {
        if self.status < 400 || self.ahead.is_some() {
            return;
        }
        let mut body = BytesMut::new();
        while body.len() < MAX_ERROR
            && let Ok(Some(chunk)) = self.response.chunk().await
        {
            body.extend_from_slice(&chunk);
        }
        self.ahead = Some(body.freeze());
    }

    /// A text in the body of an error, after [`Self::read_error`].
    fn error_text(&self, key: &str) -> Option<String> {
        let document: serde_json::Value = serde_json::from_slice(self.ahead.as_deref()?).ok()?;
        document.get(key)?.as_str().filter(|text| !text.is_empty()).map(|text| excerpt(text, MOST_SHOWN))
    }

    /// The server's word about the charge: in a header of Coinslot, or in the field `charged` of a JSON body, after
    /// [`Self::read_error`].
    pub(super) fn charged(&self) -> ChargedWord {
        if let Some(charged) = self.header("x-coinslot-charged") {
            return ChargedWord::of(Some(&String::from_utf8_lossy(charged)));
        }
        ChargedWord::of(self.error_text("charged").as_deref())
    }

    /// The settlement, from the header of either version; `None` if it is missing or cannot be read.
    pub(super) fn receipt(&self) -> Option<SettlementResponse> {
        let value = self.header(header::PAYMENT_RESPONSE).or_else(|| self.header(header::X_PAYMENT_RESPONSE))?;
        serde_json::from_slice(&STANDARD.decode(value).ok()?).ok()
    }

    /// True if the reason of a 402 is one for which no server sends a payment to be settled.
    pub(super) fn precedes_settlement(&self) -> bool {
        self.reason().is_some_and(|reason| outcome::precedes_settlement(&reason))
    }

    /// The reason of a refusal, as a code: that of the receipt, of another challenge, or of the body, after
    /// [`Self::read_error`].
    pub(super) fn reason(&self) -> Option<String> {
        let reason = match self.receipt() {
            Some(receipt) => receipt.error_reason,
            None => self.challenge_error().or_else(|| self.error_text("error")),
        };
        reason.map(|reason| excerpt(&reason, MOST_SHOWN))
    }

    /// The words of a refusal for people, from the receipt or the body, after [`Self::read_error`].
    pub(super) fn message(&self) -> Option<String> {
        let of_receipt = self.receipt().and_then(|receipt| receipt.error_message).filter(|text| !text.is_empty());
        of_receipt.map(|text| excerpt(&text, MOST_SHOWN)).or_else(|| self.error_text("message"))
    }

    /// True if the body is a document of JSON about an error.
    pub(super) fn is_json_error(&self) -> bool {
        let kind = self.header("content-type").unwrap_or_default();
        self.status >= 400 && String::from_utf8_lossy(kind).to_ascii_lowercase().starts_with("application/json")
    }

    /// The error of another challenge, in answer to a payment.
    fn challenge_error(&self) -> Option<String> {
        let required = self.header(header::PAYMENT_REQUIRED)?;
        ReceivedChallenge::read(Some(required), &[]).ok()?.error
    }

    /// The headers as text, with the values of one name joined by commas.
    pub(super) fn headers(&self) -> BTreeMap<String, String> {
        let mut all: BTreeMap<String, String> = BTreeMap::new();
        for (name, value) in self.response.headers() {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            all.entry(name.as_str().to_owned())
                .and_modify(|joined| *joined = format!("{joined}, {value}"))
                .or_insert(value);
        }
        all
    }

    /// Reads the challenge of a 402.
    pub(super) async fn challenge(self) -> Result<ReceivedChallenge, Failure> {
        let required = self.header(header::PAYMENT_REQUIRED).map(<[u8]>::to_vec);
        let body = self.body().await?;
        ReceivedChallenge::read(required.as_deref(), &body).map_err(|error| Failure::new(error.to_string()))
    }

    /// Reads the body of a 402, which may have [`MAX_CHALLENGE`] bytes.
    async fn body(mut self) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk().await.map_err(|error| Failure::new(describe(&error)))? {
            if body.len() + chunk.len() > MAX_CHALLENGE {
                return Err(Failure::new("the 402 has a body of more than 1 MiB"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}
