//! The requests of `coinslot pay`. Redirects are shown, not followed: a payment is for one place.

use std::collections::BTreeMap;
use std::io::Read;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use url::{Host, Url};

use super::PayArgs;
use super::state::Payment;
use crate::cli::Failure;
use crate::wallet::Challenge;
use coinslot_x402::{SettlementResponse, header};

/// The most that is read of a 402's body, in bytes.
const MAX_CHALLENGE: usize = 1024 * 1024;

/// What is requested, so that it can be requested again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Call {
    pub(super) url: Url,
    pub(super) method: String,
    /// Pairs, because a header may come twice.
    pub(super) headers: Vec<(String, String)>,
    /// Base64.
    pub(super) body: Option<String>,
}

/// A request that has no answer.
#[derive(Debug)]
pub(super) struct Lost {
    /// Whether the server may have seen it.
    pub(super) sent: bool,
    pub(super) message: String,
}

impl Lost {
    pub(super) fn failure(self) -> Failure {
        Failure::new(self.message)
    }
}

#[derive(Debug)]
pub(super) struct Client(reqwest::Client);

#[derive(Debug)]
pub(super) struct Answered {
    pub(super) status: u16,
    pub(super) response: reqwest::Response,
}

impl Call {
    pub(super) fn of(args: &PayArgs) -> Result<Self, Failure> {
        let url = args.url.clone().ok_or_else(|| Failure::usage("a URL is needed"))?;
        if !["http", "https"].contains(&url.scheme()) || !url.has_host() {
            return Err(Failure::usage(format!("{url} is not an http or https URL")));
        }
        let body = args.data.as_deref().map(body).transpose()?;
        let method = match (&args.method, &body) {
            (Some(method), _) => method.to_ascii_uppercase(),
            (None, Some(_)) => "POST".to_owned(),
            (None, None) => "GET".to_owned(),
        };
        let mut headers = Vec::new();
        for line in &args.header {
            let (name, value) =
                line.split_once(':').ok_or_else(|| Failure::usage(format!("-H `{line}`: write `name: value`")))?;
            let name = name.trim().to_ascii_lowercase();
            if [header::PAYMENT_SIGNATURE, header::X_PAYMENT].contains(&name.as_str()) {
                return Err(Failure::usage(
                    "the payment header is what this command makes: to send a payment again, use --resume",
                ));
            }
            headers.push((name, value.trim().to_owned()));
        }
        if let Some(body) = &body
            && !headers.iter().any(|(name, _)| name == "content-type")
        {
            let json = serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok();
            let kind = if json { "application/json" } else { "text/plain; charset=utf-8" };
            headers.push((CONTENT_TYPE.as_str().to_owned(), kind.to_owned()));
        }
        let call = Self { url, method, headers, body: body.map(|bytes| STANDARD.encode(bytes)) };
        call.parts()?;
        Ok(call)
    }

    /// Whether the server is on this machine.
    pub(super) fn is_local(&self) -> bool {
        match self.url.host() {
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        }
    }

    fn parts(&self) -> Result<(reqwest::Method, HeaderMap, Vec<u8>), Failure> {
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

/// `@FILE`, `-` or the text itself.
fn body(data: &str) -> Result<Vec<u8>, Failure> {
    let cannot =
        |what: &str, error: std::io::Error| Failure::usage(format!("cannot read the body from {what}: {error}"));
    if data == "-" {
        let mut bytes = Vec::new();
        return match std::io::stdin().read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            Err(error) => Err(cannot("stdin", error)),
        };
    }
    match data.strip_prefix('@') {
        Some(path) => std::fs::read(path).map_err(|error| cannot(path, error)),
        None => Ok(data.as_bytes().to_vec()),
    }
}

impl Client {
    pub(super) fn new(timeout: Duration) -> Result<Self, Failure> {
        reqwest::Client::builder()
            .connect_timeout(timeout.min(Duration::from_secs(10)))
            .timeout(timeout)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("coinslot/", env!("CARGO_PKG_VERSION")))
            .build()
            .map(Self)
            .map_err(|error| Failure::new(format!("no HTTP client: {error}")))
    }

    pub(super) async fn send(&self, call: &Call, payment: Option<&Payment>) -> Result<Answered, Lost> {
        let (method, headers, body) = call.parts().map_err(|failure| Lost { sent: false, message: failure.message })?;
        let mut request = self.0.request(method, call.url.clone()).headers(headers);
        if call.body.is_some() {
            request = request.body(body);
        }
        if let Some(payment) = payment {
            request = request.header(payment.header.as_str(), payment.value.as_str());
        }
        match request.send().await {
            Ok(response) => Ok(Answered { status: response.status().as_u16(), response }),
            Err(error) => Err(Lost { sent: !(error.is_connect() || error.is_builder()), message: describe(&error) }),
        }
    }
}

fn describe(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

impl Answered {
    pub(super) fn header(&self, name: &str) -> Option<&[u8]> {
        self.response.headers().get(name).map(HeaderValue::as_bytes)
    }

    /// The settlement, from either version's header. One that cannot be read is none.
    pub(super) fn receipt(&self) -> Option<SettlementResponse> {
        let value = self.header(header::PAYMENT_RESPONSE).or_else(|| self.header(header::X_PAYMENT_RESPONSE))?;
        serde_json::from_slice(&STANDARD.decode(value).ok()?).ok()
    }

    /// What a second 402 says.
    pub(super) fn challenge_error(&self) -> Option<String> {
        let required = self.header(header::PAYMENT_REQUIRED)?;
        Challenge::read(Some(required), &[]).ok()?.error
    }

    /// Headers as text, values of one name joined.
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

    /// The body of a 402, as far as it is of a sane size.
    pub(super) async fn body(mut self) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        while let Some(chunk) = self.response.chunk().await.map_err(|error| Failure::new(describe(&error)))? {
            if body.len() + chunk.len() > MAX_CHALLENGE {
                return Err(Failure::new("the 402 has a body of more than 1 MiB"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}
