//! `/`: what the host does now, and what it did in the last hour.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use maud::{Markup, html};

use super::frame::{Frame, PageError, records, table};
use super::write::{ago, count, counted, duration, rate, span};
use super::{alerts, chart};
use crate::operate::access::Visitor;
use crate::operate::admin::HostView;
use crate::operate::samples::{CounterSample, Counters, KEPT_FOR};

/// The points of a chart: one for each minute.
const POINTS: u32 = 60;

/// A name, a description, the counter of a chart, and the page that lists what it counts.
type Series = (&'static str, &'static str, fn(&Counters) -> u64, Option<&'static str>);

/// The series of the page: their titles, what they mean, and their counters.
const SERIES: [Series; 5] = [
    ("Requests", "All requests", Counters::all_requests, None),
    ("Challenges", "Requests that were told the price", |counters| counters.ended(&["challenged"]), None),
    ("Payments", "Payments whose money moved", |counters| counters.payments("paid"), Some("/payments")),
    (
        "Refusals",
        "Requests refused before anything was paid",
        |counters| counters.ended(&["refused"]),
        Some("/money#why-not"),
    ),
    (
        "Errors",
        "Requests that failed after work began",
        |counters| counters.ended(&["failed", "owed", "unknown", "broken_off"]),
        Some("/failed"),
    ),
];

/// The outcomes of requests, and what each one means.
pub(super) const OUTCOMES: [(&str, &str); 11] = [
    ("paid", "Paid and answered"),
    ("paid_before", "Answered again for an earlier payment"),
    ("free", "Answered without a payment"),
    ("challenged", "Told the price"),
    ("refused", "Refused before anything was paid"),
    ("failed", "The plugin failed; nothing was charged"),
    ("owed", "Paid, and the answer is owed"),
    ("unknown", "It is not known whether the payment was charged"),
    ("broken_off", "The plugin failed in the middle of its answer"),
    ("hung_up", "The client left before it had the whole answer"),
    ("host", "Answered by the host itself"),
];

pub(super) async fn page(State(host): State<Arc<HostView>>, visitor: Visitor) -> Result<Markup, PageError> {
    let frame = Frame::of(&host, visitor).await;
    // Both say the same: what the ledger has is counted first, as for Prometheus.
    drop(host.metrics.count_payments(&**host.payments.ledger()).await);
    let samples = host.samples.until_now(Counters::of(&host.metrics.registry().gather()));
    let hour = Hour::of(&samples);
    let live = html! {
        section aria-labelledby="trouble" {
            h2 #trouble { "Health" }
            (alerts::list(&frame.status.alerts))
            (facts(&frame))
        }
        section aria-labelledby="rates" {
            h2 #rates { "The last hour, per second" }
            div.panels { @for series in SERIES { (hour.panel(series)) } }
            (hour.as_table())
        }
        section aria-labelledby="times" {
            h2 #times { "Where the time goes" }
            (stages(&hour))
        }
        section aria-labelledby="outcomes" {
            h2 #outcomes { "Since the start" }
            (outcomes(hour.last))
        }
    };
    Ok(frame.page("/", "Now", html! {}, live))
}

fn facts(frame: &Frame) -> Markup {
    let status = &frame.status;
    let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    html! {
        dl.facts {
            div { dt { "Plugins" } dd { (counted(number(status.plugins.active), "active", "active")) } }
            div { dt { "Endpoints" } dd { (count(number(status.plugins.endpoints))) } }
            @if status.plugins.loading > 0 {
                div { dt { "Being compiled" } dd { (count(number(status.plugins.loading))) } }
            }
            div { dt { "Payments at work" } dd { (count(number(status.at_work))) } }
            div { dt { "Started" } dd { (ago(&status.started_at, frame.now)) } }
        }
    }
}

/// The samples of the last hour, cut into minutes.
struct Hour<'s> {
    /// For each minute, the oldest first: the counters at its begin and its end, and the seconds between them.
    minutes: Vec<Option<(&'s Counters, &'s Counters, f64)>>,
    first: &'s Counters,
    last: &'s Counters,
    /// The time that the samples reach back.
    reaches: Duration,
}

impl<'s> Hour<'s> {
    fn of(samples: &'s [CounterSample]) -> Self {
        let [first, .., last] = samples else {
            let only = samples.first().map_or(&*EMPTY, |sample| &*sample.counters);
            return Self { minutes: vec![None; POINTS as usize], first: only, last: only, reaches: Duration::ZERO };
        };
        let before = |time: Duration| last.at.checked_sub(time);
        let step = KEPT_FOR / POINTS;
        let minutes = (0..POINTS).rev().map(|index| {
            let (begin, end) = (before(step * (index + 1)), before(step * index)?);
            let end = latest(samples, end)?;
            let begin = begin.and_then(|begin| latest(samples, begin)).unwrap_or(first);
            let seconds = end.at.saturating_duration_since(begin.at).as_secs_f64();
            (seconds > 0.0).then_some((&*begin.counters, &*end.counters, seconds))
        });
        let begin = before(KEPT_FOR).and_then(|begin| latest(samples, begin)).unwrap_or(first);
        Self {
            minutes: minutes.collect(),
            first: &begin.counters,
            last: &last.counters,
            reaches: last.at.saturating_duration_since(begin.at),
        }
    }

