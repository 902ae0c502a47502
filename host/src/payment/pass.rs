//! Sells passes and recognises their holders: by the account that signed in, or by the cookie of a browser.
//!
//! The token of a cookie is a MAC of the payment that bought the pass and of the secret of its challenge, so that the same
//! payment, sent again for a lost answer, sets the same cookie, and nobody else can make it: who reads a payment on the
//! chain, or shares an address with its payer, does not know the secret. A payment without one buys no cookie. The
//! ledger keeps the token's hash alone, from the claim on, and goes by that hash: a host with another key honours the
//! cookies that were set before.

use alloy::primitives::hex;
use coinslot_base::request_id::RequestId;
use coinslot_ledger::{
    Fingerprint, FreeClaim, FreeGrant, FreeKind, Holder, LedgerError, PassFound, PassPrice, PassProof, PassQuery,
    PassRefusal, PassTerms, PaymentId, SoldPass,
};
use coinslot_x402::price::Offer;
use coinslot_x402::sign_in::{ProvenBy, SignInProof};
use hmac::{Hmac, Mac};
use http::HeaderMap;
use http::header::{COOKIE, HeaderName, HeaderValue, ORIGIN, USER_AGENT};
use sha2::{Digest, Sha256};
use sha2_mac::Sha256 as MacSha256;
use url::Url;

use super::{Payments, Problem, Purchase};

/// The beginning of the name of every cookie. The rest tells routes apart, whose paths may lie below one another.
const COOKIE_PREFIX: &str = "coinslot_pass_";

/// The bytes of a route's hash in the name of its cookie.
const NAME_BYTES: usize = 4;

/// The digits of a token.
const TOKEN_DIGITS: usize = 64;

/// The most cookies of one name that are looked up.
const MOST_TOKENS: usize = 8;

static SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// The field by which the script of a page of this host says that it asks. Guests never see it.
pub(crate) static PAGE: HeaderName = HeaderName::from_static("x-coinslot-page");

// === Selling ===

/// The pass that a payment for this purchase buys.
pub(super) fn sold(payments: &Payments, purchase: &Purchase, holder: &Holder, id: &PaymentId) -> Option<SoldPass> {
    let terms = purchase.access.pass?;
    Some(SoldPass { terms, token: hash_of(token(&payments.config.quote_key, holder.secret, id).as_bytes()) })
}

/// The token of the pass that a payment bought, in hexadecimal digits. That of a payment without a secret is given to
/// nobody.
fn token(key: &[u8; 32], secret: Option<Fingerprint>, id: &PaymentId) -> String {
    let mut mac = Hmac::<MacSha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(b"pass");
    match secret {
        Some(Fingerprint(secret)) => mac.update(&secret),
        None => mac.update(b"without a secret"),
    }
    for text in [id.network().as_str(), id.asset(), id.payer(), id.nonce()] {
        mac.update(&(text.len() as u64).to_be_bytes());
        mac.update(text.as_bytes());
    }
    hex::encode(mac.finalize().into_bytes())
}

fn hash_of(token: &[u8]) -> Fingerprint {
    Fingerprint(Sha256::digest(token).into())
}

/// A page of this host in a browser that pays, which gets the cookie of the pass that it buys.
#[derive(Debug)]
pub(super) struct BuyingPage {
    terms: PassTerms,
    name: String,
    path: String,
    secure: bool,
}

impl BuyingPage {
    /// None if nothing here buys a pass, or if the request comes from a program or from a page of another site: a
    /// browser would not keep the cookie for it.
    pub(super) fn of(purchase: &Purchase, headers: &HeaderMap) -> Option<Self> {
        let terms = purchase.access.pass?;
        let agent = headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        (agent.contains("Mozilla") && is_own_page(headers, &purchase.url)).then(|| Self {
            terms,
            name: cookie_name(&purchase.endpoint.label),
            path: cookie_path(&purchase.endpoint.url),
            secure: purchase.url.starts_with("https://"),
        })
    }

