//! Serves requests without a payment where they are allowed: by a key, by an allowance of the operator, or by a pass that
//! an earlier payment has bought.
//!
//! A key decides alone. Without one the allowances come before the pass, in the order of the file: what is free anyway
//! uses up nothing that was paid for.
//!
//! The order is that of a payment: what is local and cheap comes first, then a look at what is left, then the signature of
//! a contract, then the body, then room to run, and only then the durable count, after which the guest runs. A request
//! that carries a payment never comes here: its money decides, and what it bought before.

use std::sync::Arc;

use coinslot_base::request_id::RequestId;
use coinslot_ledger::{
    Fingerprint, FreeClaim, FreeGrant, FreeKind, FreeLeft, KeyLookup, LedgerError, PassProof, PassRefusal,
};
use coinslot_plugin::RequestBody;
use coinslot_x402::sign_in::{SignInError, SignInProof};
use http::{HeaderMap, HeaderValue, Request};
use http_body::Body as _;

use super::free::FreeRequest;
use super::free_use::{Counted, FreeRemainder, FreeUse, count};
use super::pricing::{self, RequestPrice};
use super::problem::check_plugin;
use super::sign_in::{bad_proof, check_contract, check_proof};
use super::{Payments, Problem, Purchase, Unserved, body, challenge, input, pass};
use crate::allowance::{FreeRequester, PresentedKey, SignedIn};

/// The decision about a request without a payment.
pub(super) enum AllowedOutcome {
    /// It is counted, and its guest may run.
    Allowed(AllowedRequest),
    /// The plugin quoted it as free: nothing is counted.
    Free(FreeRequest),
    /// Nothing is free for it. Set if its client shows the account or the cookie of a pass, which does not serve it.
    Unallowed(Request<RequestBody>, Option<PassRefusal>),
}

/// A request that is counted as a free one. Its guest runs, and its use says how that ended.
#[derive(Debug)]
pub struct AllowedRequest {
    request: Request<RequestBody>,
    free: FreeUse,
}

impl AllowedRequest {
    /// The request for the guest, and its use.
    pub fn into_parts(self) -> (Request<RequestBody>, FreeUse) {
        (self.request, self.free)
    }
}

/// The things by which a client of a request may be known.
#[derive(Debug)]
pub(super) struct ShownProofs {
    /// The proof of an account.
    sign_in: Option<HeaderValue>,
    /// The tokens of a browser, one of which may be that of a pass.
    tokens: Vec<Fingerprint>,
}

impl ShownProofs {
    /// Takes them of a request, those that count at its endpoint. No plugin sees a cookie at all.
    pub(super) fn take(payments: &Payments, purchase: &Purchase, headers: &HeaderMap) -> Self {
        let sign_in = purchase.sign_in.clone();
        let sign_in = sign_in.filter(|_| payments.allowances.policy().takes_proof(&purchase.endpoint));
        Self { sign_in, tokens: pass::presented_tokens(purchase, headers) }
    }
}

/// Serves a request without a payment if it may be, or says why it is refused.
pub(super) async fn allow(
    payments: &Arc<Payments>,
    purchase: &Purchase,
    proofs: ShownProofs,
    request: Request<RequestBody>,
) -> Result<AllowedOutcome, Unserved> {
    let (claims, mut no_pass) = match &purchase.key {
        Some(key) => (vec![claim_of_key(payments, purchase, *key).await.map_err(Unserved::unclaimed)?], None),
        None => claims_without_key(payments, purchase, proofs).await.map_err(Unserved::unclaimed)?,
    };
    if claims.is_empty() {
        return Ok(AllowedOutcome::Unallowed(request, no_pass));
    }
    let (request, quoted) = match check_request(payments, purchase, request).await? {
        CheckedRequest::Whole(request, quoted) => (request, quoted),
        CheckedRequest::Free(free) => return Ok(AllowedOutcome::Free(free)),
    };
    for mut claim in claims {
        let kind = claim.kind;
        if let (FreeGrant::Pass(query), true) = (&mut claim.grant, purchase.access.quoted) {
            query.price = quoted.as_ref().map(|quoted| pass::prices(&quoted.offer));
        }
        match count(payments, claim).await {
            Ok(Counted::Yes(free)) => {
                purchase.trace.is_free_by(kind);
                return Ok(AllowedOutcome::Allowed(AllowedRequest { request, free }));
            }
            // Another request has taken the last one meanwhile.
            Ok(Counted::Exhausted(left)) if kind == FreeKind::Key => {
                return Err(Unserved::unclaimed(exhausted(payments, purchase, left)));
            }
            Ok(Counted::Exhausted(_)) => {}
            Ok(Counted::NonceUsed) => {
                return Err(Unserved::unclaimed(bad_proof(payments, purchase, SignInError::NonceUsed)));
            }
            Ok(Counted::NoPass(refusal)) => no_pass = Some(refusal),
            Ok(Counted::KeyGone) => return Err(Unserved::unclaimed(Problem::KeyRefused(KeyRefusal::Revoked))),
            Ok(Counted::Full) => payments.warn_of_full_counts(),
            Err(error) => return Err(Unserved::unclaimed(unwritten(&error))),
        }
    }
    Ok(AllowedOutcome::Unallowed(request, no_pass))
}

