//! Finds the price of one request: the declared one, or the plugin's quote.

use bytes::Bytes;
use coinslot_ledger::Fingerprint;
use coinslot_plugin::{DeclaredPrice, QuoteRequest, QuotedPrice, RequestBody};
use coinslot_x402::price::{Amount, Asset, Decimal, Offer, Price};
use http::Request;
use http_body::Body as _;

use super::body;
use super::free::FreeRequest;
use super::identity::{request_fingerprint, with_headers};
use super::input::{self, UnpaidCheck};
use super::trace::Stage;
use super::{Payments, Pricing, Problem, Purchase, Verified};
use crate::endpoint::PaidAccess;
use crate::schema::InputSchema;

/// Without a payment, a body larger than this is not read, in bytes: the 402 comes first.
const MAX_UNPAID_BODY: u64 = 256 * 1024;

/// The price of one request.
pub(super) enum RequestPrice {
    /// The prices of this purchase, of which one is to be paid.
    Paid(Purchase),
    /// Nothing: the plugin quoted this request as free.
    Free,
}

/// A request without a payment, with its price.
pub(super) enum UnpaidRequest {
    Priced(Purchase),
    Free(FreeRequest),
}

/// Checks and prices a request without a payment. Its body is read only if the plugin quotes or its schema looks at it,
/// and up to [`MAX_UNPAID_BODY`]; a larger body gets the declared price, and is read when it is paid for.
///
/// A request that shows the plugin nothing to judge asks for the challenge alone: a directory that looks for endpoints
/// sends such requests. It is not checked, and gets the declared price where that is the price, or where the plugin
/// refuses to quote it.
pub(super) async fn price_unpaid(
    payments: &Payments,
    purchase: Purchase,
    request: Request<RequestBody>,
) -> Result<UnpaidRequest, Problem> {
    let size = request.body().size_hint();
    let empty = request.body().is_end_stream() || size.exact() == Some(0);
    let bare = empty && request.uri().query().is_none() && purchase.params.is_empty();
    let asks = purchase.endpoint.plugin.quotes() && (purchase.pricing == Pricing::AtMost || !bare);
    let schema = purchase.endpoint.input.as_ref().filter(|_| !bare);
    let reads_body = asks || schema.is_some_and(InputSchema::reads_body);
    if !(asks || schema.is_some()) || (reads_body && size.lower() > MAX_UNPAID_BODY) {
        return Ok(UnpaidRequest::Priced(purchase));
    }
    let checks = schema.is_some();
    let (head, body) = request.into_parts();
    if !reads_body {
        input::check_unpaid(payments, &purchase, &Request::from_parts(head, Bytes::new())).await?;
        return Ok(UnpaidRequest::Priced(purchase));
    }
    let limit = MAX_UNPAID_BODY.min(purchase.endpoint.request_limit);
    let body = match body::read(payments, payments.budget.client(purchase.client.ip), body, limit).await {
        Err(Problem::BodyTooLarge { limit }) if limit < purchase.endpoint.request_limit => {
            return Ok(UnpaidRequest::Priced(purchase));
        }
        read => read?,
    };
    let request = Request::from_parts(head, body);
    let unchecked = checks && input::check_unpaid(payments, &purchase, &request).await? == UnpaidCheck::Unchecked;
    if unchecked || !asks {
        // A plugin is asked only about a checked request, but for a probe, which has no input.
        return Ok(UnpaidRequest::Priced(purchase));
    }
    match ask(&purchase, &request).await {
        Ok(RequestPrice::Paid(quoted)) => Ok(UnpaidRequest::Priced(quoted)),
        Ok(RequestPrice::Free) => Ok(UnpaidRequest::Free(FreeRequest::new(request))),
        Err(Problem::Refused(_) | Problem::PriceTooHigh { .. }) if bare => Ok(UnpaidRequest::Priced(purchase)),
        Err(problem) => Err(problem),
    }
}

/// Prices a request that carries a payment: a quote for this request that is in its time counts, else the plugin quotes
/// again. Nothing is asked of a plugin that does not quote.
pub(super) async fn price_paid(
    payments: &Payments,
    purchase: Purchase,
    verified: &Verified,
    request: &Request<Bytes>,
) -> Result<RequestPrice, Problem> {
    if !purchase.endpoint.plugin.quotes() {
        return Ok(RequestPrice::Paid(purchase));
    }
    if purchase.pricing == Pricing::AtMost {
        let fingerprint = quote_fingerprint(&purchase, request);
        // A quote that was made keeps its price, whatever the plugin would quote now.
        let honoured =
            payments.quotes.honoured(&purchase.access.offer, &verified.payload(), &fingerprint, payments.now());
        if let Some(offer) = honoured {
            return Ok(RequestPrice::Paid(Purchase { offer, pricing: Pricing::Quoted(None), ..purchase }));
        }
    }
    ask(&purchase, request).await
}

