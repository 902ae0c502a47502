//! `/payments`: the list of payments, and the search in it.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use coinslot_base::request_id::RequestId;
use coinslot_ledger::PaymentState;
use coinslot_x402::UnixTime;
use maud::{Markup, html};
use serde::Deserialize;

use super::beside::{Beside, RequestFound};
use super::explorer;
use super::frame::{Frame, PageError, records};
use super::write::{ago, digest, money, name, state};
use crate::operate::access::Visitor;
use crate::operate::admin::HostView;
use crate::operate::api::page::Page;
use crate::operate::api::payments::{PaymentQuery, Query, payments};
use crate::operate::records::PaymentRecord;

/// The payments of one page.
const ROWS: u32 = 50;

/// The search.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Search {
    /// A payer, a payment, a request, a transaction or an endpoint.
    #[serde(default)]
    q: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    since: String,
    #[serde(default)]
    after: String,
}

pub(super) async fn page(
    State(host): State<Arc<HostView>>,
    visitor: Visitor,
    Query(mut search): Query<Search>,
) -> Result<Response, PageError> {
    search.q = search.q.trim().to_owned();
    let request = request_id(&search.q);
    let lookup = match &request {
        Some(request) => RequestFound::of(&host, request).await?,
        None => RequestFound::default(),
    };
    if let Some(payment) = &lookup.payment_of_this_id {
        return Ok(Redirect::to(&format!("/payments/{payment}")).into_response());
    }
    let is_of_request = !lookup.is_empty() || request.as_ref().is_some_and(|request| is_hex(request, 32));
    let mut asked = query(&search);
    if is_of_request {
        asked = PaymentQuery { payer: None, transaction: None, endpoint: None, request, ..asked };
    }
    let payer = asked.payer.clone();
    let found = match payments(State(Arc::clone(&host)), Query(asked)).await {
        Ok(found) => Ok(found),
        // A search that makes no sense is answered in its form.
        Err(error) if error.status == axum::http::StatusCode::BAD_REQUEST => Err(error.message),
        Err(error) => return Err(error.into()),
    };
    let frame = Frame::of(&host, visitor).await;
    let beside = match payer.filter(|_| search.after.is_empty()) {
        Some(payer) => Beside::of_payer(&host, payer).await?,
        None => Beside::default(),
    };
    let live = match &found {
        Ok(found) if is_of_request => lookup.show(found, &search, frame.now),
        Ok(found) => html! { (list(found, &search, frame.now)) (beside.show(frame.now)) },
        Err(reason) => {
            html! { p.empty role="alert" { "This cannot be searched for: " (super::write::sentence(reason)) } }
        }
    };
    Ok(frame.page("/payments", "Payments", form(&search), live).into_response())
}

/// The query of the API that the search means.
fn query(search: &Search) -> PaymentQuery {
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let mut query = PaymentQuery {
        state: given(&search.state),
        since: given(search.since.trim()),
        after: given(&search.after),
        limit: Some(ROWS),
        ..PaymentQuery::default()
    };
    let q = &search.q;
    let is_base58 = |least: usize| q.len() >= least && q.bytes().all(|byte| byte.is_ascii_alphanumeric());
    match q.strip_prefix("0x") {
        _ if q.is_empty() => {}
        Some(digits) if is_hex(digits, 40) => query.payer = given(q),
        Some(digits) if is_hex(digits, 64) => query.transaction = given(q),
        // Networks other than EVM's write addresses of 32 to 44 letters and digits, and transactions of more than 80.
        _ if is_base58(80) => query.transaction = given(q),
        _ if is_base58(32) => query.payer = given(q),
        _ => query.endpoint = given(q),
    }
    query
}

/// The id of a request or of a payment, if the text may be one: 32 hexadecimal digits, or the name that a proxy gave a
/// request. An endpoint has a slash at the beginning or after a space, and an address of an EVM network begins with `0x`.
fn request_id(q: &str) -> Option<String> {
    let is_endpoint = q.starts_with('/') || q.contains(' ');
    if is_endpoint || q.starts_with("0x") {
        return None;
    }
    RequestId::parse(q.as_bytes())?;
    Some(if is_hex(q, 32) { q.to_ascii_lowercase() } else { q.to_owned() })
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn form(search: &Search) -> Markup {
    html! {
        form.search method="get" action="/payments" role="search" {
            div.grow {
                label for="q" { "Payer, payment, request, transaction or endpoint" }
                input #q name="q" type="search" value=(name(&search.q)) placeholder="0x… or POST /path" maxlength="200"
                    autocomplete="off" spellcheck="false";
            }
            div {
                label for="in-state" { "State" }
                select #in-state name="state" {
                    option value="" { "Any" }
                    @for state in PaymentState::ALL {
                        option value=(state.as_str()) selected[search.state == state.as_str()] { (state.as_str()) }
                    }
                }
            }
            div {
                label for="since" { "Since" }
                input #since name="since" value=(name(&search.since)) placeholder="24h" maxlength="40"
                    autocomplete="off" size="14";
            }
            button type="submit" { "Search" }
        }
    }
}

