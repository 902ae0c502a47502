//! Sends the requests of an examination, one after the other, and records what comes back.

mod tokens;

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use coinslot_x402::header::{PAYMENT_SIGNATURE, X_PAYMENT};
use http::Method;
use serde_json::{Value, json};
use url::Url;

use super::checks::SENT;
use super::client::{DoctorClient, DoctorRequest, Unanswered};
use super::documents::{Documents, NoDocument};
use super::facts::{ChallengeFacts, Reach};
use super::observation::{
    ChainFacts, EndpointTarget, Exchange, FacilitatorFacts, KeepAlive, Observed, PaymentFacts, is_free,
};

pub use self::tokens::observe_tokens;

/// The size of the body that no payment is sent with, in bytes: more than most servers read ahead.
const LARGE_BODY: usize = 2 << 20;
/// The size of a body that fits into one read or a few.
const SMALL_BODY: usize = 32 << 10;
/// The bytes that a payment adds to the echo of its challenge: authorisation and signature, in Base64.
const SIGNED: usize = 1_536;
/// The origin of a page that does not exist.
const PAGE: &str = "https://page.example";

/// The methods that directories probe, the preferred first.
const PROBED: [Method; 5] = [Method::POST, Method::GET, Method::PUT, Method::PATCH, Method::DELETE];

/// Is told of each part of an examination before it begins.
pub type OnProgress<'p> = &'p (dyn Fn(&str) + Sync);

/// Fetches the documents of an origin.
pub async fn observe_documents(client: &DoctorClient, origin: &Url) -> Documents {
    let fetch = async |path: &str| match origin.join(path) {
        Ok(url) => NoDocument::or_json(client.document(&url).await),
        Err(_) => Err(NoDocument::Missing),
    };
    Documents {
        openapi: fetch("/openapi.json").await,
        well_known: fetch("/.well-known/x402").await,
        catalog: fetch("/catalog.json").await,
    }
}

/// The outcome of asking an endpoint.
#[derive(Debug)]
pub enum Observation {
    Endpoint(Box<Observed>),
    /// The server answers 404 to everything, and does not describe the path.
    NotServed,
}

/// Asks an endpoint everything but for a payment. `now` is in Unix seconds, read before.
///
/// Fails if the server does not answer at all.
pub async fn observe(
    client: &DoctorClient,
    mut target: EndpointTarget,
    documents: Arc<Documents>,
    now: u64,
    progress: OnProgress<'_>,
) -> Result<Observation, Unanswered> {
    progress("asking without a payment");
    let probes = probe(client, &mut target).await?;
    let request = &target.request;
    let bare = DoctorRequest::bare(request.method.clone(), request.url.clone());
    // The price of a whole request, where the endpoint needs input to tell one.
    let asked_in_full = client.send(request).await;
    let is_missing = |exchange: &Exchange| exchange.as_ref().is_ok_and(|answer| answer.status == 404);
    let is_everything_missing = is_missing(&asked_in_full) && probes.iter().all(|(_, exchange)| is_missing(exchange));
    if is_everything_missing && !target.is_described() {
        return Ok(Observation::NotServed);
    }
    let of_method = probes.iter().find(|(method, _)| *method == request.method);
    let of_probe = of_method.and_then(|(_, probe)| probe.clone().ok());
    let challenged = [asked_in_full.ok(), of_probe].into_iter().flatten().find(|answer| answer.status == 402);
    let url = &request.url;
    let challenge = challenged.as_ref().map(|answer| ChallengeFacts::of(url, answer)).filter(ChallengeFacts::is_some);
    if is_free(&target, &probes, challenge.is_some()) {
        return Ok(Observation::Endpoint(Box::new(unpriced(target, probes, documents, now))));
    }
    let again = client.send(request).await.ok().filter(|answer| answer.status == 402);
    let again = again.map(|answer| ChallengeFacts::of(url, &answer)).filter(ChallengeFacts::is_some);

    progress("asking as a page does");
    let (preflight, from_page) = ask_from_page(client, &bare).await;

    progress("asking for what should be refused");
    let is_get = request.method == Method::GET;
    let head = if is_get { Some(client.send(&bare_of(Method::HEAD, url)).await) } else { None };
    let unknown_path = client.send(&bare_of(Method::GET, &unknown(url))).await;
    let garbage = send_garbage(client, &bare, challenge.as_ref()).await;
    let long_header = long_header(client, &bare, challenge.as_ref()).await;

    progress("trying connections");
    let large_body = client.send(&with_body(request, LARGE_BODY)).await;
    let keep_alive = keep_alive(client, &with_body(request, SMALL_BODY), &bare).await;
    let http2 = if url.scheme() == "https" { Some(client.send_http2(request).await) } else { None };
    Ok(Observation::Endpoint(Box::new(Observed {
        reach: Reach::of(url),
        probes,
        challenge,
        challenged,
        again,
        preflight,
        from_page,
        head,
        unknown_path,
        garbage,
        long_header,
        large_body,
        keep_alive,
        http2,
        asked_at: now,
        documents,
        chain: ChainFacts::NotAsked,
        facilitator: FacilitatorFacts::NotAsked,
        payment: PaymentFacts::NotPaid("no key was given: name one with --key-file".to_owned()),
        target,
    })))
}

