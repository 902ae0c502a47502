//! Shows the funnel from the price to the payment in the chosen time, and the reasons why requests did not come to its end.

use std::collections::BTreeMap;

use maud::{Markup, html};

use crate::operate::pages::chart;
use crate::operate::pages::frame::{records, table};
use crate::operate::pages::now::{OUTCOMES, part};
use crate::operate::pages::write::{count, name};
use crate::operate::records::{FunnelRecord, FunnelReport};

/// The states of payments other than a plain `paid`, and the meaning of each.
const TROUBLES: [(&str, &str); 5] = [
    ("failed", "The plugin failed, and the payment was given back"),
    ("refused", "The settlement was refused"),
    ("unknown", "The end of the settlement was not known at first"),
    ("owed", "Paid, and the answer was owed at first"),
    ("refunded", "Owed, and paid back"),
];

/// The most routes and reasons that are listed.
const ROWS: usize = 20;

/// The numbers of one route or of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Steps {
    told: u64,
    claimed: u64,
    paid: u64,
}

impl Steps {
    fn add(&mut self, record: &FunnelRecord) {
        let step = match (&*record.subject, &*record.outcome) {
            ("request", "challenged") => &mut self.told,
            ("payment", "claimed") => &mut self.claimed,
            ("payment", "paid") => &mut self.paid,
            _ => return,
        };
        *step = step.saturating_add(record.number);
    }

    /// The number that the others are parts of: it may be that of claims, because a client that knows the price need not
    /// ask for it.
    fn first(self) -> u64 {
        self.told.max(self.claimed)
    }
}

/// The section. `since`: the first day of the chosen time; none for all time.
pub(super) fn section(report: &FunnelReport, since: Option<&str>) -> Markup {
    let of_kind = |testnet: bool| -> Vec<&FunnelRecord> {
        report.totals.iter().filter(|record| record.testnet == testnet).collect()
    };
    let (real, test) = (of_kind(false), of_kind(true));
    // Shown where the counts begin later than the chosen time.
    let counted_since = report.counted_since.as_deref().filter(|day| since.is_none_or(|since| *since < **day));
    html! {
        section aria-labelledby="funnel" {
            h2 #funnel { "From the price to the payment" }
            @if real.is_empty() && test.is_empty() {
                p.empty { "Nobody was told a price in this time." }
            }
            @if !real.is_empty() { (kind(&real, "")) }
            @if !test.is_empty() {
                h3 { "Test networks" }
                (kind(&test, "test-"))
            }
            p.quiet {
                @if let Some(day) = counted_since { "Counted since " (name(day)) ". " }
                "A client that is told the price twice counts twice. Requests of a route that takes both kinds of money "
                "count as those for real money. " a href="/failed" { "The failed calls" } " are listed."
            }
        }
    }
}

/// The numbers of one kind of money. `prefix` begins the ids of its headings.
fn kind(totals: &[&FunnelRecord], prefix: &str) -> Markup {
    let (mut all, mut routes) = (Steps::default(), BTreeMap::<(&str, &str), Steps>::new());
    for record in totals {
        all.add(record);
        routes.entry((&record.endpoint, &record.plugin)).or_default().add(record);
    }
    let label = if prefix.is_empty() { "" } else { ", test networks" };
    html! {
        (steps(all, label))
        (by_route(routes, label))
        (why_not(totals, prefix, label))
    }
}

fn steps(all: Steps, label: &str) -> Markup {
    let named = [("Told the price", all.told), ("Sent a payment that was claimed", all.claimed), ("Paid", all.paid)];
    let columns = [("Step", "head"), ("Number", "number"), ("Of the first", "number"), ("Share", "meter")];
    let rows = named.map(|(step, number)| {
        let share = part(number, all.first());
        [
            html! { (step) },
            html! { span data-step=(step) { (count(number)) } },
            html! { (format!("{:.0} %", share * 100.0)) },
            chart::share(share),
        ]
    });
    records(&format!("From the price to the payment{label}"), &columns, rows)
}