fn unwritten(error: &LedgerError) -> Problem {
    tracing::error!(%error, "a free request could not be counted");
    Problem::CannotCount
}

// === Keys ===

/// The reason why a key does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyRefusal {
    Unknown,
    Revoked,
    Expired,
}

/// The claim of a request with a key. A key that does not count is refused, and not passed over: a customer whose key
/// has a slip would be charged by a client that pays by itself.
async fn claim_of_key(payments: &Payments, purchase: &Purchase, key: PresentedKey) -> Result<FreeClaim, Problem> {
    let now = payments.now();
    let found = payments.ledger.key(key.0, now).await.map_err(|error| unwritten(&error))?;
    let Some(KeyLookup { key: known, left }) = found else { return Err(Problem::KeyRefused(KeyRefusal::Unknown)) };
    let (plugin, endpoint) = (purchase.endpoint.plugin.info().name.clone(), purchase.endpoint.label.clone());
    if known.revoked_at.is_some() {
        return Err(Problem::KeyRefused(KeyRefusal::Revoked));
    }
    if !known.counts_at(now) {
        return Err(Problem::KeyRefused(KeyRefusal::Expired));
    }
    if !known.is_for(&plugin, &endpoint) {
        return Err(Problem::KeyElsewhere { challenge: challenge::because(payments, purchase, "api_key_scope") });
    }
    if let Some(left) = left.filter(|left| left.left == 0) {
        return Err(exhausted(payments, purchase, left));
    }
    let request_id = RequestId::current().map(|id| id.to_string());
    let grant = FreeGrant::Key(key.0);
    Ok(FreeClaim { kind: FreeKind::Key, who: known.name, plugin, endpoint, request_id, grant })
}

/// The refusal of a key whose quota is used up, with the challenge: its holder may pay instead.
fn exhausted(payments: &Payments, purchase: &Purchase, left: FreeLeft) -> Problem {
    let remainder = FreeRemainder::of(FreeKind::Key, left, payments.now());
    Problem::KeyExhausted { remainder, challenge: challenge::because(payments, purchase, "api_key_exhausted") }
}

// === Allowances and passes ===

/// The claims that have something left: those of the operator's rules, by the order of the file, and behind them that of
/// a pass; or the reason why a pass that was asked for serves nothing. A proof that was sent and does not count is
/// refused before its request is looked at any further.
async fn claims_without_key(
    payments: &Payments,
    purchase: &Purchase,
    proofs: ShownProofs,
) -> Result<(Vec<FreeClaim>, Option<PassRefusal>), Problem> {
    let ShownProofs { sign_in, tokens } = proofs;
    let proof = sign_in.map(|header| check_proof(payments, purchase, header.as_bytes())).transpose()?;
    let mut claims = claims_of_rules(payments, purchase, proof.as_ref()).await?;
    let mut no_pass = None;
    for holder in holders(payments, purchase, proof.as_ref(), tokens, claims.is_empty())? {
        match pass::claim_of_pass(payments, purchase, holder).await? {
            // Each is counted in turn: a pass can be below the price that its request turns out to have.
            Ok(claim) => claims.push(claim),
            // A cookie of nobody says nothing about the others.
            Err(PassRefusal::Unknown) => {}
            Err(refusal) => no_pass = Some(refusal),
        }
    }
    // Remote at the end, and only for something that is left.
    if let Some(proof) = proof
        && claims.iter().any(uses_account)
    {
        check_contract(payments, purchase, &proof).await?;
    }
    Ok((claims, no_pass))
}

