//! `/webhooks`: the addresses that are told what happens, how that goes, and the form that tells one again. The page of a
//! payment takes the deliveries of its events from here.

use std::sync::Arc;

use axum::extract::{Form, State};
use axum::response::{IntoResponse, Redirect, Response};
use coinslot_ledger::reports::AttemptFilter;
use maud::{Markup, html};
use serde::Deserialize;

use super::frame::{Frame, PageError, records};
use super::login::check_proof;
use super::payments::encoded;
use super::write::{ago, count, counted, digest, name, names, sentence, state};
use crate::operate::access::Visitor;
use crate::operate::admin::HostView;
use crate::operate::alerts::AlertKind;
use crate::operate::api::ApiError;
use crate::operate::api::read::read;
use crate::operate::api::webhooks::{Resend, tell_again, webhooks};
use crate::operate::time;
use crate::operate::webhooks::{AttemptRecord, WebhookRecord};

/// The attempts that are shown of a webhook.
const SHOWN: usize = 20;

/// The attempts that are shown of a payment.
const OF_PAYMENT: u32 = 50;

pub(super) async fn page(State(host): State<Arc<HostView>>, visitor: Visitor) -> Result<Markup, PageError> {
    let records = webhooks(State(Arc::clone(&host))).await?.0;
    let frame = Frame::of(&host, visitor).await;
    let live = html! {
        @if records.is_empty() {
            p.quiet {
                "No address is told what happens: " code { "[[webhook]]" } " in the configuration names one, the secret that \
                 signs its messages, and the events that it is told."
            }
        }
        @for (index, record) in records.iter().enumerate() { (webhook(record, index, &frame)) }
        @if !records.is_empty() {
            p.quiet {
                "The ledger keeps the newest ten thousand attempts of each: " code { "coinslot webhooks --attempts" }
                " lists them."
            }
        }
    };
    Ok(frame.page("/webhooks", "Webhooks", html! {}, live))
}

fn webhook(record: &WebhookRecord, index: usize, frame: &Frame) -> Markup {
    let id = format!("webhook-{index}");
    let word = match (record.failures, record.waiting) {
        (0, 0) => "up to date",
        (0, _) => "waiting",
        _ => "failing",
    };
    html! {
        section.card aria-labelledby=(id) {
            header {
                h3 id=(id) { (name(&record.url)) }
                p.badges {
                    (state(word))
                    @if record.failures > 0 {
                        " " span.quiet {
                            @if record.more_failures { "at least " }
                            (counted(record.failures.into(), "attempt", "attempts")) " in a row failed"
                        }
                    }
                }
            }
            p { "Told of " (events(&record.events)) "." }
            p.quiet {
                (counted(record.waiting, "message waits", "messages wait")) ", done up to event " (count(record.place))
                @if let Some(next) = &record.next_try { ", next try " (ago(next, frame.now)) }
                "."
            }
            @if record.attempts.is_empty() {
                p.quiet { "It was told nothing yet." }
            } @else {
                (attempts(&format!("Last attempts to tell {}", name(&record.url)), &record.attempts, frame))
            }
            (form(record, index, frame))
        }
    }
}

/// The events that a webhook is told. If it is told every kind of alert, they are `every alert`.
fn events(kinds: &[String]) -> String {
    let has_all = AlertKind::ALL.into_iter().all(|kind| kinds.iter().any(|name| name == kind.as_str()));
    let is_alert = |name: &&String| AlertKind::ALL.into_iter().any(|kind| kind.as_str() == *name);
    if !has_all {
        return names(kinds);
    }
    let mut shown: Vec<String> = kinds.iter().filter(|name| !is_alert(name)).cloned().collect();
    shown.push("every alert".to_owned());
    names(&shown)
}

