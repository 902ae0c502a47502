//! Decides who may ask the admin listener.
//!
//! Three dangers. Another machine: a listener that others reach asks for a token. A page in the operator's own browser,
//! whose requests come from the operator's machine: it can send some without leave, and by DNS rebinding (a name of its
//! own that resolves to 127.0.0.1) read the answers. So the request must name a host that is an address, `localhost` or
//! configured, and must not come from a page of another origin: not even a question, whose answer that page cannot read,
//! because a report costs the host work. A link that leads to a page of the dashboard is followed. A form must carry what
//! only a page of this listener has. A stranger who guesses: the token is compared by its digest, in constant time, and
//! an address has few tries.

mod certificate;
mod source;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::http::header::{AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use coinslot_ledger::{Admitted, Author};
use sha2::{Digest, Sha256};

use self::source::{is_link, is_of_another_page};
use super::api::ApiError;
use super::sessions::{Sessions, session_id};
use crate::config::{AdminConfig, AdminTls};
use crate::host::HostError;
use crate::payment::{RateLimiter, client_network};
use crate::server::{Identity, Tls};

pub(super) use self::certificate::PeerCertificate;
pub(super) use self::source::authority;

/// The shortest token.
const SHORTEST_TOKEN: usize = 16;

/// Wrong tokens of one address: a few at once, and then one in five seconds.
const WRONG_PER_SECOND: f64 = 0.2;
const WRONG_BURST_SECONDS: f64 = 45.0;

/// The conditions under which the admin listener answers.
#[derive(Debug)]
pub struct AdminAccess {
    /// SHA-256 of the token. None: none is asked for.
    token: Option<[u8; 32]>,
    hosts: Vec<String>,
    is_encrypted: bool,
    asks_for_certificate: bool,
    sessions: Sessions,
    /// Proves that a form is of a page of this listener.
    form_key: [u8; 32],
    wrong: Option<RateLimiter<IpAddr>>,
}

/// A person or a program that is admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Visitor {
    /// Proves that a form is of a page that this visitor was shown.
    pub(super) form_proof: String,
    /// Set for a browser that has signed in, and can sign out.
    pub(super) has_session: bool,
    /// The name of this visitor in the audit log.
    pub(super) author: Author,
}

impl AdminAccess {
    /// The access that the configuration describes, with its token.
    pub fn new(config: &AdminConfig, token: Option<&str>) -> Self {
        Self {
            token: token.map(digest),
            hosts: config.hosts.clone(),
            is_encrypted: config.tls.is_some(),
            asks_for_certificate: config.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some()),
            sessions: Sessions::default(),
            form_key: secp256k1::rand::random(),
            wrong: RateLimiter::new(WRONG_PER_SECOND, WRONG_BURST_SECONDS),
        }
    }

    /// True if its connections are encrypted by the host itself.
    pub(super) fn is_encrypted(&self) -> bool {
        self.is_encrypted
    }

    /// True if visitors need a token.
    pub(super) fn asks_for_token(&self) -> bool {
        self.token.is_some()
    }

    /// True if the handshake asks visitors for a certificate.
    pub(super) fn asks_for_certificate(&self) -> bool {
        self.asks_for_certificate
    }

    /// Refuses a request that comes by a name, or from a page, that is not this listener's.
    pub(super) fn check_source<B>(&self, request: &Request<B>) -> Result<(), ApiError> {
        let headers = request.headers();
        let host = authority(headers).ok_or_else(|| {
            ApiError::new(StatusCode::BAD_REQUEST, "no_host", "the request names no host: send a Host header")
        })?;
        if !self.is_known(host.host()) {
            let message = format!(
                "`{}` is no name of this listener: ask by an address or by localhost, or add the name to `hosts` in [admin]",
                coinslot_base::text::excerpt(host.host(), 100)
            );
            return Err(ApiError::new(StatusCode::MISDIRECTED_REQUEST, "unknown_host", message));
        }
        if is_of_another_page(headers, &host) && !is_link(request) {
            let message = "a page of another origin may neither ask nor change anything here";
            return Err(ApiError::new(StatusCode::FORBIDDEN, "cross_origin", message));
        }
        Ok(())
    }

    /// Refuses a request that carries neither the token nor the session of a browser that has signed in.
    pub(super) fn admit<B>(&self, request: &Request<B>, client: IpAddr, now: Instant) -> Result<Visitor, ApiError> {
        let headers = request.headers();
        let session = authority(headers).and_then(|host| session_id(headers, &host));
        let session = session.filter(|id| self.sessions.has(id, now));
        let admitted = match (session, &self.token) {
            (Some(_), _) => Admitted::Session,
            (None, None) => Admitted::WithoutToken,
            (None, Some(_)) => Admitted::Token,
        };
        let certificate = request.extensions().get::<PeerCertificate>().map(|shown| shown.subject().to_owned());
        let visitor = Visitor {
            form_proof: self.form_proof(session.unwrap_or_default()),
            has_session: session.is_some(),
            author: Author::Operator { address: client, admitted, certificate },
        };
        if self.token.is_none() || session.is_some() {
            return Ok(visitor);
        }
        match bearer(headers) {
            Some(token) => self.check_token(token, client, now).map(|()| visitor),
            None => Err(missing()),
        }
    }

    /// Begins a session for whoever knows the token. Returns its id.
    pub(super) fn sign_in(&self, token: &str, client: IpAddr, now: Instant) -> Result<String, ApiError> {
        self.check_token(token.trim(), client, now)?;
        Ok(self.sessions.begin(now))
    }

    /// Ends the session of a browser.
    pub(super) fn sign_out(&self, id: &str) {
        self.sessions.end(id);
    }

    /// Compares a token, unless this client has sent many wrong ones: then not even the right one is taken for a while,
    /// because an answer to it would tell that it is right.
    fn check_token(&self, token: &str, client: IpAddr, now: Instant) -> Result<(), ApiError> {
        let Some(expected) = self.token else { return Ok(()) };
        let client = client_network(client);
        if let Some(wait) = self.wrong.as_ref().and_then(|wrong| wrong.look(&client, now).err()) {
            let seconds = wait.as_secs() + 1;
            let unit = if seconds == 1 { "second" } else { "seconds" };
            let message = format!("too many wrong tokens: wait {seconds} {unit}");
            return Err(ApiError::new(StatusCode::TOO_MANY_REQUESTS, "too_many_tokens", message));
        }
        if is_same(&digest(token), &expected) {
            return Ok(());
        }
        let _ = self.wrong.as_ref().map(|wrong| wrong.take(client, now));
        // As many lines as tries: an address has few.
        tracing::warn!(%client, "a wrong token was sent to the admin listener");
        let message = "this is not the token of [admin]: it is in the file or the variable that `token_file` or `token_env` names";
        Err(ApiError::new(StatusCode::UNAUTHORIZED, "token_wrong", message))
    }

    /// The proof that the forms of a page carry. A page of another origin cannot read it.
    fn form_proof(&self, session: &str) -> String {
        let mut hash = Sha256::new();
        hash.update(self.form_key);
        hash.update(session.as_bytes());
        hex::encode(hash.finalize())
    }

    /// True if no page can have made this name up: an address, `localhost`, or a name of the configuration.
    fn is_known(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&host);
        address.parse::<std::net::IpAddr>().is_ok() || host == "localhost" || self.hosts.contains(&host)
    }
}

