//! `/money`: what was earned, what became of the requests that could have earned, and what is not settled.

mod free;
mod funnel;
mod gas;
mod refunds;
pub(super) mod unsettled;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use coinslot_ledger::DAY;
use maud::{Markup, html};
use serde::Deserialize;

use super::chart;
use super::frame::{Frame, PageError, records, table};
use super::payments::network;
use super::write::{count, counted, money, name};
use crate::allowance::Allowance;
use crate::operate::access::Visitor;
use crate::operate::admin::HostView;
use crate::operate::api::ApiError;
use crate::operate::api::chain::chain;
use crate::operate::api::free::{FreeTotalQuery, keys, totals};
use crate::operate::api::funnel::{FunnelQuery, funnel};
use crate::operate::api::page::Page;
use crate::operate::api::payments::{
    FailedQuery, PartQuery, PaymentQuery, Query, RevenueQuery, failed, owed, payments, revenue,
};
use crate::operate::api::refunds::refunds;
use crate::operate::records::{
    EarningsRecord, FailureRecord, FreeTotalRecord, FunnelReport, KeyRecord, OwedRecord, PaymentRecord, RefundsReport,
};
use crate::operate::time;

/// The periods that can be asked for: whole days in UTC, today included. None: all time.
const PERIODS: [(&str, &str, Option<u64>); 4] =
    [("7d", "7 days", Some(7)), ("30d", "30 days", Some(30)), ("90d", "90 days", Some(90)), ("all", "All time", None)];

/// The time for which a report is shown again, and how many times as long as it took to make: reports walk over all
/// payments of the ledger, and pages are fetched every few seconds.
const FRESH_FOR: Duration = Duration::from_secs(5);
const TIMES_ITS_COST: u32 = 20;

/// The rows of the tables of single payments.
const ROWS: u32 = 20;

/// The number of days in the charts of all time: the last ones.
const DAYS: u64 = 90;

#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Period {
    #[serde(default)]
    period: String,
}

/// The last report of each period.
#[derive(Debug, Default)]
pub(in crate::operate) struct MoneyCache([tokio::sync::Mutex<Option<Kept>>; PERIODS.len()]);

#[derive(Debug)]
struct Kept {
    report: Arc<MoneyReport>,
    until: Instant,
}

/// Everything of the page that is read from the ledger.
#[derive(Debug)]
struct MoneyReport {
    by_asset: Vec<EarningsRecord>,
    by_day: Vec<EarningsRecord>,
    by_endpoint: Vec<EarningsRecord>,
    by_plugin: Vec<EarningsRecord>,
    owed: Page<OwedRecord>,
    unknown: Vec<PaymentRecord>,
    refused: Vec<PaymentRecord>,
    failed: Page<FailureRecord>,
    free: Vec<FreeTotalRecord>,
    keys: Vec<KeyRecord>,
    refunds: RefundsReport,
    funnel: FunnelReport,
    /// The day on which it was made, in days since 1970.
    today: u64,
    /// The number of days in the charts.
    chart_days: u64,
    /// The first day of the period. None: all time.
    since: Option<String>,
}

pub(super) async fn page(
    State(host): State<Arc<HostView>>,
    visitor: Visitor,
    Query(asked): Query<Period>,
) -> Result<Markup, PageError> {
    let period = PERIODS.iter().position(|(key, ..)| *key == asked.period).unwrap_or(1);
    let report = report(&host, period).await?;
    let frame = Frame::of(&host, visitor).await;
    let allowances: Vec<String> = host.payments.allowances().policy().allowances.iter().map(described).collect();
    let kinds = [
        ("revenue", "Revenue", ""),
        ("self", "Paid by its own receiver", "Money that moved from an address to itself is no revenue."),
        ("testnet", "Test networks", "Money on test networks is worth nothing, and never revenue."),
    ];
    let fixed = html! {
        nav.tabs aria-label="Period" {
            @for (index, (key, label, _)) in PERIODS.into_iter().enumerate() {
                a href={ "/money?period=" (key) } aria-current=[(index == period).then_some("true")] { (label) }
            }
        }
    };
    let live = html! {
        @for (kind, title, note) in kinds { (earned(&report, kind, title, note)) }
        (funnel::section(&report.funnel, report.since.as_deref()))
        (gas::section(
            &chain(State(Arc::clone(&host))).await.0,
            &report.refunds.gas,
            &report.by_asset,
            report.since.as_deref(),
        ))
        (unsettled::sections(&report, frame.now))
        (refunds::section(&report.refunds, frame.now))
        (free::sections(&report, &allowances, frame.now))
    };
    Ok(frame.page("/money", "Money", fixed, live))
}

