//! `/payments/ID`: one payment, and its story in time.

use std::sync::Arc;

use axum::extract::{Path, State};
use maud::{Markup, html};

use super::explorer;
use super::frame::{Frame, PageError};
use super::payments::{encoded, network};
use super::refund;
use super::settle;
use super::webhooks;
use super::write::{at, money, name, sentence, state};
use crate::operate::access::Visitor;
use crate::operate::admin::HostView;
use crate::operate::api::payments::{PathPart, story};
use crate::operate::records::{PaymentRecord, StepName, StepRecord, StoryRecord};

pub(super) async fn page(
    State(host): State<Arc<HostView>>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Result<Markup, PageError> {
    let story = story(State(Arc::clone(&host)), PathPart(id.clone())).await?.0;
    let frame = Frame::of(&host, visitor).await;
    let wallet = host.refunds.as_ref().map(|refunds| refunds.address().to_string());
    let refund = story.payment.as_ref().filter(|record| record.state == "owed");
    let refund = refund.map(|record| refund::form(record, wallet.as_deref(), &frame));
    let debt = story.payment.as_ref().filter(|record| matches!(&*record.state, "owed" | "refunding"));
    let settle = debt.map(|record| settle::forms(record, &frame));
    let title = format!("Payment {}", id.chars().take(8).collect::<String>());
    let fixed = html! { p.quiet { code.whole { (name(&id)) } " · " a href="/payments" { "All payments" } } };
    let told = webhooks::of_payment(&host, &id).await?;
    let live =
        html! { (show(&story)) (told) @if let Some(form) = refund { (form) } @if let Some(forms) = settle { (forms) } };
    Ok(frame.page("/payments", &title, fixed, live))
}

fn show(story: &StoryRecord) -> Markup {
    html! {
        (head(story))
        section aria-labelledby="story" {
            h2 #story { "Its story" }
            p.quiet { "Times are in UTC; behind each is the time since the step before." }
            ol.story {
                @for one in &story.steps { (step(one, story)) }
                @if let Some(record) = story.payment.as_ref().filter(|record| is_open(record)) {
                    li {
                        p.when {}
                        p {
                            strong { "Open" } " Its end is not written yet. It cannot be settled after "
                            (at(&record.valid_before)) "."
                        }
                    }
                }
            }
        }
        (facts(story))
    }
}

/// True if the payment may still be settled or answered.
fn is_open(record: &PaymentRecord) -> bool {
    !matches!(&*record.state, "settled" | "delivered" | "refused" | "owed" | "refunding" | "refunded")
}

fn head(story: &StoryRecord) -> Markup {
    html! {
        p.headline {
            (state(&story.state)) " "
            (money(story.amount.as_deref(), story.symbol.as_deref(), &story.atomic_amount))
            " for " b.text { (name(&story.endpoint)) }
        }
        @if story.testnet { p.note { "On a test network: this money is worth nothing." } }
        @match &story.payment {
            Some(record) => { @if let Some(reason) = &record.reason { p.note { (sentence(reason)) } } }
            None if story.state == "given_back" => {
                p.note {
                    "The plugin failed, so the payment was given back: nothing was charged. Its payer may send it again."
                }
            }
            None => { p.note { "The ledger has only the events of this payment: its row was old enough to be deleted." } }
        }
    }
}

fn step(step: &StepRecord, story: &StoryRecord) -> Markup {
    html! {
        li {
            p.when {
                @if let Some(time) = &step.at { (at(time)) }
                @if let Some(after) = step.after() { " " span.after { "+ " (after) } }
            }
            p {
                strong { (title(step.step)) } " " (text(step, story))
                @if let Some(hash) = &step.transaction {
                    " Transaction " (explorer::transaction(&story.network, hash))
                    @if let Some(block) = step.block { " in block " (block) }
                    "."
                }
                @if let Some(sender) = &step.sender { " By hand, from " (explorer::address(&story.network, sender)) "." }
                @if let Some(reason) = &step.reason { br; span.quiet { (sentence(reason)) } }
                @if let Some(request) = &step.request_id { br; span.quiet { "Request " code { (name(request)) } } }
            }
        }
    }
}

fn title(step: StepName) -> &'static str {
    match step {
        StepName::Claimed => "Claimed",
        StepName::Verified => "Verified",
        StepName::Started => "Started",
        StepName::Answered => "Answered",
        StepName::Sent => "Settlement",
        StepName::Paid => "Paid",
        StepName::Delivered => "Delivered",
        StepName::GivenBack => "Given back",
        StepName::Unknown => "Unknown",
        StepName::Refused => "Refused",
        StepName::Owed => "Owed",
        StepName::RunAgain => "Run again",
        StepName::AskedAgain => "Asked for again",
        StepName::RefundSent => "Refund",
        StepName::RefundFailed => "Refund failed",
        StepName::Refunded => "Paid back",
        StepName::PassUsed => "Pass used",
    }
}

