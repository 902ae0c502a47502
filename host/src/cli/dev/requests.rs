//! Prints a line for each request: the route, the price and who paid it, how it ended, and where its time went.
//!
//! The host hands each report over without a wait. The lines that nobody reads in time are counted, and not printed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use coinslot_base::text::excerpt;
use indicatif::MultiProgress;
use tokio::sync::mpsc;

use crate::cli::print;
use crate::endpoint::Access;
use crate::payment::Stage;
use crate::server::{RequestObserver, RequestOutcome, RequestReport};

/// Lines that wait to be printed.
const WAITING: usize = 1_000;
/// The longest target, and the longest reason, that are shown, in characters.
const TARGET: usize = 80;
const REASON: usize = 300;

/// The lines that are to be printed.
pub(super) struct RequestLines {
    reports: mpsc::Receiver<RequestReport>,
    dropped: Arc<AtomicUsize>,
}

/// Makes the observer of a host, and the lines that it leads to.
pub(super) fn observe() -> (RequestObserver, RequestLines) {
    let (sender, reports) = mpsc::channel(WAITING);
    let dropped = Arc::<AtomicUsize>::default();
    let lines = RequestLines { reports, dropped: Arc::clone(&dropped) };
    let observer = RequestObserver::new(move |report| {
        if sender.try_send(report).is_err() {
            dropped.fetch_add(1, Relaxed);
        }
    });
    (observer, lines)
}

impl RequestLines {
    /// Prints until the host has ended. The spinner of a build stands below what is printed.
    pub(super) async fn follow(mut self, progress: MultiProgress) {
        while let Some(report) = self.reports.recv().await {
            let dropped = self.dropped.swap(0, Relaxed);
            let mut text = line(&report);
            if dropped > 0 {
                text = format!("{text}\n{dropped} requests more, which came faster than they can be shown");
            }
            progress.suspend(|| drop(print::line(text)));
        }
    }
}

/// `200 GET /hello/Ada (/hello/{name})  0.002 USDC from 0x12ab..89ef  paid and answered  plugin 2.1 ms, ..`
fn line(report: &RequestReport) -> String {
    let status = report.status.map_or_else(|| "---".to_owned(), |status| status.to_string());
    let mut text = format!("{status} {} {}", report.method, excerpt(&target(report), TARGET));
    if let Some(endpoint) = &report.endpoint {
        let template = endpoint.path.to_string();
        if report.uri.as_ref().is_none_or(|uri| uri.path() != template) {
            text = format!("{text} ({template})");
        }
    }
    let advice = report.advice.as_ref().map(|advice| format!("warning: {}", excerpt(advice, REASON)));
    for part in [price(report), ending(report), advice.unwrap_or_default(), times(report)] {
        if !part.is_empty() {
            text = format!("{text}  {part}");
        }
    }
    text
}

/// The path and the query, as the client wrote them.
fn target(report: &RequestReport) -> String {
    let Some(uri) = &report.uri else { return String::new() };
    uri.path_and_query().map_or_else(|| uri.path().to_owned(), ToString::to_string)
}

/// `0.002 USDC from 0x12ab..89ef`, or the price if nobody has paid it.
fn price(report: &RequestReport) -> String {
    match (&report.payment, &report.endpoint) {
        (Some(payment), _) => format!("{} from {}", payment.amount, short(&payment.payer)),
        (None, Some(endpoint)) => endpoint.access.to_string(),
        (None, None) => String::new(),
    }
}

/// The beginning and the end of an account's address.
fn short(account: &str) -> String {
    match (account.get(..6), account.len().checked_sub(4).and_then(|from| account.get(from..))) {
        (Some(begin), Some(end)) if account.len() > 12 => format!("{begin}..{end}"),
        _ => account.to_owned(),
    }
}