/// An allowance with the plugin and the route that it is for.
fn described(rule: &Allowance) -> String {
    let scope = [rule.plugin.as_deref(), rule.route.as_deref()];
    let scope = scope.into_iter().flatten().collect::<Vec<_>>().join(", ");
    format!("{}: {rule}", if scope.is_empty() { "every paid route" } else { &*scope })
}

/// The report of a period: the last one if it is fresh. Those who ask meanwhile wait for the same report.
async fn report(host: &Arc<HostView>, period: usize) -> Result<Arc<MoneyReport>, ApiError> {
    let mut kept = host.money.0[period].lock().await;
    let begun = Instant::now();
    if let Some(Kept { report, until }) = &*kept
        && *until > begun
    {
        return Ok(Arc::clone(report));
    }
    let report = Arc::new(MoneyReport::read(host, PERIODS[period].2).await?);
    let until = Instant::now() + FRESH_FOR.max(begun.elapsed() * TIMES_ITS_COST);
    *kept = Some(Kept { report: Arc::clone(&report), until });
    Ok(report)
}

impl MoneyReport {
    /// Reads the reports of so many days up to today, or of all time.
    async fn read(host: &Arc<HostView>, days: Option<u64>) -> Result<Self, ApiError> {
        let today = time::now().0 / DAY;
        let since = days.map(|days| time::day((today + 1).saturating_sub(days)));
        let earned = async |by: &str, since: Option<String>| {
            let query = RevenueQuery { by: Some(by.to_owned()), since, until: None };
            Ok::<_, ApiError>(revenue(State(Arc::clone(host)), Query(query)).await?.0)
        };
        let in_state = async |state: &str| {
            let query = PaymentQuery { state: Some(state.to_owned()), limit: Some(ROWS), ..PaymentQuery::default() };
            Ok::<_, ApiError>(payments(State(Arc::clone(host)), Query(query)).await?.records)
        };
        Ok(Self {
            by_asset: earned("asset", since.clone()).await?,
            by_day: earned("day", since.clone()).await?,
            by_endpoint: earned("endpoint", since.clone()).await?,
            by_plugin: earned("plugin", since.clone()).await?,
            free: totals(State(Arc::clone(host)), Query(FreeTotalQuery { since: since.clone() })).await?.0,
            funnel: funnel(State(Arc::clone(host)), Query(FunnelQuery { since: since.clone() })).await?.0,
            keys: keys(State(Arc::clone(host))).await?.0,
            owed: owed(State(Arc::clone(host)), Query(PartQuery { limit: Some(ROWS), after: None })).await?,
            unknown: in_state("unknown").await?,
            refused: in_state("refused").await?,
            refunds: refunds(State(Arc::clone(host))).await?.0,
            failed: failed(State(Arc::clone(host)), Query(FailedQuery { limit: Some(ROWS), ..FailedQuery::default() }))
                .await?,
            today,
            chart_days: days.unwrap_or(DAYS),
            since,
        })
    }
}

