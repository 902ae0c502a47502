//! Sends the outgoing requests of one plugin: over pooled connections to allowed origins, with secrets added on the
//! way out and limits on the way in.
//!
//! It follows no redirect, and nothing that a guest or its log can see names a secret.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Method, Request, Response, Uri, Version};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs;
use rustls_platform_verifier::BuilderVerifierExt as _;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use super::allowed::Allowed;
use super::connect::{ConnectError, Connector, Resolve};
use super::emptiness;
use super::origin::Origin;
use super::response::BoundedResponse;
use crate::capabilities::config::{Grants, Secret};
use crate::headers::{CDN_LOOP, HostOnly, is_kept_from_callers, is_withheld, remove};
use crate::limits::OutgoingTimeouts;

/// A body in either direction, in bytes.
const BODY: usize = 64 << 20;
/// The head of a response, in bytes.
const HEAD: usize = 64 << 10;
/// Idle connections to one origin.
const IDLE: usize = 32;
/// The time for which a connection stays idle.
const IDLE_FOR: Duration = Duration::from_secs(60);

/// The HTTP client of one plugin.
pub(crate) struct EgressClient {
    allowed: Arc<[Allowed]>,
    secrets: Vec<Secret>,
    timeouts: OutgoingTimeouts,
    client: Client<HttpsConnector<Connector>, WasiBody>,
    is_host_only: HostOnly,
}

impl fmt::Debug for EgressClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EgressClient")
            .field("allowed", &self.allowed)
            .field("secrets", &self.secrets)
            .finish_non_exhaustive()
    }
}

impl EgressClient {
    /// The client of a plugin that is granted these targets and secrets.
    pub(crate) fn new(
        grants: &Grants,
        timeouts: OutgoingTimeouts,
        resolver: Arc<dyn Resolve>,
        is_host_only: HostOnly,
    ) -> Self {
        let (allowed, secrets) = (Arc::<[Allowed]>::from(grants.http.as_slice()), grants.secrets.clone());
        let plain = secrets.iter().map(Secret::origin).filter(|origin| origin.is_plain());
        let private_only = plain.cloned().collect();
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls())
            .https_or_http()
            .enable_http1()
            .enable_http2()
            .wrap_connector(Connector {
                allowed: Arc::clone(&allowed),
                private_only,
                timeout: timeouts.connect,
                resolver,
            });
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_FOR)
            .pool_max_idle_per_host(IDLE)
            .http1_max_buf_size(HEAD)
            .http2_max_header_list_size(u32::try_from(HEAD).unwrap_or(u32::MAX))
            .build(connector);
        Self { allowed, secrets, timeouts, client, is_host_only }
    }

    /// Sends a request, and returns the head of its response. A request that is not allowed is refused before its
    /// target is looked up.
    pub(crate) async fn send(
        &self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        cdn_loop: HeaderValue,
    ) -> Result<Response<WasiBody>, Error> {
        let asked = Origin::asked(request.uri()).ok_or(Error::HttpRequestUriInvalid)?;
        if !self.allowed.iter().any(|entry| entry.origin.covers(&asked)) {
            return Err(Error::HttpRequestDenied);
        }
        // A server answers TRACE with the request itself, secrets included; CONNECT makes a tunnel.
        if matches!(*request.method(), Method::TRACE | Method::CONNECT) {
            return Err(Error::HttpRequestMethodInvalid);
        }
        let (mut parts, body) = request.into_parts();
        parts.uri = canonical(&asked, &parts.uri)?;
        parts.version = Version::HTTP_11;
        parts.extensions.clear();
        // Removed before the host's own fields are added, which a guest could otherwise forge.
        remove(&mut parts.headers, |name| is_withheld(name) || (self.is_host_only)(name));
        parts.headers.insert(CDN_LOOP, cdn_loop);
        for secret in self.secrets.iter().filter(|secret| *secret.origin() == asked) {
            secret.add_to(&mut parts).map_err(|_| Error::HttpRequestUriInvalid)?;
        }
        // A guest may ask for less time than the host's limits, and gets no more.
        let limit = |asked: Option<Duration>, most: Duration| asked.unwrap_or(most).min(most);
        let options = options.unwrap_or_default();
        let OutgoingTimeouts { connect, first_byte, between_bytes } = self.timeouts;
        let head = limit(options.connect_timeout, connect) + limit(options.first_byte_timeout, first_byte);
        let body = emptiness::checked(&mut parts, body).await;
        let body = Limited::new(body, BODY).map_err(body_error).boxed_unsync();
        let sent = self.client.request(Request::from_parts(parts, body));
        let response = tokio::time::timeout(head, sent).await;
        let response = response.map_err(|_| Error::HttpResponseTimeout)?.map_err(|error| reason(&error))?;
        let (mut parts, body) = response.into_parts();
        remove(&mut parts.headers, is_kept_from_callers);
        parts.extensions.clear();
        let body = BoundedResponse::new(body, BODY as u64, limit(options.between_bytes_timeout, between_bytes));
        Ok(Response::from_parts(parts, body.boxed_unsync()))
    }
}

