//! Shows the payments that are not simply paid: owed, unknown, refused, and given back.

use coinslot_x402::UnixTime;
use maud::{Markup, html};

use super::MoneyReport;
use crate::operate::api::page::Page;
use crate::operate::pages::frame::records;
use crate::operate::pages::payments::rows;
use crate::operate::pages::write::{ago, money, name, sentence};
use crate::operate::records::{FailureRecord, OwedRecord};

/// A section for each kind of which there is one, and a sentence for the others.
pub(super) fn sections(report: &MoneyReport, now: UnixTime) -> Markup {
    let kinds = [
        ("owed", "Owed answers", report.owed.records.is_empty(), owed(&report.owed, now)),
        ("unknown", "Unknown settlements", report.unknown.is_empty(), unknown(report, now)),
        ("refused", "Refused settlements", report.refused.is_empty(), refused(report, now)),
        ("failed", "Given back", report.failed.records.is_empty(), given_back(&report.failed, now)),
    ];
    let none: Vec<&str> = kinds.iter().filter(|(_, _, is_empty, _)| *is_empty).map(|(id, ..)| *id).collect();
    html! {
        @for (id, title, is_empty, shown) in &kinds {
            @if !is_empty { section aria-labelledby=(id) { h2 id=(id) { (title) } (shown) } }
        }
        @if let Some((last, others)) = none.split_last() {
            p.calm {
                span.dot aria-hidden="true" {}
                "No payment is " @if !others.is_empty() { (others.join(", ")) " or " } (last) "."
            }
        }
    }
}

fn unknown(report: &MoneyReport, now: UnixTime) -> Markup {
    html! {
        p.quiet { "It is not known whether the money moved. The host asks the chain again by itself." }
        (rows("Settlements whose end is not known", &report.unknown, now))
    }
}

fn refused(report: &MoneyReport, now: UnixTime) -> Markup {
    html! {
        p.quiet { "No money moved; the newest first." }
        (rows("The newest refused settlements", &report.refused, now))
    }
}

fn owed(part: &Page<OwedRecord>, now: UnixTime) -> Markup {
    let columns = [("Since", "head"), ("Amount", "number"), ("Endpoint", "text"), ("What ends it", "text long")];
    let rows = part.records.iter().map(|one| {
        [
            link(&one.payment_id, &one.since, now),
            money(one.amount.as_deref(), one.symbol.as_deref(), &one.atomic_amount),
            html! { (name(&one.endpoint)) },
            html! { (sentence(&one.make_good)) },
        ]
    });
    html! {
        p.quiet { "Paid for and not given, the oldest first." }
        (records("Owed answers", &columns, rows))
        @if part.next.is_some() {
            p.quiet { "There are more: " a href="/payments?state=owed" { "all owed payments" } "." }
        }
    }
}

fn given_back(part: &Page<FailureRecord>, now: UnixTime) -> Markup {
    html! {
        p.quiet { "The plugin failed, and nothing was charged; the newest first." }
        (failures(&part.records, now))
        @if part.next.is_some() {
            p.quiet { "There are more: " a href="/failed" { "all failed calls" } "." }
        }
    }
}

/// A table of payments that were given back.
pub(in crate::operate::pages) fn failures(failed: &[FailureRecord], now: UnixTime) -> Markup {
    let columns = [("Time", "head"), ("Amount", "number"), ("Endpoint", "text"), ("Failure", "text long")];
    let rows = failed.iter().map(|one| {
        [
            link(&one.payment_id, &one.at, now),
            money(one.amount.as_deref(), one.symbol.as_deref(), &one.atomic_amount),
            html! { (name(&one.endpoint)) },
            html! { (sentence(&one.reason)) },
        ]
    });
    records("Payments that were given back", &columns, rows)
}

/// A time that leads to its payment.
fn link(id: &str, at: &str, now: UnixTime) -> Markup {
    html! { a href={ "/payments/" (name(id)) } { (ago(at, now)) span.unseen { ": payment " (name(id)) } } }
}