pub(super) fn list(Page { records: shown, next }: &Page<PaymentRecord>, search: &Search, now: UnixTime) -> Markup {
    let is_search = !(search.q.is_empty() && search.state.is_empty() && search.since.is_empty());
    html! {
        @if shown.is_empty() && !search.after.is_empty() {
            p.empty { "Nothing follows: this is the end." }
        } @else if shown.is_empty() && is_search {
            p.empty { "No payment fits. " a href="/payments" { "Show all payments" } }
        } @else if shown.is_empty() {
            p.empty { "No payment has come yet. " a href="/plugins" { "See what is sold" } }
        } @else {
            (rows("Payments, the newest first", shown, now))
        }
        nav.pages aria-label="More payments" {
            @if !search.after.is_empty() { a href=(address(search, "")) { "To the newest" } }
            @if let Some(next) = next { a href=(address(search, &next.value)) rel="next" { "Older payments" } }
        }
    }
}

/// A table of payments.
pub(super) fn rows(label: &str, payments: &[PaymentRecord], now: UnixTime) -> Markup {
    let columns = [
        ("Time", "head"),
        ("State", ""),
        ("Amount", "number"),
        ("Network", ""),
        ("Payer", ""),
        ("Transaction", ""),
        ("Endpoint", "text"),
    ];
    let rows = payments.iter().map(|payment| {
        [
            html! {
                a href={ "/payments/" (name(&payment.payment_id)) } {
                    (ago(&payment.created_at, now)) span.unseen { ": payment " (name(&payment.payment_id)) }
                }
            },
            state(&payment.state),
            money(payment.amount.as_deref(), payment.symbol.as_deref(), &payment.atomic_amount),
            network(&payment.network, payment.testnet),
            html! { a href={ "/payments?q=" (encoded(&payment.payer)) } { (digest(&payment.payer)) } },
            html! {
                @if let Some(hash) = &payment.transaction { (explorer::transaction(&payment.network, hash)) }
                @else { span.quiet { "none" } }
            },
            html! { (name(&payment.endpoint)) },
        ]
    });
    records(label, &columns, rows)
}

/// A network by the name that x402 has for it, with its CAIP-2 id as the title, and whether its money is worth something.
pub(super) fn network(text: &str, testnet: bool) -> Markup {
    let known = coinslot_x402::Network::parse(text).ok();
    let shown = known.as_ref().and_then(coinslot_x402::Network::v1_name).unwrap_or(text);
    html! {
        span.network title=[(shown != text).then(|| name(text))] { (name(shown)) }
        @if testnet { " " span.quiet { "(test)" } }
    }
}

/// The address of a page of the list.
fn address(search: &Search, after: &str) -> String {
    let given = [("q", &*search.q), ("state", &search.state), ("since", &search.since), ("after", after)];
    let pairs = given.into_iter().filter(|(_, value)| !value.is_empty());
    let pairs: Vec<String> = pairs.map(|(key, value)| format!("{key}={}", encoded(value))).collect();
    if pairs.is_empty() { "/payments".to_owned() } else { format!("/payments?{}", pairs.join("&")) }
}

/// A text within the query of an address.
pub(super) fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_field_searches_for_what_was_written_into_it() {
        let meant = |q: &str| {
            let found = query(&Search { q: q.to_owned(), ..Search::default() });
            let given = [("payer", found.payer), ("transaction", found.transaction), ("endpoint", found.endpoint)];
            given.into_iter().find_map(|(key, value)| value.map(|_| key))
        };
        assert_eq!(meant(&format!("0x{}", "aB".repeat(20))), Some("payer"));
        assert_eq!(meant(&format!("0x{}", "aB".repeat(32))), Some("transaction"));
        assert_eq!(meant(&"5".repeat(88)), Some("transaction"), "Solana");
        assert_eq!(meant(&"5".repeat(44)), Some("payer"), "Solana");
        for endpoint in ["POST /x", "/x", "0x12"] {
            assert_eq!(meant(endpoint), Some("endpoint"), "{endpoint}");
        }
        assert_eq!(meant(""), None);
    }

    #[test]
    fn what_may_be_the_id_of_a_request_is_looked_up_as_one() {
        let upper = "AB".repeat(16);
        assert_eq!(request_id(&upper), Some(upper.to_ascii_lowercase()));
        assert_eq!(request_id("order-4711").as_deref(), Some("order-4711"), "a proxy's name");
        for other in ["", "/x", "GET /x", &format!("0x{}", "ab".repeat(20)), &"a".repeat(65), "ümlaut"] {
            assert_eq!(request_id(other), None, "{other}");
        }
    }

    #[test]
    fn the_address_of_a_page_keeps_the_search() {
        let search = Search { q: "GET /a&b".to_owned(), state: "owed".to_owned(), ..Search::default() };
        assert_eq!(address(&search, "00ff"), "/payments?q=GET%20%2Fa%26b&state=owed&after=00ff");
        assert_eq!(address(&Search::default(), ""), "/payments");
    }
}