/// Asks the plugin for its quote, which may refuse the request. The plugin sees nothing that the seal of the quote does
/// not bind: of the header fields the media type, and those that the endpoint names.
pub(super) async fn ask(purchase: &Purchase, request: &Request<Bytes>) -> Result<RequestPrice, Problem> {
    let named = purchase.endpoint.quote_headers.iter();
    let headers =
        named.flat_map(|name| request.headers().get_all(name).iter().map(move |value| (name.clone(), value.clone())));
    let question = QuoteRequest {
        method: request.method().clone(),
        route: purchase.endpoint.declared().path.to_string(),
        params: purchase.params.clone(),
        query: request.uri().query().map(ToOwned::to_owned),
        headers: headers.collect(),
        body: request.body().clone(),
    };
    let client = Some(purchase.client.network());
    let quoting = purchase.trace.stage(Stage::Quote);
    let quoted = purchase.endpoint.plugin.quote(client, question).await;
    drop(quoting);
    let quoted = quoted.map_err(Problem::Plugin)?.map_err(Problem::Refused)?;
    let amount = match quoted {
        QuotedPrice::Free if purchase.access.quoted => return Ok(RequestPrice::Free),
        // The operator sells what the plugin gives away. It quotes as it declares.
        QuotedPrice::Free if purchase.access.replaces == Some(DeclaredPrice::Free) => {
            return Ok(RequestPrice::Paid(purchase.clone()));
        }
        QuotedPrice::Free => {
            return Err(Problem::Misbehaved("it quoted nothing for an endpoint with an exact price".to_owned()));
        }
        QuotedPrice::Amount(amount) => amount,
    };
    let offer = at(purchase, &amount)?;
    let pricing = match purchase.pricing {
        Pricing::Declared => Pricing::Declared,
        Pricing::AtMost | Pricing::Quoted(_) => Pricing::Quoted(Some(quote_fingerprint(purchase, request))),
    };
    Ok(RequestPrice::Paid(Purchase { offer, pricing, ..purchase.clone() }))
}

/// Hashes everything that `quote` can see.
fn quote_fingerprint(purchase: &Purchase, request: &Request<Bytes>) -> Fingerprint {
    with_headers(request_fingerprint(&purchase.endpoint, request), &purchase.endpoint.quote_headers, request.headers())
}

/// The offer at the quoted amount. Fails with what the plugin did wrong: a quote that is no amount, that is above the
/// declared maximum, or that differs from a declared exact price. A quote above the operator's own maximum is no mistake
/// of the plugin: the request is refused.
fn at(purchase: &Purchase, quoted: &str) -> Result<Offer, Problem> {
    let misbehaved = |what: String| Problem::Misbehaved(what);
    let decimal = Decimal::parse(quoted).map_err(|error| misbehaved(format!("its quote is not an amount: {error}")))?;
    let PaidAccess { offer, quoted: is_quoted, replaces, .. } = &*purchase.access;
    let not_allowed = || misbehaved(format!("it quoted {quoted}, which its declared price does not allow"));
    if let (false, Some(declared)) = (is_quoted, replaces) {
        return if is_declared(&decimal, declared) { Ok(purchase.offer.clone()) } else { Err(not_allowed()) };
    }
    let mut prices = Vec::with_capacity(offer.prices().len());
    for most in offer.prices() {
        if !decimal.may_be_in(&most.asset) {
            continue;
        }
        let amount = Amount::of(&decimal, &most.asset).map_err(|error| misbehaved(format!("its quote: {error}")))?;
        // An exact price may be quoted by a plugin that only wants to check the request: the amount must not change.
        let allowed = if *is_quoted { amount <= most.amount } else { amount == most.amount };
        if !allowed {
            let is_within = replaces.as_ref().is_some_and(|declared| is_within(amount, declared, &most.asset));
            return Err(if is_within { above_the_operators(quoted, most) } else { not_allowed() });
        }
        prices.push(Price { amount, ..most.clone() });
    }
    Offer::new(prices).ok_or_else(|| misbehaved(format!("it quoted {quoted}, in an asset that is not taken")))
}

/// True if a quote is the exact price that the plugin declares. One without a symbol is that, too.
fn is_declared(quoted: &Decimal, declared: &DeclaredPrice) -> bool {
    let DeclaredPrice::Exact(declared) = declared else { return false };
    Decimal::parse(declared).is_ok_and(|declared| {
        let is_money = quoted.symbol == declared.symbol || quoted.symbol.is_none();
        let quoted = Decimal { symbol: declared.symbol.clone(), ..quoted.clone() };
        is_money && !quoted.is_above(&declared) && !declared.is_above(&quoted)
    })
}

/// True if an amount is at most the one that the plugin declares for its quotes.
fn is_within(amount: Amount, declared: &DeclaredPrice, asset: &Asset) -> bool {
    let DeclaredPrice::Quoted(most) = declared else { return false };
    Decimal::parse(most).and_then(|most| Amount::of(&most, asset)).is_ok_and(|most| amount <= most)
}

/// The refusal of a request whose price is above what the operator lets the plugin ask.
fn above_the_operators(quoted: &str, most: &Price) -> Problem {
    let (amount, symbol) = (most.amount.decimal(most.asset.decimals), &most.asset.symbol);
    Problem::PriceTooHigh {
        message: format!(
            "this request would cost {quoted}, and this host sells none here for more than {amount} {symbol}: ask for less"
        ),
    }
}