    /// The field that gives the browser the token of this payment's pass. None if the client shows no secret.
    pub(super) fn cookie(&self, payments: &Payments, holder: &Holder, id: &PaymentId) -> Option<HeaderValue> {
        let Self { terms, name, path, secure } = self;
        let secret = holder.secret?;
        let (token, seconds) = (token(&payments.config.quote_key, Some(secret), id), terms.seconds());
        let secure = if *secure { "; Secure" } else { "" };
        let text = format!("{name}={token}; Path={path}; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

fn cookie_name(label: &str) -> String {
    format!("{COOKIE_PREFIX}{}", hex::encode(&Sha256::digest(label)[..NAME_BYTES]))
}

/// The part of a route's path before its first parameter, as whole segments.
fn cookie_path(url_of_template: &str) -> String {
    let path = url_of_template.split_once("://").map_or(url_of_template, |(_, rest)| rest);
    let path = path.find('/').map_or("/", |at| &path[at..]);
    let literal = match path.find('{') {
        Some(at) => path[..at].rsplit_once('/').map_or("/", |(segments, _)| segments),
        None => path,
    };
    // Every path is ASCII and canonical; what could end the attribute makes the cookie one of the whole host.
    let is_plain = literal.starts_with('/') && literal.bytes().all(|byte| byte.is_ascii_graphic() && byte != b';');
    if is_plain { literal.to_owned() } else { "/".to_owned() }
}

/// True if the script of a page of this host makes the request: it says so in a field of its own, which no link, form,
/// redirect, header field or element of a page can set. A script of another origin that sets it is told apart by the
/// browser (Fetch Metadata, `Sec-Fetch-Site`; `Origin`), or is asked for leave to send the cookie, which it never has.
fn is_own_page(headers: &HeaderMap, url: &str) -> bool {
    let is_same = |origin: &HeaderValue| {
        Url::parse(url).is_ok_and(|url| url.origin().ascii_serialization().as_bytes() == origin.as_bytes())
    };
    headers.contains_key(&PAGE)
        && headers.get(&SEC_FETCH_SITE).is_none_or(|site| site.as_bytes() == b"same-origin")
        && headers.get(ORIGIN).is_none_or(is_same)
}

// === Returning ===

/// The hashes of the tokens in the cookies of a request to an endpoint with passes. Several cookies can have the name of
/// one: a page of another host of the same site can set one, which the browser may send first.
///
/// A browser sends the cookie along with links, redirects and forms of plugins and of other sites, and with pages that it
/// fetches in case that they are opened. None of these may use up a pass, so it counts for the pages of this host.
pub(super) fn presented_tokens(purchase: &Purchase, headers: &HeaderMap) -> Vec<Fingerprint> {
    if purchase.access.pass.is_none() || !is_own_page(headers, &purchase.url) {
        return Vec::new();
    }
    let name = cookie_name(&purchase.endpoint.label);
    let cookies = headers.get_all(COOKIE).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
    let values = cookies.filter_map(|cookie| {
        let (known, value) = cookie.trim_ascii().split_at_checked(name.len())?;
        (known == name.as_bytes()).then(|| value.strip_prefix(b"="))?
    });
    values.filter(|value| value.len() == TOKEN_DIGITS).take(MOST_TOKENS).map(hash_of).collect()
}

/// The proof of an account by which its pass is found.
pub(super) fn account_of(proof: &SignInProof) -> PassProof {
    PassProof::Account {
        payer: proof.address().to_string().to_ascii_lowercase(),
        // A key is that of the address on every EVM network, whichever its wallet signs for; a contract is one of its
        // own network.
        only_on: (proof.signed_by() != ProvenBy::Key).then(|| proof.network().clone()),
        nonce: (proof.nonce().as_bytes().to_vec(), proof.ends_at()),
    }
}

/// Looks for the pass of a request, and makes the claim of a use of it. A payer whom the operator has denied since has
/// none.
pub(super) async fn claim_of_pass(
    payments: &Payments,
    purchase: &Purchase,
    proof: PassProof,
) -> Result<Result<FreeClaim, PassRefusal>, Problem> {
    let (plugin, endpoint) = (purchase.endpoint.plugin.info().name.clone(), purchase.endpoint.label.clone());
    let query = PassQuery { proof, plugin: plugin.clone(), endpoint: endpoint.clone(), price: None };
    let found = payments.ledger.pass(query.clone(), payments.now()).await;
    let (network, payer) = match found.map_err(|error| unread(&error))? {
        PassFound::Left { network, payer, .. } => (network, payer),
        PassFound::Refused(refusal) => return Ok(Err(refusal)),
    };
    payments.allowances.policy().payers.check(&network, &payer).map_err(Problem::PayerRefused)?;
    let mut query = query;
    // The use is counted later, for a price that is not known yet: not by the pass of a network on which the payer may be
    // denied.
    if let PassProof::Account { only_on, .. } = &mut query.proof {
        *only_on = Some(network);
    }
    let request_id = RequestId::current().map(|id| id.to_string());
    let grant = FreeGrant::Pass(query);
    Ok(Ok(FreeClaim { kind: FreeKind::Pass, who: payer, plugin, endpoint, request_id, grant }))
}

/// The reason of a challenge that a client gets whose pass does not serve its request. None: it never had one, and its
/// challenge is that of every client.
pub(crate) fn reason(refusal: PassRefusal) -> Option<&'static str> {
    match refusal {
        PassRefusal::Unknown => None,
        PassRefusal::Expired => Some("pass_expired"),
        PassRefusal::UsedUp => Some("pass_used_up"),
        PassRefusal::Ended => Some("pass_ended"),
        PassRefusal::BelowPrice => Some("pass_below_price"),
    }
}

fn unread(error: &LedgerError) -> Problem {
    tracing::error!(%error, "the ledger could not be asked for a pass");
    Problem::CannotCount
}

/// The prices of a quoted request, which the payment of its pass must have been at least.
pub(super) fn prices(offer: &Offer) -> Vec<PassPrice> {
    let price = offer.prices().iter().map(|price| PassPrice {
        network: price.asset.network.clone(),
        asset: price.asset.address.clone(),
        amount: price.amount,
    });
    price.collect()
}

#[cfg(test)]
mod tests {
    use http::header::HOST;

    use super::*;

    fn headers(fields: &[(HeaderName, &'static str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn a_cookie_is_for_the_literal_part_of_its_route() {
        for (url, path) in [
            ("https://api.example/now", "/now"),
            ("https://api.example/items/{id}", "/items"),
            ("https://api.example/items/{id}/more", "/items"),
            ("https://api.example/shop/v1/items/{*rest}", "/shop/v1/items"),
            ("https://api.example/{id}", ""),
            ("http://127.0.0.1:8402/", "/"),
        ] {
            let path = if path.is_empty() { "/" } else { path };
            assert_eq!(cookie_path(url), path, "{url}");
        }
        assert_ne!(cookie_name("GET /a"), cookie_name("POST /a"));
    }

    #[test]
    fn a_page_of_another_site_is_not_a_page_of_this_host() {
        let url = "https://api.example/items?x=1";
        let page = |name: HeaderName, value| is_own_page(&headers(&[(PAGE.clone(), "1"), (name, value)]), url);
        assert!(page(SEC_FETCH_SITE.clone(), "same-origin") && page(ORIGIN, "https://api.example"));
        for site in ["none", "cross-site", "same-site"] {
            assert!(!page(SEC_FETCH_SITE.clone(), site), "{site}");
        }
        for origin in ["https://evil.example", "http://api.example", "https://api.example:8443", "null", ""] {
            assert!(!page(ORIGIN, origin), "{origin}");
        }
        // A link, a redirect, an element of a page.
        assert!(!is_own_page(&headers(&[(SEC_FETCH_SITE.clone(), "same-origin")]), url));
        assert!(!is_own_page(&headers(&[(HOST, "api.example")]), url));
    }

    #[test]
    fn a_token_is_that_of_one_payment_and_one_host() {
        let id = |nonce: &str| {
            let network = coinslot_x402::Network::eip155(8453);
            PaymentId::new(network, "0xa".to_owned(), "0xp".to_owned(), nonce.to_owned())
        };
        let secret = |byte| Some(Fingerprint([byte; 32]));
        let one = token(&[7; 32], secret(1), &id("1"));
        assert_eq!(one.len(), TOKEN_DIGITS);
        assert_eq!(token(&[7; 32], secret(1), &id("1")), one);
        assert_ne!(token(&[8; 32], secret(1), &id("1")), one);
        assert_ne!(token(&[7; 32], secret(1), &id("2")), one);
        assert_ne!(token(&[7; 32], secret(2), &id("1")), one);
        assert_ne!(token(&[7; 32], None, &id("1")), one);
    }
}
