//! Checks the input of a request against its declared schema, before its price is asked for and before it is paid.
//!
//! Most checks take microseconds, and run where the request is served. An input that is large, or that uses up the
//! little effort which that place allows, is checked on a thread of its own kind; few are at once, which also bounds the
//! memory of parsed bodies. Requests with a payment, without one, and to free endpoints have some each, so none waits
//! for another kind, and a client has one place in the wait for them. An address has a rate of such checks for each kind.
//! Where a request without a payment finds no room, or its address has had many such checks, it gets its challenge
//! unchecked: it is checked when it is paid for, before the payment is claimed.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use coinslot_base::client::is_of_one_client;
use coinslot_plugin::RequestBody;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request};
use http_body_util::{BodyExt, Full};

use super::client::prefix_of;
use super::fair_slots::{FairSlot, FairSlots};
use super::rate_limiter::RateLimiter;
use super::{ClientAddress, Payments, Problem, Purchase, Unserved, body};
use crate::endpoint::Endpoint;
use crate::schema::{CheckFailure, Effort, Input};

/// The largest body that is parsed where the request is served, in bytes: some hundred microseconds.
const MAX_AT_ONCE: usize = 16 << 10;

/// The longest wait of a request without a payment for its check.
const UNPAID_WAIT: Duration = Duration::from_millis(250);

/// The longest wait of a request with a payment for its check. Nothing is charged when it is over.
const PAID_WAIT: Duration = Duration::from_secs(5);

/// The longest wait of a request to a free endpoint for its check. It has no later one.
const FREE_WAIT: Duration = Duration::from_secs(5);

/// Long checks of one address per second, of each kind, and the seconds of a burst.
const LONG_CHECKS: f64 = 5.0;
const BURST: f64 = 4.0;

/// The room for checks that take long.
#[derive(Debug)]
pub(super) struct LongChecks {
    paid: Arc<FairSlots>,
    unpaid: Arc<FairSlots>,
    free: Arc<FairSlots>,
    /// Messages of agents, and the answers to them.
    messages: Arc<FairSlots>,
    rates: [Option<RateLimiter<IpAddr>>; 3],
}

/// The kinds of requests whose checks are counted for an address. Those of one kind keep out none of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Unpaid,
    /// A signature proves no money.
    Paid,
    Free,
}

/// The result of the check of a request without a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UnpaidCheck {
    Fits,
    /// There was no room for the check.
    Unchecked,
}

impl LongChecks {
    pub(super) fn new() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            paid: FairSlots::new(processors.clamp(1, 4)),
            unpaid: FairSlots::new((processors / 2).clamp(1, 2)),
            free: FairSlots::new((processors / 2).clamp(1, 2)),
            messages: FairSlots::new((processors / 2).clamp(1, 2)),
            rates: [(); 3].map(|()| RateLimiter::new(LONG_CHECKS, BURST)),
        }
    }

    /// Counts a long check. False above the rate of its kind and address.
    fn admits(&self, kind: Kind, client: IpAddr) -> bool {
        let rate = self.rates[kind as usize].as_ref().filter(|_| is_of_one_client(client));
        rate.is_none_or(|rate| rate.take(prefix_of(client), Instant::now()).is_ok())
    }
}

/// Checks a request that carries a payment. It waits for room: the payment's signer is proven.
pub(super) async fn check_paid(
    payments: &Payments,
    purchase: &Purchase,
    request: &Request<Bytes>,
) -> Result<(), Problem> {
    let Some(check) = InputCheck::of(&purchase.endpoint, &purchase.params, request) else { return Ok(()) };
    let Some(long) = check.begin()? else { return Ok(()) };
    let checks = &payments.long_checks;
    if !checks.admits(Kind::Paid, purchase.client.ip) {
        return Err(Problem::ChecksBusy);
    }
    match checks.paid.acquire(purchase.client.ip, PAID_WAIT).await {
        Some(slot) => long.run(slot).await,
        None => Err(Problem::ChecksBusy),
    }
}

/// Checks a request without a payment, as far as there is room.
pub(super) async fn check_unpaid(
    payments: &Payments,
    purchase: &Purchase,
    request: &Request<Bytes>,
) -> Result<UnpaidCheck, Problem> {
    let Some(check) = InputCheck::of(&purchase.endpoint, &purchase.params, request) else {
        return Ok(UnpaidCheck::Fits);
    };
    let Some(long) = check.begin()? else { return Ok(UnpaidCheck::Fits) };
    let checks = &payments.long_checks;
    if !checks.admits(Kind::Unpaid, purchase.client.ip) {
        return Ok(UnpaidCheck::Unchecked);
    }
    match checks.unpaid.acquire(purchase.client.ip, UNPAID_WAIT).await {
        Some(slot) => long.run(slot).await.map(|()| UnpaidCheck::Fits),
        None => Ok(UnpaidCheck::Unchecked),
    }
}

/// Checks a request to a free endpoint. Its body is read first if the schema looks at it, and streams to the guest
/// otherwise.
pub async fn check_free(
    payments: &Payments,
    endpoint: &Arc<Endpoint>,
    params: &[(String, String)],
    client: ClientAddress,
    request: Request<RequestBody>,
) -> Result<Request<RequestBody>, Unserved> {
    let Some(schema) = &endpoint.input else { return Ok(request) };
    let reads_body = schema.reads_body();
    let (head, incoming) = request.into_parts();
    let (bytes, unread) = if reads_body {
        let held = payments.budget.client(client.ip);
        match body::read(payments, held, incoming, endpoint.request_limit).await {
            Ok(bytes) => (bytes, None),
            Err(problem) => return Err(Unserved::unasked(problem, &head.headers)),
        }
    } else {
        (Bytes::new(), Some(incoming))
    };
    let request = Request::from_parts(head, bytes);
    if let Err(problem) = check_free_parts(payments, endpoint, params, client, &request).await {
        return Err(Unserved::unasked(problem, request.headers()));
    }
    let whole = |bytes: Bytes| Full::new(bytes).map_err(|never| match never {}).boxed_unsync();
    Ok(request.map(|bytes| unread.unwrap_or_else(|| whole(bytes))))
}