/// The record of an endpoint that is free. What is only asked of sellers was not asked.
fn unpriced(target: EndpointTarget, probes: Vec<(Method, Exchange)>, documents: Arc<Documents>, now: u64) -> Observed {
    let not_asked = || Err(Unanswered::Broken("nothing was sent, because the endpoint is free".to_owned()));
    Observed {
        reach: Reach::of(&target.request.url),
        probes,
        challenge: None,
        challenged: None,
        again: None,
        preflight: not_asked(),
        from_page: not_asked(),
        head: None,
        unknown_path: not_asked(),
        garbage: Vec::new(),
        long_header: (0, not_asked()),
        large_body: not_asked(),
        keep_alive: KeepAlive { first: not_asked(), second: None },
        http2: None,
        asked_at: now,
        documents,
        chain: ChainFacts::NotAsked,
        facilitator: FacilitatorFacts::NotAsked,
        payment: PaymentFacts::NotPaid("the endpoint is free".to_owned()),
        target,
    }
}

/// Probes the methods, and takes the first that asks for money if the target has none.
async fn probe(client: &DoctorClient, target: &mut EndpointTarget) -> Result<Vec<(Method, Exchange)>, Unanswered> {
    let url = target.request.url.clone();
    let only = [target.request.method.clone()];
    let methods = if target.has_method { &only[..] } else { &PROBED };
    let mut probes = Vec::new();
    for method in methods {
        let answer = client.send(&bare_of(method.clone(), &url)).await;
        // A server that is not there need not be asked five times.
        if let Err(error @ (Unanswered::Connect(_) | Unanswered::Tls(_))) = &answer {
            return Err(error.clone());
        }
        probes.push((method.clone(), answer));
    }
    if probes.iter().all(|(_, answer)| matches!(answer, Err(Unanswered::TimedOut(_)))) {
        return Err(Unanswered::TimedOut(client.timeout()));
    }
    let asks = |(_, answer): &&(Method, Exchange)| answer.as_ref().is_ok_and(|answer| answer.status == 402);
    if !target.has_method {
        // What asks for input first tells nothing to a probe.
        let asking = probes.iter().find(asks).map(|(method, _)| method.clone());
        if let Some(method) = asking.or_else(|| target.described_method()) {
            target.take_method(&method);
        }
    }
    Ok(probes)
}

fn bare_of(method: Method, url: &Url) -> DoctorRequest {
    DoctorRequest::bare(method, url.clone())
}

/// A request with a body of this size.
fn with_body(request: &DoctorRequest, size: usize) -> DoctorRequest {
    let takes_none = [Method::GET, Method::DELETE].contains(&request.method);
    let method = if takes_none { Method::POST } else { request.method.clone() };
    let mut sized = bare_of(method, &request.url).with("content-type", "application/json");
    sized.body = format!("{{\"pad\":\"{}\"}}", "x".repeat(size)).into();
    sized
}

/// A path of the same origin that nobody serves.
fn unknown(url: &Url) -> Url {
    let mut unknown = url.clone();
    unknown.set_path(&format!("/coinslot-doctor/{:016x}/unknown", secp256k1::rand::random::<u64>()));
    unknown.set_query(None);
    unknown
}