/// Reads the token that the configuration names.
///
/// # Errors
///
/// The variable or the file is missing, or the token is shorter than 16 characters or not visible ASCII.
pub fn read_token(config: &AdminConfig) -> Result<Option<String>, HostError> {
    let Some(source) = &config.token else { return Ok(None) };
    let failed = |reason: String| HostError::Config(format!("admin: {reason}"));
    let text = crate::host::secret_text(source).map_err(failed)?;
    let token = text.trim();
    if token.len() < SHORTEST_TOKEN || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(failed(format!(
            "the token needs at least {SHORTEST_TOKEN} characters of visible ASCII: `openssl rand -hex 32` makes one"
        )));
    }
    Ok(Some(token.to_owned()))
}

/// Reads the certificate of the listener, and the authorities of its clients' certificates, if they are configured.
///
/// # Errors
///
/// A file is missing or is not what it should be.
pub fn read_admin_tls(config: &AdminConfig) -> Result<Option<Arc<Tls>>, HostError> {
    let Some(AdminTls { certificates, key, client_ca }) = config.tls.clone() else { return Ok(None) };
    let tls = Tls::for_operators(Identity { certificates, key }, client_ca.as_deref());
    tls.map(|tls| Some(Arc::new(tls))).map_err(|error| HostError::Config(format!("admin.tls: {error}")))
}

/// The answer to a request that is not answered for lack of a token says how to send it, and when.
pub(super) fn with_scheme(response: Response<Body>) -> Response<Body> {
    let mut response = with_wait(response);
    if response.status() == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"coinslot\""));
    }
    response
}

/// The answer to an address that has sent too many wrong tokens says when to come again.
pub(super) fn with_wait(mut response: Response<Body>) -> Response<Body> {
    if response.status() == StatusCode::TOO_MANY_REQUESTS {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("10"));
    }
    response
}

fn missing() -> ApiError {
    let message = "send the token of [admin]: `Authorization: Bearer TOKEN`";
    ApiError::new(StatusCode::UNAUTHORIZED, "token_missing", message)
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

pub(super) fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// Compares in constant time.
pub(super) fn is_same(one: &[u8; 32], other: &[u8; 32]) -> bool {
    one.iter().zip(other).fold(0, |differs, (one, other)| differs | (one ^ other)) == 0
}
