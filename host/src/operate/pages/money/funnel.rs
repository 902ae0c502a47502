//! Shows the funnel from the price to the payment in the chosen time, and the reasons why requests did not come to its end.

use std::collections::BTreeMap;

use maud::{Markup, html};

use crate::operate::pages::chart;
use crate::operate::pages::frame::records;
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
            @if !real.is_empty() { (kind(&real, false, false)) }
            @if !test.is_empty() {
                h3 { "Test networks" }
                (kind(&test, true, !real.is_empty()))
            }
            p.quiet {
                @if let Some(day) = counted_since { "Counted since " (name(day)) ". " }
                "A client that is told the price twice counts twice. Requests of a route that takes both kinds of money "
                "count as those for real money. " a href="/failed" { "The failed calls" } " are listed."
            }
        }
    }
}

/// The numbers of one kind of money. `second`: those of the other stand above.
fn kind(totals: &[&FunnelRecord], testnet: bool, second: bool) -> Markup {
    let (mut all, mut routes) = (Steps::default(), BTreeMap::<(&str, &str), Steps>::new());
    for record in totals {
        all.add(record);
        routes.entry((&record.endpoint, &record.plugin)).or_default().add(record);
    }
    let label = if testnet { ", test networks" } else { "" };
    html! {
        (steps(all, label))
        (by_route(routes, label))
        (why_not(totals, second, label))
    }
}

fn steps(all: Steps, label: &str) -> Markup {
    let named = [("Told the price", all.told), ("Sent a payment that was claimed", all.claimed), ("Paid", all.paid)];
    let columns = [("Step", "head"), ("Number", "number brief"), ("Of the first", "number brief"), ("Share", "meter")];
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
    let columns = [("Route", "head"), ("Told the price", "number"), ("Claimed", "number"), ("Paid", "number")];
    let left_out = routes.len().saturating_sub(ROWS);
    let rows = routes.into_iter().take(ROWS).map(|((endpoint, plugin), steps)| {
        [
            html! { (name(endpoint)) " " span.quiet { (name(plugin)) } },
            html! { (count(steps.told)) },
            html! { (count(steps.claimed)) },
            html! { (count(steps.paid)) " " span.quiet { (format!("{:.0} %", part(steps.paid, steps.first()) * 100.0)) } },
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
fn why_not(totals: &[&FunnelRecord], second: bool, label: &str) -> Markup {
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
        h3 id=[(!second).then_some("why-not")] { "Why not" }
        div.columns {
            @if !requests.is_empty() { (by_reason(&requests, label)) }
            @if !troubles.is_empty() {
                @let rows = troubles.iter().map(|(meaning, number)| [html! { (meaning) }, html! { (count(*number)) }]);
                @let columns = [("Payments", "head"), ("Number", "number brief")];
                (records(&format!("Payments that did not end plainly{label}"), &columns, rows))
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
    let rows = requests.iter().map(|((code, outcome), number)| {
        let head = html! {
            @if code.is_empty() { "An answer of the plugin" } @else { code.whole { (name(code)) } }
            br; span.quiet { (meaning(outcome)) }
        };
        [head, html! { span data-reason=(name(code)) { (count(*number)) } }]
    });
    let columns = [("Requests, by the code of their error", "head"), ("Number", "number brief")];
    records(&format!("Requests that were not served{label}"), &columns, rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn total(testnet: bool, subject: &str, outcome: &str, number: u64) -> FunnelRecord {
        FunnelRecord {
            testnet,
            plugin: "status".to_owned(),
            endpoint: "POST /status".to_owned(),
            subject: subject.to_owned(),
            outcome: outcome.to_owned(),
            code: (outcome == "refused" && subject == "request").then(|| "busy".to_owned()),
            number,
        }
    }

    #[test]
    fn real_money_and_test_money_are_never_added() {
        let report = FunnelReport {
            counted_since: Some("2026-01-03".to_owned()),
            totals: vec![
                total(false, "request", "challenged", 8),
                total(false, "payment", "claimed", 4),
                total(false, "payment", "paid", 2),
                total(false, "payment", "refused", 2),
                total(true, "request", "challenged", 1_000),
                total(true, "request", "refused", 7),
                total(true, "payment", "claimed", 1_001),
            ],
        };
        let shown = section(&report, None).into_string();
        let (real, test) = shown.split_once("<h3>Test networks</h3>").expect("both");
        for part in [">8<", ">4<", ">2<", "50 %", "25 %", "The settlement was refused"] {
            assert!(real.contains(part), "{part} is missing:\n{real}");
        }
        for part in [">1,000<", ">1,001<", ">7<", "busy", "Refused before anything was paid"] {
            assert!(test.contains(part) && !real.contains(part), "{part}:\n{shown}");
        }
        assert!(shown.contains("Counted since 2026-01-03"));
        assert!(section(&report, Some("2026-01-02")).into_string().contains("Counted since"));
        assert!(!section(&report, Some("2026-01-03")).into_string().contains("Counted since"));
        assert_eq!(shown.matches("id=\"why-not\"").count(), 1, "one place for the links that lead here");
        let none = section(&FunnelReport::default(), None).into_string();
        assert!(none.contains("Nobody was told a price"), "{none}");
        let test = FunnelReport { totals: vec![total(true, "request", "refused", 1)], ..FunnelReport::default() };
        assert!(section(&test, None).into_string().contains("id=\"why-not\""));
    }
}