fn ending(report: &RequestReport) -> String {
    let costs = report.endpoint.as_ref().is_some_and(|endpoint| matches!(endpoint.access, Access::Paid(_)));
    let ending = match report.outcome {
        RequestOutcome::OfHost => "",
        RequestOutcome::Asked => "payment asked",
        RequestOutcome::Free => "answered",
        RequestOutcome::Paid => "paid and answered",
        RequestOutcome::PaidBefore => "paid before, answered again",
        RequestOutcome::Refused if costs => "refused before payment",
        RequestOutcome::Refused => "refused",
        RequestOutcome::Failed if costs => "failed and not charged",
        RequestOutcome::Failed => "failed",
        RequestOutcome::Owed => "paid and not answered: the same payment gets the answer",
        RequestOutcome::Unknown => "not known whether it was charged",
        RequestOutcome::BrokenOff => "broke off",
        RequestOutcome::HungUp => "the client hung up",
    };
    let reason = report.reason.as_ref().map(|reason| excerpt(reason, REASON));
    match (ending, reason) {
        ("", reason) => reason.unwrap_or_default(),
        (ending, Some(reason)) => format!("{ending}: {reason}"),
        (ending, None) => ending.to_owned(),
    }
}

/// `plugin 2.1 ms, chain 5.3 ms, total 9.9 ms`, with the parts that the request had.
fn times(report: &RequestReport) -> String {
    let of = |stages: [Stage; 2]| stages.map(|stage| report.times.of(stage)).iter().sum();
    let (plugin, chain) = (of([Stage::Quote, Stage::Run]), of([Stage::Verify, Stage::Settle]));
    let parts: [(&str, Duration); 3] = [("plugin", plugin), ("chain", chain), ("total", report.total)];
    let had = parts.iter().filter(|(_, time)| !time.is_zero());
    had.map(|(name, time)| format!("{name} {}", shown(*time))).collect::<Vec<_>>().join(", ")
}

fn shown(time: Duration) -> String {
    let milliseconds = time.as_secs_f64() * 1_000.0;
    match time.as_millis() {
        0..10 => format!("{milliseconds:.1} ms"),
        10..1_000 => format!("{milliseconds:.0} ms"),
        _ => format!("{:.1} s", time.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use coinslot_base::request_id::RequestId;
    use http::Method;

    use super::*;
    use crate::payment::{OutgoingCounts, StageTimes, TracedPayment};

    fn report(outcome: RequestOutcome) -> RequestReport {
        RequestReport {
            id: RequestId::of_bits(1),
            code: None,
            outgoing: OutgoingCounts::default(),
            method: Method::GET,
            uri: Some("/hello?name=Ada".parse().expect("a target")),
            endpoint: None,
            status: Some(200),
            outcome,
            reason: None,
            advice: None,
            payment: None,
            free: None,
            times: StageTimes::default(),
            total: Duration::from_micros(420),
        }
    }

    #[test]
    fn a_line_says_what_was_paid_by_whom_and_where_the_time_went() {
        let payer = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8".to_owned();
        let paid = RequestReport {
            payment: Some(TracedPayment { payer, amount: "0.002 USDC".to_owned() }),
            times: [(Stage::Run, 2_140), (Stage::Verify, 3_000), (Stage::Settle, 50_000)].into_iter().fold(
                StageTimes::default(),
                |mut times, (stage, us)| {
                    times.add(stage, Duration::from_micros(us));
                    times
                },
            ),
            total: Duration::from_millis(1_260),
            ..report(RequestOutcome::Paid)
        };
        assert_eq!(
            line(&paid),
            "200 GET /hello?name=Ada  0.002 USDC from 0x7099..79C8  paid and answered  plugin 2.1 ms, chain 53 ms, \
             total 1.3 s"
        );
        let unknown = RequestReport {
            status: Some(404),
            reason: Some("not_found: nothing is served at this path".to_owned()),
            ..report(RequestOutcome::OfHost)
        };
        assert_eq!(line(&unknown), "404 GET /hello?name=Ada  not_found: nothing is served at this path  total 0.4 ms");
    }

    #[test]
    fn what_comes_from_outside_can_neither_break_a_line_nor_drive_a_terminal() {
        let hostile = RequestReport {
            uri: Some(format!("/{}", "x".repeat(500)).parse().expect("a target")),
            reason: Some("bad\n200 GET /forged\u{1b}[2J".to_owned()),
            status: None,
            ..report(RequestOutcome::HungUp)
        };
        let text = line(&hostile);
        assert!(!text.contains(['\n', '\u{1b}']) && text.len() < 300, "{text}");
    }
}