async fn check_free_parts(
    payments: &Payments,
    endpoint: &Arc<Endpoint>,
    params: &[(String, String)],
    client: ClientAddress,
    request: &Request<Bytes>,
) -> Result<(), Problem> {
    let Some(check) = InputCheck::of(endpoint, params, request) else { return Ok(()) };
    let Some(long) = check.begin()? else { return Ok(()) };
    let checks = &payments.long_checks;
    if !checks.admits(Kind::Free, client.ip) {
        return Err(Problem::ChecksBusy);
    }
    match checks.free.acquire(client.ip, FREE_WAIT).await {
        Some(slot) => long.run(slot).await,
        None => Err(Problem::ChecksBusy),
    }
}

/// Does work on a message of an agent, or on the answer to one: at once if it is small, and else on a thread, of which
/// few are at once. `size`: the bytes that the work looks at.
pub async fn work_on_message<T: Send + 'static>(
    payments: &Payments,
    client: ClientAddress,
    size: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    if size <= MAX_AT_ONCE {
        return Ok(work());
    }
    let slot = payments.long_checks.messages.acquire(client.ip, FREE_WAIT).await.ok_or(Problem::ChecksBusy)?;
    slot.work(work).await.map_err(|error| Problem::Misbehaved(format!("the work on a message failed: {error}")))
}

/// The check of one request.
struct InputCheck<'r> {
    endpoint: &'r Arc<Endpoint>,
    params: &'r [(String, String)],
    request: &'r Request<Bytes>,
}

/// A check that needs a thread.
struct LongCheck {
    endpoint: Arc<Endpoint>,
    params: Vec<(String, String)>,
    query: Option<String>,
    media_type: Option<HeaderValue>,
    body: Bytes,
}

impl<'r> InputCheck<'r> {
    /// None if the endpoint declares no schema.
    fn of(endpoint: &'r Arc<Endpoint>, params: &'r [(String, String)], request: &'r Request<Bytes>) -> Option<Self> {
        endpoint.input.is_some().then_some(Self { endpoint, params, request })
    }

    /// Checks the input with little effort. Returns the check that is left where that is not enough.
    fn begin(self) -> Result<Option<LongCheck>, Problem> {
        let Self { endpoint, params, request } = self;
        let Some(schema) = &endpoint.input else { return Ok(None) };
        let reads_body = schema.reads_body();
        let empty = Bytes::new();
        let body = if reads_body { request.body() } else { &empty };
        let (query, media_type) = (request.uri().query(), request.headers().get(CONTENT_TYPE));
        if body.len() <= MAX_AT_ONCE {
            let input = Input { params, query, media_type, body };
            match schema.check(&input, Effort::Little) {
                Ok(()) => return Ok(None),
                Err(CheckFailure::Refused(refusal)) => return Err(Problem::Input(refusal)),
                Err(CheckFailure::TooComplex) => {}
            }
        }
        Ok(Some(LongCheck {
            endpoint: Arc::clone(endpoint),
            params: params.to_vec(),
            query: query.map(ToOwned::to_owned),
            media_type: media_type.cloned(),
            body: body.clone(),
        }))
    }
}

impl LongCheck {
    /// Runs the check on a thread, which holds the slot.
    async fn run(self, slot: FairSlot) -> Result<(), Problem> {
        let checked = slot.work(move || self.check()).await;
        checked.unwrap_or_else(|error| Err(Problem::Misbehaved(format!("the check of its schema failed: {error}"))))
    }

    fn check(&self) -> Result<(), Problem> {
        let Self { endpoint, params, query, media_type, body } = self;
        let Some(schema) = &endpoint.input else { return Ok(()) };
        let input = Input { params, query: query.as_deref(), media_type: media_type.as_ref(), body };
        match schema.check(&input, Effort::Full) {
            Ok(()) => Ok(()),
            Err(CheckFailure::Refused(refusal)) => Err(Problem::Input(refusal)),
            Err(CheckFailure::TooComplex) => {
                if schema.warns_of_cost() {
                    tracing::warn!(
                        endpoint = endpoint.label,
                        body = body.len(),
                        "an input was refused, because its check would have taken too long: a simpler schema takes \
                         less, and `validate = \"off\"` in the plugin's table leaves the check to the plugin"
                    );
                }
                Err(Problem::InputTooComplex)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Free endpoints had none: one client had every check that they could do.
    #[test]
    fn an_address_has_a_rate_of_long_checks_of_each_kind() {
        let checks = LongChecks::new();
        let [one, other] = ["203.0.113.1", "203.0.113.2"].map(|ip| ip.parse::<IpAddr>().expect("an address"));
        for kind in [Kind::Unpaid, Kind::Paid, Kind::Free] {
            let admitted = (0..200).filter(|_| checks.admits(kind, one)).count();
            assert!((20..100).contains(&admitted), "{kind:?}: {admitted}");
            assert!(checks.admits(kind, other), "{kind:?}");
        }
    }
}