/// Sends the preflight that a browser sends before the request of a page, and then such a request.
async fn ask_from_page(client: &DoctorClient, bare: &DoctorRequest) -> (Exchange, Exchange) {
    let preflight = bare_of(Method::OPTIONS, &bare.url).with("origin", PAGE);
    let preflight = preflight.with("access-control-request-headers", SENT);
    let preflight = preflight.with("access-control-request-method", bare.method.as_str());
    (client.send(&preflight).await, client.send(&bare.clone().with("origin", PAGE)).await)
}

/// Sends headers that no payment is in.
async fn send_garbage(
    client: &DoctorClient,
    bare: &DoctorRequest,
    challenge: Option<&ChallengeFacts>,
) -> Vec<(&'static str, Exchange)> {
    let Some(challenge) = challenge else { return Vec::new() };
    let encoded = |document: Value| BASE64_STANDARD.encode(document.to_string());
    let accepted = challenge.entries().first().map(|entry| Value::Object(entry.object.clone())).unwrap_or_default();
    let of_v1 = json!({ "x402Version": 1, "scheme": "exact", "network": "base", "payload": {} });
    let unsigned = json!({ "x402Version": 2, "accepted": accepted, "payload": {} });
    let requests = [
        ("a PAYMENT-SIGNATURE that is no Base64", PAYMENT_SIGNATURE, "!!! no Base64 !!!".to_owned()),
        ("a PAYMENT-SIGNATURE of an empty object", PAYMENT_SIGNATURE, encoded(json!({}))),
        ("a PAYMENT-SIGNATURE of version 1", PAYMENT_SIGNATURE, encoded(of_v1)),
        ("a PAYMENT-SIGNATURE without an authorization", PAYMENT_SIGNATURE, encoded(unsigned)),
        ("an X-PAYMENT that is no Base64", X_PAYMENT, "!!! no Base64 !!!".to_owned()),
    ];
    let mut answers = Vec::new();
    for (what, name, value) in requests {
        answers.push((what, client.send(&bare.clone().with(name, value)).await));
    }
    answers
}

/// Sends a header that is no payment, and as long as one.
async fn long_header(
    client: &DoctorClient,
    bare: &DoctorRequest,
    challenge: Option<&ChallengeFacts>,
) -> (usize, Exchange) {
    let length = challenge.and_then(|challenge| challenge.headers.iter().map(Vec::len).max()).unwrap_or_default();
    if length == 0 {
        return (0, Err(Unanswered::Broken("nothing was sent".to_owned())));
    }
    let pad = "x".repeat((length + SIGNED) / 4 * 3);
    let value = BASE64_STANDARD.encode(json!({ "x402Version": 2, "pad": pad }).to_string());
    (value.len(), client.send(&bare.clone().with(PAYMENT_SIGNATURE, value)).await)
}

/// Sends a request whose body nothing pays for, and then another on the same connection.
async fn keep_alive(client: &DoctorClient, first: &DoctorRequest, second: &DoctorRequest) -> KeepAlive {
    let mut connection = match client.open(&first.url).await {
        Ok(connection) => connection,
        Err(error) => return KeepAlive { first: Err(error), second: None },
    };
    let answered = client.send_on(&mut connection, first).await;
    let closes = answered.as_ref().map_or(true, |answer| answer.list("connection").iter().any(|word| word == "close"));
    let second = if closes { None } else { Some(client.send_on(&mut connection, second).await) };
    KeepAlive { first: answered, second }
}

/// Asks a facilitator what it settles. `base` is its address, with or without a slash at its end.
pub async fn observe_facilitator(client: &DoctorClient, base: &Url) -> FacilitatorFacts {
    let mut url = base.clone();
    url.set_path(&format!("{}/supported", base.path().trim_end_matches('/')));
    let document = NoDocument::or_json(client.document(&url).await);
    let read = document
        .and_then(|document| serde_json::from_value(document).map_err(|error| NoDocument::NotJson(error.to_string())));
    match read {
        Ok(supported) => FacilitatorFacts::Supported(supported),
        Err(error) => FacilitatorFacts::Unusable(format!("{url}: {error}")),
    }
}
