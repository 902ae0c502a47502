//! Shows what was served free of charge: the allowances that are in force, their use, and the keys of customers.

use std::collections::BTreeMap;

use coinslot_x402::UnixTime;
use maud::{Markup, html};

use super::{MoneyReport, ROWS};
use crate::operate::pages::frame::records;
use crate::operate::pages::write::{ago, count, counted, name, sentence};
use crate::operate::records::KeyRecord;

/// Both sections, or one sentence where nothing is free.
pub(super) fn sections(report: &MoneyReport, allowances: &[String], now: UnixTime) -> Markup {
    if allowances.is_empty() && report.free.is_empty() && report.keys.is_empty() {
        return html! {};
    }
    html! {
        section aria-labelledby="free" {
            h2 #free { "Served free of charge" }
            p.quiet { "Free requests earn nothing, and are in no sum of money." }
            @if !allowances.is_empty() {
                ul.plain { @for allowance in allowances { li { (sentence(allowance)) } } }
            }
            (uses(report))
        }
        @if !report.keys.is_empty() {
            section aria-labelledby="keys" { h2 #keys { "Keys of customers" } (keys(&report.keys, now)) }
        }
    }
}

/// The free requests of the period, by route and by what allowed them.
fn uses(report: &MoneyReport) -> Markup {
    // Served, and all.
    let mut routes: BTreeMap<(&str, &str), [u64; 2]> = BTreeMap::new();
    for total in &report.free {
        let sums = routes.entry((&total.endpoint, &total.kind)).or_default();
        sums[1] = sums[1].saturating_add(total.requests);
        if total.outcome == "served" {
            sums[0] = sums[0].saturating_add(total.requests);
        }
    }
    if routes.is_empty() {
        return html! { p.empty { "Nothing was served free of charge in this time." } };
    }
    let columns = [("Route", "head"), ("By", ""), ("Answered", "number"), ("Not answered", "number")];
    let rows = routes.iter().map(|((endpoint, kind), [served, all])| {
        [
            html! { (name(endpoint)) },
            html! { (name(kind)) },
            html! { (count(*served)) },
            html! { (count(all.saturating_sub(*served))) },
        ]
    });
    records("Free requests by route", &columns, rows)
}

fn keys(keys: &[KeyRecord], now: UnixTime) -> Markup {
    let columns = [
        ("Name", "head"),
        ("Key", ""),
        ("State", ""),
        ("Quota", ""),
        ("Left", "number"),
        ("Answered", "number"),
        ("Last used", ""),
    ];
    let rows = keys.iter().take(ROWS as usize).map(|key| {
        [
            html! { (name(&key.name)) },
            html! { code { (name(&key.shown)) "…" } },
            html! { (name(&key.state)) },
            html! { (key.quota.as_deref().map_or_else(|| "none".to_owned(), name)) },
            html! { (key.left.map_or_else(|| "-".to_owned(), count)) },
            html! { (count(key.served)) },
            html! { @match &key.last_used_at { Some(at) => (ago(at, now)), None => "never" } },
        ]
    });
    let all = counted(u64::try_from(keys.len()).unwrap_or(u64::MAX), "key", "keys");
    html! {
        p.quiet { (all) ", the newest first. " code { "coinslot keys" } " makes and revokes them." }
        (records("Keys of customers", &columns, rows))
    }
}
