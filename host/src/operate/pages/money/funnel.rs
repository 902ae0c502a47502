//! Shows the way from the price to the payment, and the reasons for which it ended before.

use maud::{Markup, html};

use crate::operate::pages::chart;
use crate::operate::pages::frame::table;
use crate::operate::pages::now::part;
use crate::operate::pages::write::{count, name};
use crate::operate::samples::Counters;

/// The ends of the requests that were told a price, since the start of this process.
pub(super) fn funnel(counters: &Counters) -> Markup {
    let told = counters.ended(&["challenged"]);
    let ends = ["paid", "refused", "failed", "unknown"].map(|state| counters.payments(state));
    let (sent, paid) = (ends.iter().sum::<u64>(), ends[0]);
    let steps = [("Told the price", told), ("Sent a payment that was claimed", sent), ("Paid", paid)];
    let most = told.max(sent);
    let body = html! {
        @for (step, number) in steps {
            tr {
                th scope="row" { (step) }
                td.number { (count(number)) }
                td.number { (format!("{:.0} %", part(number, most) * 100.0)) }
                td.wide { (chart::share(part(number, most))) }
            }
        }
    };
    let columns = [("Step", ""), ("Number", "number"), ("Of the first", "number"), ("Share", "wide")];
    html! {
        @if most == 0 {
            p.empty { "Nobody has been told a price since the start of the host." }
        } @else {
            (table("From the price to the payment, since the start of the host", &columns, body))
        }
        (why_not(counters))
    }
}

/// The reasons for which requests and payments were not served.
fn why_not(counters: &Counters) -> Markup {
    let mut reasons: Vec<(String, u64)> = Vec::new();
    for ((outcome, status), number) in &counters.requests {
        if outcome == "refused" {
            reasons.push((format!("Refused with status {status}: {}", meaning(status)), *number));
        }
    }
    let of_payments = [
        ("failed", "The plugin failed, and the payment was given back"),
        ("refused", "The settlement was refused"),
        ("unknown", "The end of the settlement was not known at first"),
        ("owed", "Paid, and the answer was owed at first"),
    ];
    reasons.extend(of_payments.map(|(state, reason)| (reason.to_owned(), counters.payments(state))));
    reasons.retain(|(_, number)| *number > 0);
    reasons.sort_by_key(|(_, number)| std::cmp::Reverse(*number));
    html! {
        @if !reasons.is_empty() || !counters.errors.is_empty() {
            h3 #why-not { "Why not" }
            div.columns {
                @if !reasons.is_empty() {
                    (table("Why requests and payments were not served", &[("Reason", ""), ("Number", "number")], html! {
                        @for (reason, number) in &reasons {
                            tr { th scope="row" { (reason) } td.number { (count(*number)) } }
                        }
                    }))
                }
                (by_code(counters))
            }
        }
        p.quiet {
            "Since the start of the host. A client that is told the price twice counts twice. An answer with an error "
            "counts by its code, whatever it was asked for; " a href="/failed" { "the failed calls" } " are listed."
        }
    }
}

/// The errors that were answered, by their code, the most frequent first.
pub(in crate::operate::pages) fn by_code(counters: &Counters) -> Markup {
    let mut codes: Vec<(&str, u64)> = counters.errors.iter().map(|(code, number)| (&**code, *number)).collect();
    codes.sort_by_key(|(code, number)| (std::cmp::Reverse(*number), *code));
    html! {
        @if !codes.is_empty() {
            (table("Answers with an error, by code", &[("Code of the error", ""), ("Answers", "number")], html! {
                @for (code, number) in codes {
                    tr {
                        th.text scope="row" { code.whole { (name(code)) } }
                        td.number data-error=(name(code)) { (count(number)) }
                    }
                }
            }))
        }
    }
}

/// The meaning of a status that refuses a request before anything was paid.
fn meaning(status: &str) -> &'static str {
    match status {
        "400" => "the payment or the input cannot be read, or does not fit the schema",
        "402" => "the payment does not buy this, or is not valid",
        "409" => "the payment is at work, or was used before",
        "413" => "the body is too large",
        "422" => "the plugin refused the input",
        "429" => "too many payments of one payer, or bad ones of one address",
        "500" | "502" | "504" => "a failure before the work",
        "503" => "no room to run, or nothing could be settled",
        _ => "the plugin or the host refused it",
    }
}
