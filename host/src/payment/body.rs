//! The request's body, and the price that may depend on it.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::Request;
use http_body_util::{BodyExt, Full};
use tokio::time::Instant;

use super::verified::request_fingerprint;
use super::{Payments, Problem, Purchase};
use coinslot_plugin::{QuoteRequest, RequestBody};
use coinslot_x402::header::PaymentPayload;
use coinslot_x402::price::{Amount, Decimal, Offer, Price};

/// Without a payment, a body larger than this is not read: the 402 comes first.
const FREE_READ: u64 = 256 * 1024;

/// How long a client may take to send its body.
const BODY_TIME: Duration = Duration::from_secs(60);

/// Whether the plugin is asked about this request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quotable {
    /// Ask, reading at most this many bytes of body.
    Ask(u64),
    /// Do not: the plugin cannot be asked, or this is a probe, or the body is too large to read for nothing.
    Skip,
}

impl Quotable {
    pub(super) fn of(purchase: &Purchase, request: &Request<RequestBody>, paying: bool) -> Self {
        use http_body::Body as _;
        let size = request.body().size_hint();
        let empty = request.body().is_end_stream() || size.exact() == Some(0);
        let probe = empty && request.uri().query().is_none();
        match (purchase.plugin.quotes(), paying) {
            (false, _) => Self::Skip,
            (true, true) => Self::Ask(purchase.request_limit),
            (true, false) if probe || size.lower() > FREE_READ => Self::Skip,
            (true, false) => Self::Ask(FREE_READ.min(purchase.request_limit)),
        }
    }
}

/// The offer for this very request: the declared one, what the plugin quotes, or what it quoted when the
/// payment was asked for.
pub(super) async fn price(
    payments: &Payments,
    purchase: &Purchase,
    request: Request<RequestBody>,
    quotable: Quotable,
    payment: Option<&PaymentPayload>,
) -> Result<(Request<RequestBody>, Offer), Problem> {
    let Quotable::Ask(limit) = quotable else { return Ok((request, purchase.offer.clone())) };
    let request = whole(request, limit).await?;
    let fingerprint = request_fingerprint(purchase, &request);
    let read =
        |request: Request<Bytes>| request.map(|body| Full::new(body).map_err(|never| match never {}).boxed_unsync());
    if purchase.quoted
        && let Some(payment) = payment
        && let Some(offer) = payments.quotes.honoured(&purchase.offer, payment, &fingerprint, payments.now())
    {
        return Ok((read(request), offer));
    }
    let question = QuoteRequest {
        method: request.method().clone(),
        route: purchase.route.clone(),
        params: purchase.params.clone(),
        query: request.uri().query().map(ToOwned::to_owned),
        headers: request.headers().clone(),
        body: request.body().clone(),
    };
    let quoted = purchase.plugin.quote(question).await.map_err(Problem::Plugin)?.map_err(Problem::Refused)?;
    let offer = at(purchase, &quoted).map_err(Problem::Misbehaved)?;
    let offer = if purchase.quoted { payments.quotes.seal(&offer, &fingerprint, payments.now()) } else { offer };
    Ok((read(request), offer))
}

/// The declared offer at the quoted amount.
fn at(purchase: &Purchase, quoted: &str) -> Result<Offer, String> {
    let decimal = Decimal::parse(quoted).map_err(|error| format!("its quote is not an amount: {error}"))?;
    let mut prices = Vec::with_capacity(purchase.offer.prices().len());
    for declared in purchase.offer.prices() {
        if decimal.symbol.as_ref().is_some_and(|symbol| *symbol != declared.asset.symbol) {
            continue;
        }
        let amount = Amount::of(&decimal, &declared.asset).map_err(|error| format!("its quote: {error}"))?;
        let allowed = if purchase.quoted { amount <= declared.amount } else { amount == declared.amount };
        if !allowed {
            return Err(format!("it quoted {quoted}, which its declared price does not allow"));
        }
        prices.push(Price { amount, ..declared.clone() });
    }
    Offer::new(prices).ok_or_else(|| format!("it quoted {quoted}, in an asset that is not taken"))
}

/// Reads the whole body, at most `limit` bytes of it.
pub(super) async fn whole(request: Request<RequestBody>, limit: u64) -> Result<Request<Bytes>, Problem> {
    let (head, mut body) = request.into_parts();
    let size = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut parts = BytesMut::new();
    let until = Instant::now() + BODY_TIME;
    while let Some(frame) = tokio::time::timeout_at(until, body.frame()).await.map_err(|_| Problem::BodyBroken)? {
        let frame = frame.map_err(|_| Problem::BodyBroken)?;
        if let Ok(data) = frame.into_data() {
            if parts.len().saturating_add(data.len()) > size {
                return Err(Problem::BodyTooLarge { limit });
            }
            parts.extend_from_slice(&data);
        }
    }
    Ok(Request::from_parts(head, parts.freeze()))
}
