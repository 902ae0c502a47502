//! Sends the requests of an examination to a server that may be hostile.
//!
//! It follows no redirect, sends no request twice, and has a deadline for each exchange as a whole, so that neither a
//! body without end nor one that comes byte by byte keeps it. Each request has a connection of its own unless the check
//! is about connections: what a server does to one exchange must not decide about the next. Proxies of the environment are not
//! used, because they would answer in the server's place.

mod connection;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use coinslot_base::text::excerpt;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use rustls_platform_verifier::Verifier;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::{ClientConfig, Error as TlsError};
use url::Url;

use connection::AnswerLimits;
pub(super) use connection::Connection;

/// The most bytes of the body of an answer that are read: the rest says nothing about how to pay.
const MOST_BODY: usize = 1 << 20;

/// The most bytes of a document that are read, such as a description in OpenAPI.
const MOST_DOCUMENT: usize = 8 << 20;

/// The most characters of a reason.
const MOST_REASON: usize = 300;

/// A client for examinations.
#[derive(Debug)]
pub struct DoctorClient {
    tls: Arc<ClientConfig>,
    /// The longest time for one exchange, from the connection to the end of the body.
    timeout: Duration,
}

/// The reason why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("{0}: it is to be a file of certificates in PEM")]
    Authorities(String),
    #[error("TLS cannot be used: {0}")]
    Tls(#[from] TlsError),
}

/// A request, complete.
#[derive(Clone, Debug)]
pub struct DoctorRequest {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// An answer, with as much of its body as is read.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// The body came to its end.
    pub is_whole: bool,
    pub version: Version,
    /// The time until the head was there, with that for the connection.
    pub took: Duration,
}

/// The reason why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    #[error("cannot connect: {0}")]
    Connect(String),
    #[error("no TLS: {0}")]
    Tls(String),
    #[error("no answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    #[error("the head of the answer has more than {} KiB", connection::MOST_HEAD >> 10)]
    HeadTooLarge,
    #[error("the connection broke before the answer: {0}")]
    Broken(String),
}

impl DoctorClient {
    /// A client that trusts the authorities of this file beside those of the machine.
    pub fn new(timeout: Duration, authorities: Option<&Path>) -> Result<Self, ClientError> {
        let mut roots = Vec::new();
        if let Some(file) = authorities {
            let wrong = |why: String| ClientError::Authorities(format!("{}: {why}", file.display()));
            let pem = std::fs::read(file).map_err(|error| wrong(error.to_string()))?;
            for certificate in CertificateDer::pem_slice_iter(&pem) {
                roots.push(certificate.map_err(|error| wrong(error.to_string()))?);
            }
            if roots.is_empty() {
                return Err(wrong("there is no certificate in it".to_owned()));
            }
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = Verifier::new_with_extra_roots(roots, Arc::clone(&provider))?;
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let tls = config.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth();
        Ok(Self { tls: Arc::new(tls), timeout })
    }

    /// Sends one request by HTTP/1.1 on a connection of its own.
    pub async fn send(&self, request: &DoctorRequest) -> Result<Answer, Unanswered> {
        self.send_reading(request, MOST_BODY).await
    }

    /// Fetches a document.
    pub(super) async fn document(&self, url: &Url) -> Result<Answer, Unanswered> {
        self.send_reading(&DoctorRequest::bare(Method::GET, url.clone()), MOST_DOCUMENT).await
    }

    /// Sends one request by HTTP/2. None if the server does not agree to it.
    pub(super) async fn send_http2(&self, request: &DoctorRequest) -> Result<Option<Answer>, Unanswered> {
        self.within(async {
            let begun = Instant::now();
            let Some(mut connection) = Connection::open_http2(&request.url, &self.tls).await? else { return Ok(None) };
            connection.exchange(request, self.limits(MOST_BODY, begun)).await.map(Some)
        })
        .await
    }

    /// A connection for several requests by HTTP/1.1.
    pub(super) async fn open(&self, url: &Url) -> Result<Connection, Unanswered> {
        self.within(Connection::open(url, &self.tls)).await
    }

    /// Sends a request on an open connection.
    pub(super) async fn send_on(
        &self,
        connection: &mut Connection,
        request: &DoctorRequest,
    ) -> Result<Answer, Unanswered> {
        self.within(connection.exchange(request, self.limits(MOST_BODY, Instant::now()))).await
    }

    async fn send_reading(&self, request: &DoctorRequest, most: usize) -> Result<Answer, Unanswered> {
        self.within(async {
            let begun = Instant::now();
            let mut connection = Connection::open(&request.url, &self.tls).await?;
            connection.exchange(request, self.limits(most, begun)).await
        })
        .await
    }

    /// The longest time for one exchange.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The limits of an exchange that began then. Its body ends a little before the whole exchange would, so that an
    /// answer without end is an answer, too.
    fn limits(&self, most: usize, begun: Instant) -> AnswerLimits {
        AnswerLimits { most, begun, until: begun + self.timeout.mul_f32(0.9) }
    }

    async fn within<T>(&self, work: impl Future<Output = Result<T, Unanswered>>) -> Result<T, Unanswered> {
        let done = tokio::time::timeout(self.timeout, work).await;
        done.unwrap_or(Err(Unanswered::TimedOut(self.timeout)))
    }
}

impl DoctorRequest {
    /// A request without a body and with the `Accept` of directories.
    pub fn bare(method: Method, url: Url) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(http::header::ACCEPT, HeaderValue::from_static("application/json, text/plain;q=0.9, */*;q=0.8"));
        headers.insert(
            http::header::USER_AGENT,
            HeaderValue::from_static(concat!("coinslot-doctor/", env!("CARGO_PKG_VERSION"))),
        );
        Self { method, url, headers, body: Bytes::new() }
    }

    /// The same request with this header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl AsRef<[u8]>) -> Self {
        if let Ok(value) = HeaderValue::from_bytes(value.as_ref()) {
            self.headers.insert(HeaderName::from_static(name), value);
        }
        self
    }
}

impl Answer {
    /// A header's value as text, several joined by commas. None if it is missing.
    pub(super) fn header(&self, name: &str) -> Option<String> {
        let values = self.headers.get_all(name).iter();
        let values: Vec<_> = values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    /// The members of a list in a header, in lower case.
    pub(super) fn list(&self, name: &str) -> Vec<String> {
        let value = self.header(name).unwrap_or_default();
        value.split(',').map(|part| part.trim().to_ascii_lowercase()).filter(|part| !part.is_empty()).collect()
    }

    /// True if the header has this very value.
    pub fn header_is(&self, name: &str, value: &str) -> bool {
        self.headers.get(name).is_some_and(|found| found.as_bytes() == value.as_bytes())
    }

    /// The size of the head as HTTP/1.1 writes it, in bytes.
    pub(super) fn head_bytes(&self) -> usize {
        let fields = self.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
        fields.sum::<usize>() + 32
    }

    /// True for a redirect to another place.
    pub(super) fn is_redirect(&self) -> bool {
        matches!(self.status, 301 | 302 | 303 | 307 | 308) && self.headers.contains_key(http::header::LOCATION)
    }
}

/// The text of an error and of its causes, safe and short enough for a line.
fn reason(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let texts: Vec<String> = causes.map(ToString::to_string).collect();
    excerpt(&texts.join(": "), MOST_REASON)
}