/// The same target in the canonical form, by which the connector and the pool compare targets.
fn canonical(asked: &Origin, uri: &Uri) -> Result<Uri, Error> {
    let text = asked.to_string();
    let (scheme, authority) = text.split_once("://").ok_or(Error::HttpRequestUriInvalid)?;
    let mut parts = http::uri::Parts::default();
    parts.scheme = Scheme::try_from(scheme).ok();
    parts.authority = Authority::try_from(authority).ok();
    parts.path_and_query = Some(uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/")));
    Uri::from_parts(parts).map_err(|_| Error::HttpRequestUriInvalid)
}

fn body_error(error: Box<dyn std::error::Error + Send + Sync>) -> Error {
    match error.downcast::<Error>() {
        Ok(error) => *error,
        Err(error) if error.is::<LengthLimitError>() => Error::HttpRequestBodySize(Some(BODY as u64)),
        Err(_) => Error::InternalError(None),
    }
}

/// The error that a guest sees: the kind of failure, and nothing of what was sent or of the private network.
fn reason(error: &ClientError) -> Error {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<ConnectError>() {
            return match error {
                ConnectError::Denied => Error::HttpRequestDenied,
                ConnectError::Prohibited => Error::DestinationIpProhibited,
                ConnectError::Unknown => Error::DnsError { rcode: None, info_code: None },
                ConnectError::LookupTimeout => Error::DnsTimeout,
                ConnectError::Refused => Error::ConnectionRefused,
                ConnectError::Timeout => Error::ConnectionTimeout,
            };
        }
        if let Some(Error::HttpRequestBodySize(size)) = error.downcast_ref::<Error>() {
            return Error::HttpRequestBodySize(*size);
        }
        if let Some(error) = error.downcast_ref::<rustls::Error>() {
            return match error {
                rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => {
                    Error::TlsCertificateError
                }
                _ => Error::TlsProtocolError,
            };
        }
        if let Some(error) = error.downcast_ref::<hyper::Error>() {
            if error.is_parse_too_large() {
                return Error::HttpResponseHeaderSectionSize(u32::try_from(HEAD).ok());
            }
            if error.is_parse() {
                return Error::HttpProtocolError;
            }
        }
        // The error inside of an `io::Error` is not its `source`.
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        source = inner.map(|inner| inner as &(dyn std::error::Error + 'static)).or_else(|| error.source());
    }
    Error::ConnectionTerminated
}

/// The TLS configuration of the whole process: reading the machine's certificates takes milliseconds.
fn tls() -> ClientConfig {
    static TLS: OnceLock<ClientConfig> = OnceLock::new();
    TLS.get_or_init(|| {
        let builder = || {
            ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .expect("the provider's own suites fit the versions")
        };
        match builder().with_platform_verifier() {
            Ok(config) => config.with_no_client_auth(),
            Err(error) => {
                tracing::warn!(%error, "the machine has no certificates to trust: plugins reach no https origin");
                builder().with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth()
            }
        }
    })
    .clone()
}