/// The earnings of one kind, in each asset.
fn earned(report: &MoneyReport, kind: &str, title: &str, note: &str) -> Markup {
    let of_kind = |records: &'_ [EarningsRecord]| -> Vec<EarningsRecord> {
        records.iter().filter(|record| record.kind == kind).cloned().collect()
    };
    let assets = of_kind(&report.by_asset);
    if assets.is_empty() && kind != "revenue" {
        return html! {};
    }
    html! {
        section aria-labelledby=(kind) {
            h2 id=(kind) { (title) }
            @if !note.is_empty() { p.quiet { (note) } }
            @if assets.is_empty() { p.empty { "Nothing was earned in this time." } }
            div.panels.large {
                @for asset in &assets { (panel(asset, &of_kind(&report.by_day), report)) }
            }
            @if !assets.is_empty() {
                div.columns {
                    (groups("By route", "Route", of_kind(&report.by_endpoint)))
                    (groups("By plugin", "Plugin", of_kind(&report.by_plugin)))
                }
            }
        }
    }
}

/// The sum in one asset, and its days.
fn panel(asset: &EarningsRecord, by_day: &[EarningsRecord], report: &MoneyReport) -> Markup {
    let (today, number) = (report.today, report.chart_days);
    let of_it = |day: &&EarningsRecord| day.network == asset.network && day.asset == asset.asset;
    let days: Vec<&EarningsRecord> = by_day.iter().filter(of_it).collect();
    let unit = asset.symbol.as_deref().unwrap_or("atomic units");
    let value = |record: &EarningsRecord| -> f64 {
        record.amount.as_deref().unwrap_or(&record.atomic_amount).parse().unwrap_or_default()
    };
    let bars: Vec<(String, f64)> = (0..number)
        .rev()
        .map(|ago| {
            let day = time::day(today.saturating_sub(ago));
            let found = days.iter().find(|record| record.key == day);
            let amount = found.map_or("0", |record| record.amount.as_deref().unwrap_or(&record.atomic_amount));
            (format!("{day}: {} {}", name(amount), name(unit)), found.map_or(0.0, |record| value(record)))
        })
        .collect();
    let top = chart::top(bars.iter().map(|(_, value)| *value));
    let label = format!("{} on {} by day, the last {number} days", name(unit), name(&asset.network));
    html! {
        article.panel {
            h3 { (name(unit)) " on " (network(&asset.network, asset.kind == "testnet")) }
            p.figure {
                b { (money(asset.amount.as_deref(), asset.symbol.as_deref(), &asset.atomic_amount)) }
                " by " (counted(asset.payments, "payment", "payments"))
                @if asset.refunds > 0 {
                    ", of which "
                    (money(asset.refunded.as_deref(), asset.symbol.as_deref(), &asset.atomic_refunded))
                    " went back by " (counted(asset.refunds, "refund", "refunds"))
                }
            }
            div.plot { (chart::bars(&label, &bars, top)) span.scale aria-hidden="true" { (top) } }
            div.axis aria-hidden="true" {
                span { (name(&time::day((today + 1).saturating_sub(number)))) }
                span { "today" }
            }
            details id={ "days-" (name(&asset.network)) "-" (name(&asset.asset)) } {
                summary { "By day as a table" }
                (table(&label, &[("Day", ""), ("Payments", "number"), ("Amount", "number")], html! {
                    @for day in days.iter().rev() {
                        tr {
                            th scope="row" { (name(&day.key)) }
                            td.number { (count(day.payments)) }
                            td.number { (money(day.amount.as_deref(), day.symbol.as_deref(), &day.atomic_amount)) }
                        }
                    }
                }))
            }
        }
    }
}

/// Sums by group. Amounts of different assets are never added.
fn groups(title: &str, column: &str, mut groups: Vec<EarningsRecord>) -> Markup {
    groups.sort_by_key(|record| std::cmp::Reverse(record.payments));
    let columns = [(column, "head"), ("Payments", "number"), ("Amount", "number"), ("Network", "")];
    let rows = groups.iter().map(|record| {
        [
            html! { (name(&record.key)) },
            html! { (count(record.payments)) },
            money(record.amount.as_deref(), record.symbol.as_deref(), &record.atomic_amount),
            network(&record.network, record.kind == "testnet"),
        ]
    });
    html! { div { h3 { (title) } (records(title, &columns, rows)) } }
}