fn attempts(label: &str, attempts: &[AttemptRecord], frame: &Frame) -> Markup {
    let columns = [("Time", ""), ("Message", "head"), ("Result", "text"), ("Payment", "text"), ("Event", "number")];
    let rows = attempts.iter().take(SHOWN).map(|attempt| {
        let payment = attempt.payment_id.as_ref().map(|id| {
            html! { a href={ "/payments/" (encoded(id)) } { (digest(id)) } }
        });
        [
            html! { (ago(&attempt.at, frame.now)) },
            html! { (name(&attempt.kind)) },
            result(attempt),
            payment.unwrap_or_default(),
            attempt.event.map(|event| html! { (count(event)) }).unwrap_or_default(),
        ]
    });
    records(label, &columns, rows)
}

fn result(attempt: &AttemptRecord) -> Markup {
    html! {
        (state(if attempt.is_accepted() { "accepted" } else { "failed" }))
        @if let Some(status) = attempt.status { " " span.quiet { "with " (status) } }
        @if let (None, Some(error)) = (attempt.status, &attempt.error) { ": " span.quiet { (sentence(error)) } }
    }
}

/// The button that tells a webhook again, behind a confirmation that needs no script.
fn form(record: &WebhookRecord, index: usize, frame: &Frame) -> Markup {
    let (id, field) = (format!("resend-{index}"), format!("after-{index}"));
    html! {
        details.confirm id=(id) {
            summary { "Tell again…" span.unseen { " " (name(&record.url)) } }
            p {
                "The events of payments after this one that the ledger still has are told again, in their order and with the \
                 ids that they had; 0 stands for all. Messages that wait come after them."
            }
            form method="post" action="/webhooks/resend" {
                input type="hidden" name="proof" value=(frame.visitor.form_proof);
                input type="hidden" name="url" value=(record.url);
                label for=(field) { "After event" }
                " "
                input id=(field) name="after" type="number" inputmode="numeric" min="0" max=(record.place)
                    value=(record.place) required;
                " "
                button.danger type="submit" { "Tell it again" }
            }
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct ResendForm {
    #[serde(default)]
    proof: String,
    #[serde(default)]
    url: String,
    #[serde(default)]
    after: String,
}

/// Tells a webhook again.
pub(super) async fn resend(
    State(host): State<Arc<HostView>>,
    visitor: Visitor,
    Form(asked): Form<ResendForm>,
) -> Result<Response, PageError> {
    check_proof(&visitor, &asked.proof)?;
    let after = asked.after.trim().parse();
    let after = after.map_err(|_| ApiError::invalid("The event is a whole number: 0, or that of an attempt."))?;
    let order = Resend { url: asked.url, after, dry_run: false };
    tell_again(&host, visitor.author, &order).await.map_err(PageError)?;
    Ok(Redirect::to("/webhooks").into_response())
}

/// The deliveries of the events of a payment, for its page. Nothing where no webhook was ever told of it.
pub(super) async fn of_payment(host: &HostView, id: &str) -> Result<Markup, PageError> {
    let filter = AttemptFilter { payment_id: Some(id.to_owned()), limit: OF_PAYMENT + 1, ..AttemptFilter::default() };
    let found = read(host, move |reader, _| reader.webhook_attempts(&filter)).await?;
    let attempts: Vec<_> = found.iter().map(|kept| AttemptRecord::of(&kept.attempt)).collect();
    if attempts.is_empty() {
        return Ok(html! {});
    }
    let columns = [("Time", ""), ("Webhook", "text"), ("Message", "head"), ("Result", "text")];
    let (most, now) = (OF_PAYMENT as usize, time::now());
    let rows = attempts.iter().take(most).map(|attempt| {
        let told = html! { (name(&attempt.webhook)) };
        [html! { (ago(&attempt.at, now)) }, told, html! { (name(&attempt.kind)) }, result(attempt)]
    });
    Ok(html! {
        section aria-labelledby="told" {
            h2 #told { "Who was told" }
            (records("Attempts to tell webhooks, the newest first", &columns, rows))
            @if attempts.len() > most { p.quiet { "The newest " (count(most as u64)) " are shown." } }
            p.quiet { a href="/webhooks" { "All webhooks" } }
        }
    })
}