/// True if a claim is that of the account which has signed in.
fn uses_account(claim: &FreeClaim) -> bool {
    match &claim.grant {
        FreeGrant::Counters { nonce, .. } => nonce.is_some(),
        FreeGrant::Pass(query) => matches!(query.proof, PassProof::Account { .. }),
        FreeGrant::Key(_) => false,
    }
}

/// The holders of a pass of whom one makes this request: the account that signed in for this very resource, or a browser
/// with one of these tokens. A proof for another resource of this host is refused where it can be for a pass alone.
fn holders(
    payments: &Payments,
    purchase: &Purchase,
    proof: Option<&SignInProof>,
    tokens: Vec<Fingerprint>,
    is_nothing_else_free: bool,
) -> Result<Vec<PassProof>, Problem> {
    let Some(proof) = proof.filter(|_| purchase.access.pass.is_some()) else {
        return Ok(tokens.into_iter().map(PassProof::Token).collect());
    };
    match payments.allowances.sign_ins().is_for(proof, &purchase.url) {
        true => Ok(vec![pass::account_of(proof)]),
        false if is_nothing_else_free => Err(bad_proof(payments, purchase, SignInError::Uri)),
        false => Ok(Vec::new()),
    }
}

/// The claims of the operator's rules that have something left.
async fn claims_of_rules(
    payments: &Payments,
    purchase: &Purchase,
    proof: Option<&SignInProof>,
) -> Result<Vec<FreeClaim>, Problem> {
    let allowances = &payments.allowances;
    let policy = allowances.policy();
    if !policy.has_rules() {
        return Ok(Vec::new());
    }
    let mut who = FreeRequester { signed_in: None, address: purchase.client.network().to_string() };
    if let Some(proof) = proof {
        let account = proof.address().to_string().to_ascii_lowercase();
        let nonce = (proof.nonce().as_bytes().to_vec(), proof.ends_at());
        who.signed_in = Some(SignedIn { account, nonce });
    }
    let rules: Vec<_> = policy.of(&purchase.endpoint).collect();
    let mut claims = Vec::new();
    for claim in rules.iter().filter_map(|rule| rule.claim(&purchase.endpoint, &who, allowances.counter_key())) {
        let FreeGrant::Counters { counters, .. } = &claim.grant else { continue };
        // A ledger that cannot be read must not make a client pay for what is free.
        let left = payments.ledger.free_left(counters.clone(), payments.now()).await;
        if left.map_err(|error| unwritten(&error))?.iter().all(|left| left.left > 0) {
            claims.push(claim);
        }
    }
    Ok(claims)
}

// === The request ===

/// A request whose input fits, and for which the plugin has room.
enum CheckedRequest {
    /// With the price that the plugin quotes for it, if it quotes.
    Whole(Request<RequestBody>, Option<Purchase>),
    /// The plugin quotes it as free.
    Free(FreeRequest),
}

/// Checks the request as a paid one: by its schema, and by the plugin's quote, which may refuse it. Its body is read only
/// if one of them looks at it.
async fn check_request(
    payments: &Payments,
    purchase: &Purchase,
    request: Request<RequestBody>,
) -> Result<CheckedRequest, Unserved> {
    let endpoint = &purchase.endpoint;
    check_plugin(&endpoint.plugin).map_err(Unserved::unclaimed)?;
    let request = input::check_free(payments, endpoint, &purchase.params, purchase.client, request).await?;
    let (request, quoted) = if endpoint.plugin.quotes() {
        let (head, body) = request.into_parts();
        let held = payments.budget.client(purchase.client.ip);
        let limit = endpoint.request_limit;
        let bytes = match body.is_end_stream() {
            true => bytes::Bytes::new(),
            false => body::read(payments, held, body, limit).await.map_err(Unserved::unclaimed)?,
        };
        let request = Request::from_parts(head, bytes);
        let price = pricing::ask(purchase, &request).await.map_err(Unserved::unclaimed)?;
        let free = FreeRequest::new(request);
        match price {
            RequestPrice::Free => return Ok(CheckedRequest::Free(free)),
            RequestPrice::Paid(quoted) => (free.into_request(), Some(quoted)),
        }
    } else {
        (request, None)
    };
    let room = endpoint.plugin.await_room(Some(purchase.client.network())).await;
    room.map_err(|fault| Unserved::unclaimed(Problem::Plugin(fault)))?;
    Ok(CheckedRequest::Whole(request, quoted))
}