/// The steps of each route, the most paid first.
fn by_route(routes: BTreeMap<(&str, &str), Steps>, label: &str) -> Markup {
    let mut routes: Vec<_> = routes.into_iter().filter(|(_, steps)| steps.first() > 0).collect();
    routes.sort_by_key(|(route, steps)| (std::cmp::Reverse((steps.paid, steps.told)), *route));
    let columns = [
        ("Route", "head"),
        ("Told the price", "number"),
        ("Claimed", "number"),
        ("Paid", "number"),
        ("Paid of the first", "number"),
    ];
    let left_out = routes.len().saturating_sub(ROWS);
    let rows = routes.into_iter().take(ROWS).map(|((endpoint, plugin), steps)| {
        [
            html! { (name(endpoint)) " " span.quiet { (name(plugin)) } },
            html! { (count(steps.told)) },
            html! { (count(steps.claimed)) },
            html! { (count(steps.paid)) },
            html! { (format!("{:.0} %", part(steps.paid, steps.first()) * 100.0)) },
        ]
    });
    html! {
        (records(&format!("From the price to the payment by route{label}"), &columns, rows))
        @if left_out > 0 {
            p.quiet { "And " (left_out) " routes more, which " code { "/api/v1/funnel" } " has." }
        }
    }
}

/// The reasons for which requests and payments were not served.
fn why_not(totals: &[&FunnelRecord], prefix: &str, label: &str) -> Markup {
    let mut requests: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    let mut payments: BTreeMap<&str, u64> = BTreeMap::new();
    for record in totals {
        let number = match (&*record.subject, &*record.outcome) {
            ("request", "challenged") => continue,
            ("request", outcome) => requests.entry((record.code.as_deref().unwrap_or_default(), outcome)).or_default(),
            (_, state) => payments.entry(state).or_default(),
        };
        *number = number.saturating_add(record.number);
    }
    let troubles = TROUBLES.into_iter().filter_map(|(state, meaning)| Some((meaning, *payments.get(state)?)));
    let mut troubles: Vec<(&str, u64)> = troubles.collect();
    troubles.sort_by_key(|(_, number)| std::cmp::Reverse(*number));
    let mut requests: Vec<_> = requests.into_iter().collect();
    requests.sort_by_key(|(why, number)| (std::cmp::Reverse(*number), *why));
    requests.truncate(ROWS);
    if troubles.is_empty() && requests.is_empty() {
        return html! {};
    }
    html! {
        h3 id={ (prefix) "why-not" } { "Why not" }
        div.columns {
            @if !requests.is_empty() { (by_reason(&requests, label)) }
            @if !troubles.is_empty() {
                (table(
                    &format!("Payments that did not end plainly{label}"),
                    &[("Payments", ""), ("Number", "number")],
                    html! {
                        @for (meaning, number) in &troubles {
                            tr { th scope="row" { (meaning) } td.number { (count(*number)) } }
                        }
                    },
                ))
            }
        }
    }
}

/// Requests by the code of their error and by what became of them.
fn by_reason(requests: &[((&str, &str), u64)], label: &str) -> Markup {
    let meaning = |outcome: &str| {
        let known = OUTCOMES.into_iter().find(|(known, _)| *known == outcome);
        known.map_or_else(|| name(outcome), |(_, meaning)| meaning.to_owned())
    };
    let rows = html! {
        @for ((code, outcome), number) in requests {
            tr {
                th.text scope="row" {
                    @if code.is_empty() { "An answer of the plugin" } @else { code.whole { (name(code)) } }
                    br; span.quiet { (meaning(outcome)) }
                }
                td.number data-reason=(name(code)) { (count(*number)) }
            }
        }
    };
    table(
        &format!("Requests that were not served{label}"),
        &[("Requests, by the code of their error", ""), ("Number", "number")],
        rows,
    )
}
