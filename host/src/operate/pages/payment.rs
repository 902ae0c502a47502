//! `/payments/ID`: one payment, and its story in time.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use coinslot_ledger::{EventKind, PaymentEvent};
use maud::{Markup, html};

use super::explorer;
use super::frame::{Frame, PageError};
use super::payments::{encoded, network};
use super::refund;
use super::webhooks;
use super::write::{at, duration, money, name, sentence, state};
use crate::operate::access::Visitor;
use crate::operate::admin::HostView;
use crate::operate::api::ApiError;
use crate::operate::api::payments::{PathPart, payment};
use crate::operate::api::read::read;
use crate::operate::records::{PaymentRecord, RefundRecord};
use crate::operate::time;
use crate::operate::units::Units;

/// A payment, as far as the ledger knows it.
struct Story {
    /// None if the payment was given back, or its row is pruned.
    record: Option<PaymentRecord>,
    events: Vec<PaymentEvent>,
    refunds: Vec<RefundRecord>,
}

pub(super) async fn page(
    State(host): State<Arc<HostView>>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Result<Markup, PageError> {
    let record = match payment(State(Arc::clone(&host)), PathPart(id.clone())).await {
        Ok(record) => Some(record.0),
        Err(error) if error.status == StatusCode::NOT_FOUND => None,
        Err(error) => return Err(error.into()),
    };
    let wanted = id.clone();
    let (events, refunds) = read(&host, move |reader, units| {
        let refunds = reader.refunds_of(&wanted)?;
        Ok((reader.events_of(&wanted)?, refunds.iter().map(|row| RefundRecord::of(row, units)).collect()))
    })
    .await?;
    if record.is_none() && events.is_empty() {
        let message = "The ledger has no such payment, and no event of it: it never was, or it is pruned.";
        return Err(PageError(ApiError::new(StatusCode::NOT_FOUND, "not_found", message)));
    }
    let frame = Frame::of(&host, visitor).await;
    let (story, units) = (Story { record, events, refunds }, host.units());
    let wallet = host.refunds.as_ref().map(|refunds| refunds.address().to_string());
    let refund = story.record.as_ref().filter(|record| record.state == "owed");
    let refund = refund.map(|record| refund::form(record, wallet.as_deref(), &frame));
    let title = format!("Payment {}", id.chars().take(8).collect::<String>());
    let fixed = html! { p.quiet { code.whole { (name(&id)) } " · " a href="/payments" { "All payments" } } };
    let told = webhooks::of_payment(&host, &id).await?;
    let live = html! { (story.show(&units)) (told) @if let Some(form) = refund { (form) } };
    Ok(frame.page("/payments", &title, fixed, live))
}

impl Story {
    fn show(&self, units: &Units) -> Markup {
        html! {
            (self.head(units))
            section aria-labelledby="story" {
                h2 #story { "Its story" }
                ol.story { @for step in self.steps() { (step) } }
            }
            @if let Some(record) = &self.record { (facts(record)) }
        }
    }

    fn head(&self, units: &Units) -> Markup {
        if let Some(record) = &self.record {
            return html! {
                p.headline {
                    (state(&record.state)) " "
                    (money(record.amount.as_deref(), record.symbol.as_deref(), &record.atomic_amount))
                    " for " b.text { (name(&record.endpoint)) }
                }
                @if record.testnet { p.note { "On a test network: this money is worth nothing." } }
                @if let Some(reason) = &record.reason { p.note { (sentence(reason)) } }
            };
        }
        let Some(event) = self.events.last() else { return html! {} };
        let amount = units.written(&event.network, &event.asset, event.amount);
        html! {
            p.headline {
                (state("given back")) " " (money(amount.decimal.as_deref(), amount.symbol.as_deref(), &amount.atomic))
                " for " b.text { (name(&event.endpoint)) }
            }
            p.note {
                "The plugin failed, so the payment was given back: nothing was charged. Its payer may send it again."
            }
        }
    }

    /// The steps in the order of time.
    fn steps(&self) -> Vec<Markup> {
        let mut steps = Vec::new();
        if let Some(record) = &self.record {
            let claimed = html! { "The payment was written down for the plugin " b { (name(&record.plugin)) } "." };
            steps.push(step(&record.created_at, "Claimed", claimed));
            let measured = [
                (record.verify_microseconds, "Verified", "The facilitator found it valid"),
                (record.run_microseconds, "Ran", "The plugin worked"),
                (record.settle_microseconds, "Settlement", "The facilitator was asked to move the money"),
            ];
            // Upfront, the money moves before the plugin works.
            let order = if record.flow == "upfront" { [0, 2, 1] } else { [0, 1, 2] };
            for (time, title, what) in order.map(|index| measured[index]) {
                if let Some(time) = time {
                    steps.push(untimed(title, html! { (what) ", in " b { (duration(seconds(time))) } "." }));
                }
            }
        }
        // The attempts to pay it back have no event of their own before they succeed.
        let refunds = self.refunds.iter().map(|refund| (refund.begun_at.clone(), "Refund", refund_text(refund)));
        // The end of a refund may come in the second of its beginning, and stands behind it.
        let (ends, events): (Vec<_>, Vec<_>) = self.events.iter().partition(|event| event.kind == EventKind::Refunded);
        let of_event = |event: &PaymentEvent| (time::shown(event.at), event_title(event.kind), event_text(event));
        let mut timed: Vec<_> =
            events.into_iter().map(of_event).chain(refunds).chain(ends.into_iter().map(of_event)).collect();
        timed.sort_by(|(one, ..), (other, ..)| one.cmp(other));
        steps.extend(timed.into_iter().map(|(when, title, what)| step(&when, title, what)));
        if let Some(record) = &self.record
            && !matches!(&*record.state, "settled" | "delivered" | "refused" | "owed" | "refunding" | "refunded")
        {
            let open =
                html! { "Its end is not written yet. It cannot be settled after " (at(&record.valid_before)) "." };
            steps.push(untimed("Open", open));
        }
        if let Some(record) = &self.record
            && record.state == "delivered"
        {
            steps.push(step(&record.updated_at, "Delivered", html! { "The answer was handed to the client." }));
        }
        steps
    }
}

fn step(when: &str, title: &str, what: Markup) -> Markup {
    html! { li { p.when { (at(when)) } p { strong { (title) } " " (what) } } }
}

fn untimed(title: &str, what: Markup) -> Markup {
    html! { li { p.when {} p { strong { (title) } " " (what) } } }
}

#[expect(clippy::cast_precision_loss, reason = "no stage takes 2^52 microseconds")]
fn seconds(microseconds: u64) -> f64 {
    microseconds as f64 / 1e6
}

fn event_title(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Paid => "Paid",
        EventKind::Owed => "Owed",
        EventKind::Refunded => "Paid back",
        EventKind::Unknown => "Unknown",
        EventKind::Refused => "Refused",
        EventKind::Failed => "Given back",
    }
}

