//! Finds what a search shows beside payments: failed calls, and requests that were served free of charge.

use std::sync::Arc;

use axum::extract::State;
use coinslot_x402::UnixTime;
use maud::{Markup, html};

use super::frame;
use super::money::unsettled::failures;
use super::payments::{Search, encoded, list};
use super::write::{ago, name};
use crate::operate::admin::HostView;
use crate::operate::api::ApiError;
use crate::operate::api::free::{FreeQuery, uses};
use crate::operate::api::page::Page;
use crate::operate::api::payments::{FailedQuery, Query, failed};
use crate::operate::api::read::read;
use crate::operate::records::{FailureRecord, FreeUseRecord, PaymentRecord};

/// The rows of each list.
const ROWS: u32 = 20;

/// The failed calls and the free requests of a payer or of a request.
#[derive(Debug, Default)]
pub(super) struct Beside {
    /// None: they are those of a request.
    payer: Option<String>,
    failed: Vec<FailureRecord>,
    has_more_failed: bool,
    free: Vec<FreeUseRecord>,
    has_more_free: bool,
}

/// Everything that has this id.
#[derive(Debug, Default)]
pub(super) struct RequestFound {
    /// It is the id of a payment.
    pub(super) payment_of_this_id: Option<String>,
    /// A payment was claimed or fetched by the request.
    has_payment: bool,
    /// Payments that the request claimed and that have no row any more.
    past: Vec<String>,
    beside: Beside,
}

impl Beside {
    /// Reads the failed calls and free requests of a payer.
    pub(super) async fn of_payer(host: &Arc<HostView>, payer: String) -> Result<Self, ApiError> {
        let failed_query = FailedQuery { payer: Some(payer.clone()), ..FailedQuery::default() };
        let free_query = FreeQuery { who: Some(payer.clone()), ..FreeQuery::default() };
        Ok(Self { payer: Some(payer), ..Self::of(host, failed_query, free_query).await? })
    }

    async fn of(host: &Arc<HostView>, asked: FailedQuery, of_free: FreeQuery) -> Result<Self, ApiError> {
        let asked = FailedQuery { limit: Some(ROWS), ..asked };
        let Page { records: failed, next: more_failed } = failed(State(Arc::clone(host)), Query(asked)).await?;
        let of_free = FreeQuery { limit: Some(ROWS), ..of_free };
        let Page { records: free, next: more_free } = uses(State(Arc::clone(host)), Query(of_free)).await?;
        let (has_more_failed, has_more_free) = (more_failed.is_some(), more_free.is_some());
        Ok(Self { payer: None, failed, has_more_failed, free, has_more_free })
    }

    /// A section for the failed calls and one for the free requests, if there are any.
    pub(super) fn show(&self, now: UnixTime) -> Markup {
        html! {
            @if !self.failed.is_empty() {
                section aria-labelledby="beside-failed" {
                    h2 #beside-failed { "Failed calls" }
                    p.quiet { "The plugin failed, and nothing was charged; the newest first." }
                    (failures(&self.failed, now))
                    @if let (true, Some(payer)) = (self.has_more_failed, &self.payer) {
                        p.quiet {
                            "There are more: "
                            a href={ "/failed?payer=" (encoded(payer)) } { "all failed calls of this payer" } "."
                        }
                    }
                }
            }
            @if !self.free.is_empty() {
                section aria-labelledby="beside-free" {
                    h2 #beside-free { "Free requests" }
                    (free_requests(&self.free, now))
                    @if self.has_more_free {
                        p.quiet { "There are more: " code { "coinslot ledger free --who" } " lists them." }
                    }
                }
            }
        }
    }
}

impl RequestFound {
    pub(super) async fn of(host: &Arc<HostView>, id: &str) -> Result<Self, ApiError> {
        let asked = id.to_owned();
        let (is_payment, has_payment, past) = read(host, move |reader, _| {
            let is_payment = !reader.story(&asked)?.is_empty();
            Ok((is_payment, reader.has_request(&asked)?, reader.past_payments_of(&asked)?))
        })
        .await?;
        let failed = FailedQuery { request: Some(id.to_owned()), ..FailedQuery::default() };
        let free = FreeQuery { request: Some(id.to_owned()), ..FreeQuery::default() };
        let beside = Beside::of(host, failed, free).await?;
        // Those of failed calls are shown with the calls.
        let past = past.into_iter().filter(|id| !beside.failed.iter().any(|failure| failure.payment_id == *id));
        let past = past.collect();
        Ok(Self { payment_of_this_id: is_payment.then(|| id.to_owned()), has_payment, past, beside })
    }

    /// True if the ledger knows no request and no payment of this id.
    pub(super) fn is_empty(&self) -> bool {
        let Self { payment_of_this_id, has_payment, past, beside } = self;
        payment_of_this_id.is_none()
            && !has_payment
            && past.is_empty()
            && beside.failed.is_empty()
            && beside.free.is_empty()
    }

    pub(super) fn show(&self, payments: &Page<PaymentRecord>, search: &Search, now: UnixTime) -> Markup {
        if self.is_empty() {
            return html! {
                p.empty {
                    "No payment, failed call or free request has this id. The ledger knows requests that claimed or fetched "
                    "a payment, whose plugin failed, or that were free; of any other, such as one that was asked to pay or "
                    "whose payment was refused before it was claimed, only the log tells. "
                    a href="/payments" { "Show all payments" }
                }
            };
        }
        html! {
            @if self.has_payment { (list(payments, search, now)) }
            @for id in &self.past {
                p { a href={ "/payments/" (name(id)) } { "Payment " code { (name(id)) } } ": only its events are kept." }
            }
            (self.beside.show(now))
        }
    }
}

/// A table of requests that were served free of charge.
fn free_requests(records: &[FreeUseRecord], now: UnixTime) -> Markup {
    let columns = [
        ("Time", "head"),
        ("Outcome", ""),
        ("Endpoint", "text"),
        ("By", ""),
        ("Who", "text"),
        ("Request", "text long"),
        ("Pass of", "text long"),
    ];
    let rows = records.iter().map(|one| {
        let [outcome, endpoint, kind, who] =
            [&one.outcome, &one.endpoint, &one.kind, &one.who].map(|text| html! { (name(text)) });
        let request = one.request_id.as_deref().map_or_else(|| "not known".to_owned(), name);
        let pass = html! {
            @if let Some(id) = &one.payment_id { a href={ "/payments/" (encoded(id)) } { code { (name(id)) } } }
        };
        [html! { (ago(&one.at, now)) }, outcome, endpoint, kind, who, html! { code { (request) } }, pass]
    });
    frame::records("Requests that were served free of charge", &columns, rows)
}