    fn panel(&self, (title, meaning, of, page): Series) -> Markup {
        let points: Vec<Option<f64>> =
            self.minutes.iter().map(|minute| minute.map(|one| per_second(one, of))).collect();
        let top = chart::top(points.iter().copied().flatten());
        let (now, total) = (points.last().copied().flatten().unwrap_or_default(), of(self.last) - of(self.first));
        html! {
            article.panel {
                h3 { @if let Some(page) = page { a href=(page) { (title) } } @else { (title) } }
                p.figure { b { (rate(now)) } " " abbr title="per second" { "/s" } }
                p.quiet { (meaning) }
                div.plot {
                    (chart::area(&format!("{title} per second over the last hour"), &points, top))
                    span.scale aria-hidden="true" { (rate(top)) }
                }
                div.axis aria-hidden="true" {
                    span { "1 h ago" }
                    span { (count(total)) " in " (self.reach()) }
                    span { "now" }
                }
            }
        }
    }

    fn reach(&self) -> String {
        if self.reaches + Duration::from_secs(60) >= KEPT_FOR { "1 h".to_owned() } else { span(self.reaches) }
    }

    /// The charts as a table, in steps of five minutes.
    fn as_table(&self) -> Markup {
        let steps = self.minutes.chunks(5).enumerate().rev();
        let columns: Vec<(&str, &str)> =
            [("Minutes ago", "")].into_iter().chain(SERIES.iter().map(|(title, ..)| (*title, "number"))).collect();
        let rows = html! {
            @for (index, minutes) in steps {
                @let ends: Vec<_> = minutes.iter().flatten().collect();
                tr {
                    th scope="row" { (60 - 5 * (index + 1)) " to " (60 - 5 * index) }
                    @for (_, _, of, _) in SERIES {
                        td.number {
                            @match (ends.first(), ends.last()) {
                                (Some((begin, ..)), Some((_, end, _))) => (count(of(end) - of(begin))),
                                _ => span.quiet { "not running" },
                            }
                        }
                    }
                }
            }
        };
        html! {
            details #rates-table {
                summary { "The charts as a table" }
                (table("Requests in steps of five minutes", &columns, rows))
            }
        }
    }
}

static EMPTY: std::sync::LazyLock<Counters> = std::sync::LazyLock::new(Counters::default);

/// The last sample at or before this time.
fn latest(samples: &[CounterSample], time: Instant) -> Option<&CounterSample> {
    samples[..samples.partition_point(|sample| sample.at <= time)].last()
}

fn per_second((begin, end, seconds): (&Counters, &Counters, f64), of: fn(&Counters) -> u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "no minute has 2^52 requests")]
    let events = of(end).saturating_sub(of(begin)) as f64;
    events / seconds
}

fn stages(hour: &Hour<'_>) -> Markup {
    let of = |stage: &str| {
        let durations = hour.last.stages.get(stage)?.since(hour.first.stages.get(stage));
        Some((durations.count, durations.quantile(0.5)?, durations.quantile(0.99)?))
    };
    let known = [
        ("quote", "Quote", "The plugin names its price"),
        ("verify", "Verify", "The facilitator checks the payment"),
        ("wait", "Wait", "The request waits for an instance of the plugin"),
        ("run", "Run", "The plugin works"),
        ("settle", "Settle", "The money moves on the chain"),
    ];
    let rows: Vec<_> = known.into_iter().map(|(stage, title, meaning)| (title, meaning, of(stage))).collect();
    let longest = rows.iter().filter_map(|(_, _, found)| found.map(|(_, _, rare)| rare)).fold(0.0, f64::max);
    let columns = [
        ("Stage", "head"),
        ("Times", "number"),
        ("p50", "number"),
        ("p99", "number"),
        ("p50 and p99 to scale", "meter"),
    ];
    let none = || html! { span.quiet { "none" } };
    let rows = rows.iter().filter(|(title, _, found)| found.is_some() || *title != "Quote");
    let rows = rows.map(|(title, meaning, found)| {
        let head = html! { (title) br; span.quiet { (meaning) } };
        match found {
            Some((times, usual, rare)) => [
                head,
                html! { (count(*times)) },
                html! { (duration(*usual)) },
                html! { (duration(*rare)) },
                chart::range(*usual, *rare, longest),
            ],
            None => [head, html! { "0" }, none(), none(), html! {}],
        }
    });
    html! {
        (records("Durations of the stages of requests in the last hour", &columns, rows))
        p.quiet { "In the last hour, estimated from the histogram that Prometheus reads." }
    }
}

fn outcomes(counters: &Counters) -> Markup {
    let all = counters.all_requests();
    let known = OUTCOMES.into_iter().map(|(outcome, meaning)| (outcome, meaning, counters.ended(&[outcome])));
    let rows = known.filter(|(.., number)| *number > 0).map(|(outcome, meaning, number)| {
        let number = html! { span data-outcome=(outcome) { (count(number)) } };
        (meaning, number, chart::share(part(counters.ended(&[outcome]), all)))
    });
    let sum = ("All requests", html! { span data-outcome="all" { (count(all)) } }, html! {});
    let rows = rows.chain([sum]).map(|(meaning, number, share)| [html! { (meaning) }, number, share]);
    let columns = [("Outcome", "head"), ("Requests", "number brief"), ("Share", "meter")];
    html! {
        @if all == 0 {
            p.empty { "No request has come yet. Counters begin anew with the host; the ledger goes on." }
        } @else {
            (records("Requests by outcome", &columns, rows))
        }
        p.quiet {
            "Payments since the start: "
            @for (index, of) in ["paid", "owed", "unknown", "refused", "failed"].into_iter().enumerate() {
                @if index > 0 { ", " }
                span data-payments=(of) { (count(counters.payments(of))) } " " (of)
            }
            "."
        }
    }
}

/// A part of a whole.
#[expect(clippy::cast_precision_loss, reason = "no counter comes near 2^52")]
pub(super) fn part(number: u64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { number as f64 / of as f64 }
}
