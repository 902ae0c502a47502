//! `/failed`: the calls that failed, by the code of their error, and the payments that were given back.

use std::sync::Arc;

use axum::extract::State;
use maud::{Markup, html};
use serde::Deserialize;

use super::frame::{Frame, PageError, records};
use super::money::unsettled::failures;
use super::payments::encoded;
use super::write::{count, name};
use crate::operate::access::Visitor;
use crate::operate::admin::HostView;
use crate::operate::api::payments::{FailedQuery, Query, failed};
use crate::operate::samples::Counters;

/// The payments of one page.
const ROWS: u32 = 50;

/// The part of the list.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Part {
    #[serde(default)]
    after: String,
    /// Only of this payer.
    #[serde(default)]
    payer: String,
}

pub(super) async fn page(
    State(host): State<Arc<HostView>>,
    visitor: Visitor,
    Query(Part { after, payer }): Query<Part>,
) -> Result<Markup, PageError> {
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let query =
        FailedQuery { limit: Some(ROWS), after: given(&after), payer: given(payer.trim()), ..FailedQuery::default() };
    let of_payer = if payer.is_empty() { String::new() } else { format!("?payer={}", encoded(&payer)) };
    let found = failed(State(Arc::clone(&host)), Query(query)).await?;
    let frame = Frame::of(&host, visitor).await;
    let counters = Counters::of(&host.metrics.registry().gather());
    let fixed = html! {
        p.quiet {
            "Payments whose end is not a plain one: " a href="/payments?state=owed" { "owed" } ", "
            a href="/payments?state=unknown" { "unknown" } ", " a href="/payments?state=refused" { "refused" } "."
        }
    };
    let live = html! {
        section aria-labelledby="given-back" {
            h2 #given-back { "Given back" }
            @if !payer.is_empty() {
                p.quiet { "Of the payer " code.whole { (name(&payer)) } ". " a href="/failed" { "Those of all payers" } }
            }
            @if found.records.is_empty() && after.is_empty() && !payer.is_empty() {
                p.empty { "No plugin has failed for a payment of this payer." }
            } @else if found.records.is_empty() && after.is_empty() {
                p.empty { "No plugin has failed for a payment." }
            } @else {
                p.quiet { "The plugin failed, and nothing was charged; the newest first." }
                (failures(&found.records, frame.now))
            }
            nav.pages aria-label="More failed calls" {
                @if !after.is_empty() { a href={ "/failed" (of_payer) } { "To the newest" } }
                @if let Some(next) = &found.next {
                    @let and = if of_payer.is_empty() { "?".to_owned() } else { format!("{of_payer}&") };
                    a href={ "/failed" (and) "after=" (encoded(&next.value)) } rel="next" { "Older ones" }
                }
            }
        }
        section aria-labelledby="codes" {
            h2 #codes { "By code, since the start" }
            @if counters.errors.is_empty() {
                p.empty { "No request was answered with an error." }
            } @else {
                (by_code(&counters))
                p.quiet { "Every answer with an error of the host, whether it was to be paid or not." }
            }
        }
    };
    Ok(frame.page("/money", "Failed calls", fixed, live))
}

/// The errors that were answered by their code, the most frequent first.
fn by_code(counters: &Counters) -> Markup {
    let mut codes: Vec<(&str, u64)> = counters.errors.iter().map(|(code, number)| (&**code, *number)).collect();
    codes.sort_by_key(|(code, number)| (std::cmp::Reverse(*number), *code));
    html! {
        @if !codes.is_empty() {
            @let rows = codes.into_iter().map(|(code, number)| {
                [html! { code.whole { (name(code)) } }, html! { span data-error=(name(code)) { (count(number)) } }]
            });
            @let columns = [("Code of the error", "head"), ("Answers", "number brief")];
            (records("Answers with an error, by code", &columns, rows))
        }
    }
}