fn event_text(event: &PaymentEvent) -> Markup {
    let text = match event.kind {
        EventKind::Paid => "The money moved.",
        EventKind::Owed => "The money moved, and its answer is owed.",
        EventKind::Refunded => "The money went back to its payer.",
        EventKind::Unknown => "It is not known whether the money moves. The host asks the chain again.",
        EventKind::Refused => "The settlement was refused: no money moved.",
        EventKind::Failed => "The plugin failed, and nothing was charged.",
    };
    html! {
        (text)
        @if let (EventKind::Paid | EventKind::Refunded, Some(hash)) = (event.kind, &event.transaction) {
            " Transaction " (explorer::transaction(&event.network.to_string(), hash)) "."
        }
        @if let Some(reason) = &event.reason { br; span.quiet { (sentence(reason)) } }
    }
}

fn refund_text(refund: &RefundRecord) -> Markup {
    let end = match &*refund.state {
        "paid" => "the money is with the payer",
        "failed" => "it failed, and the answer was owed again",
        _ => "it is on its way",
    };
    html! {
        "Sent back by " (if refund.ordered_by == "policy" { "the rule of the configuration" } else { "an operator" }) ": "
        (end) "."
        @if let Some(hash) = &refund.transaction { " Transaction " (explorer::transaction(&refund.network, hash)) "." }
        @if let Some(reason) = &refund.reason { br; span.quiet { (sentence(reason)) } }
    }
}

fn facts(record: &PaymentRecord) -> Markup {
    let facts: [(&str, Markup); 13] = [
        (
            "Payer",
            html! { a.whole href={ "/payments?q=" (encoded(&record.payer)) } { code { (name(&record.payer)) } } },
        ),
        ("Receiver", html! { code.whole { (name(&record.pay_to)) } }),
        ("Network", network(&record.network, record.testnet)),
        ("Token", explorer::address(&record.network, &record.asset)),
        ("Atomic amount", html! { (name(&record.atomic_amount)) }),
        (
            "Transaction",
            match &record.transaction {
                Some(hash) => explorer::transaction(&record.network, hash),
                None => html! { "none" },
            },
        ),
        (
            "Flow",
            html! {
                (name(&record.flow)) ": the money moves " (if record.flow == "upfront" { "before" } else { "after" })
                " the work"
            },
        ),
        ("Plugin", html! { (name(&record.plugin)) }),
        ("Settled before", at(&record.valid_before)),
        ("Changed last", at(&record.updated_at)),
        ("Client's own name", html! { (record.identifier.as_deref().map_or_else(|| "none".to_owned(), name)) }),
        ("Nonce", html! { code.whole { (name(&record.nonce)) } }),
        (
            "Request",
            html! { code.whole { (record.request_id.as_deref().map_or_else(|| "not known".to_owned(), name)) } },
        ),
    ];
    html! {
        section aria-labelledby="facts" {
            h2 #facts { "What the ledger has" }
            dl.rows { @for (term, what) in facts { div { dt { (term) } dd { (what) } } } }
        }
    }
}
