//! Finds the price of one request: the declared one, or the plugin's quote.

use bytes::Bytes;
use coinslot_ledger::Fingerprint;
use coinslot_plugin::{Circuit, QuoteRequest, RequestBody};
use coinslot_x402::header::PaymentPayload;
use coinslot_x402::price::{Amount, Decimal, Offer, Price};
use http::Request;
use http::request::Parts;
use http_body::Body as _;

use super::body::{self, RequestContent};
use super::identity::request_fingerprint;
use super::{Payments, Problem, Purchase};

/// Without a payment, a body larger than this is not read, in bytes: the 402 comes first.
const MAX_UNPAID_BODY: u64 = 256 * 1024;

/// Prices a request without a payment. Its body is read only if the plugin quotes, and up to [`MAX_UNPAID_BODY`].
///
/// A request without body and without query is not quoted: it asks for the challenge alone, and gets the declared
/// price. So does a request whose body is larger than [`MAX_UNPAID_BODY`] and within the endpoint's limit: its body is
/// read when it is paid for.
pub(super) async fn price_unpaid(
    payments: &Payments,
    purchase: Purchase,
    request: Request<RequestBody>,
) -> Result<Purchase, Problem> {
    let size = request.body().size_hint();
    let empty = request.body().is_end_stream() || size.exact() == Some(0);
    let bare = empty && request.uri().query().is_none();
    if !purchase.endpoint.plugin.quotes() || bare || size.lower() > MAX_UNPAID_BODY {
        return Ok(purchase);
    }
    let (head, body) = request.into_parts();
    let body = match body::read(body, MAX_UNPAID_BODY.min(purchase.endpoint.request_limit)).await {
        Err(Problem::BodyTooLarge { limit }) if limit < purchase.endpoint.request_limit => return Ok(purchase),
        read => read?,
    };
    let fingerprint = request_fingerprint(&purchase.endpoint, &head.uri, &head.headers, &body);
    ask(payments, purchase, &head, &body, &fingerprint).await
}

/// Prices a request that carries a payment: an offer that was quoted for this request and is in its time counts, else
/// the plugin quotes. Nothing is asked of a plugin whose circuit is open; the declared price counts then.
pub(super) async fn price_paid(
    payments: &Payments,
    purchase: Purchase,
    payment: &PaymentPayload,
    circuit: Circuit,
    request: Request<RequestBody>,
) -> Result<(Purchase, Request<RequestContent>), Problem> {
    if !purchase.endpoint.plugin.quotes() || circuit != Circuit::Closed {
        return Ok((purchase, request.map(RequestContent::Unread)));
    }
    let (head, body) = request.into_parts();
    let body = body::read(body, purchase.endpoint.request_limit).await?;
    let fingerprint = request_fingerprint(&purchase.endpoint, &head.uri, &head.headers, &body);
    let quoted = purchase.access.quoted;
    // A quote that was made keeps its price, whatever the plugin would quote now.
    let honoured = || payments.quotes.honoured(&purchase.access.offer, payment, &fingerprint, payments.now());
    let purchase = match quoted.then(honoured).flatten() {
        Some(offer) => Purchase { offer, ..purchase },
        None => ask(payments, purchase, &head, &body, &fingerprint).await?,
    };
    Ok((purchase, Request::from_parts(head, RequestContent::Whole(body))))
}

/// Asks the plugin for its quote, which may refuse the request. A quoted price is sealed, so that a payment for it is
/// recognised.
async fn ask(
    payments: &Payments,
    purchase: Purchase,
    head: &Parts,
    body: &Bytes,
    fingerprint: &Fingerprint,
) -> Result<Purchase, Problem> {
    let question = QuoteRequest {
        method: head.method.clone(),
        route: purchase.endpoint.path.to_string(),
        params: purchase.params.clone(),
        query: head.uri.query().map(ToOwned::to_owned),
        headers: head.headers.clone(),
        body: body.clone(),
    };
    let quote = purchase.endpoint.plugin.quote(question).await.map_err(Problem::Plugin)?.map_err(Problem::Refused)?;
    let offer = at(&purchase, &quote).map_err(Problem::Misbehaved)?;
    let offer = if purchase.access.quoted { payments.quotes.seal(&offer, fingerprint, payments.now()) } else { offer };
    Ok(Purchase { offer, ..purchase })
}

/// The declared offer at the quoted amount. Fails with what the plugin did wrong: a quote that is no amount, that is
/// above the declared maximum, or that differs from a declared exact price.
fn at(purchase: &Purchase, quoted: &str) -> Result<Offer, String> {
    let decimal = Decimal::parse(quoted).map_err(|error| format!("its quote is not an amount: {error}"))?;
    let declared = purchase.access.offer.prices();
    let mut prices = Vec::with_capacity(declared.len());
    for declared in declared {
        if decimal.symbol.as_ref().is_some_and(|symbol| *symbol != declared.asset.symbol) {
            continue;
        }
        let amount = Amount::of(&decimal, &declared.asset).map_err(|error| format!("its quote: {error}"))?;
        // An exact price may be quoted by a plugin that only wants to check the request: the amount must not change.
        let allowed = if purchase.access.quoted { amount <= declared.amount } else { amount == declared.amount };
        if !allowed {
            return Err(format!("it quoted {quoted}, which its declared price does not allow"));
        }
        prices.push(Price { amount, ..declared.clone() });
    }
    Offer::new(prices).ok_or_else(|| format!("it quoted {quoted}, in an asset that is not taken"))
}