fn text(step: &StepRecord, story: &StoryRecord) -> Markup {
    let text = match step.step {
        StepName::Claimed => {
            return html! { "The payment was written down for the plugin " b { (name(&story.plugin)) } "." };
        }
        StepName::Verified => "The facilitator found it valid.",
        StepName::Started => "The plugin began to work.",
        StepName::Answered => "The plugin had answered.",
        StepName::Sent => "The facilitator was asked to move the money.",
        StepName::Paid => "The money moved.",
        StepName::Delivered => "The answer was handed to the client.",
        StepName::GivenBack => "The plugin failed, and nothing was charged.",
        StepName::Unknown => "It is not known whether the money moves. The host asks the chain again.",
        StepName::Refused if step.after_work == Some(true) => {
            "The payment was refused: no money moved, and the plugin had worked for it."
        }
        StepName::Refused => "The payment was refused: no money moved.",
        StepName::Owed => "The money moved, and its answer is owed.",
        StepName::RunAgain => {
            "The same payment came again for the answer that was owed, and the plugin was called for it."
        }
        StepName::AskedAgain => "The same payment came again for the answer that it had bought, which was kept.",
        StepName::RefundSent if step.ordered_by.as_deref() == Some("policy") => {
            "Sent back by the rule of the configuration."
        }
        StepName::RefundSent => "Sent back by an operator.",
        StepName::RefundFailed => "The refund failed, and the answer was owed again.",
        StepName::Refunded => "The money went back to its payer.",
        StepName::PassUsed => "Its payer came back, and was served by the pass that it had bought.",
    };
    html! { (text) }
}

/// The facts of the row. Of a payment without a row: those of its last event.
fn facts(story: &StoryRecord) -> Markup {
    let mut facts: Vec<(&str, Markup)> = vec![
        ("Payer", html! { a.whole href={ "/payments?q=" (encoded(&story.payer)) } { code { (name(&story.payer)) } } }),
        ("Network", network(&story.network, story.testnet)),
        ("Token", explorer::address(&story.network, &story.asset)),
        ("Atomic amount", html! { (name(&story.atomic_amount)) }),
        ("Plugin", html! { (name(&story.plugin)) }),
        (
            "Request",
            html! { code.whole { (story.request_id.as_deref().map_or_else(|| "not known".to_owned(), name)) } },
        ),
    ];
    facts.extend(story.pass.as_ref().map(|pass| ("Pass", html! { (name(&pass.to_string())) })));
    if let Some(record) = &story.payment {
        facts.extend(facts_of_row(record));
    }
    html! {
        section aria-labelledby="facts" {
            h2 #facts { "What the ledger has" }
            dl.rows { @for (term, what) in facts { div { dt { (term) } dd { (what) } } } }
        }
    }
}

fn facts_of_row(record: &PaymentRecord) -> [(&'static str, Markup); 7] {
    let transaction = match &record.transaction {
        Some(hash) => explorer::transaction(&record.network, hash),
        None => html! { "none" },
    };
    let when = if record.flow == "upfront" { "before" } else { "after" };
    [
        ("Receiver", html! { code.whole { (name(&record.pay_to)) } }),
        ("Transaction", transaction),
        ("Flow", html! { (name(&record.flow)) ": the money moves " (when) " the work" }),
        ("Settled before", at(&record.valid_before)),
        ("Changed last", at(&record.updated_at)),
        ("Client's own name", html! { (record.identifier.as_deref().map_or_else(|| "none".to_owned(), name)) }),
        ("Nonce", html! { code.whole { (name(&record.nonce)) } }),
    ]
}
