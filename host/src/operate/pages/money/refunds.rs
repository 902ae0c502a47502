//! Shows what went back to payers, from which wallet, and what is left of the budgets.

use coinslot_x402::UnixTime;
use maud::{Markup, html};

use super::ROWS;
use crate::operate::pages::explorer;
use crate::operate::pages::frame::records;
use crate::operate::pages::write::{ago, money, name, sentence, state};
use crate::operate::records::RefundsReport;

/// The section of refunds. Nothing on a host that pays nothing back and never did.
pub(super) fn section(report: &RefundsReport, now: UnixTime) -> Markup {
    if report.wallet.is_none() && report.refunds.is_empty() {
        return html! {};
    }
    html! {
        section aria-labelledby="refunds" {
            h2 #refunds { "Refunds" }
            @match (&report.wallet, &report.policy) {
                (Some(wallet), Some(policy)) => p.quiet {
                    "Owed answers are paid back " (name(policy)) ", from " code.whole { (name(wallet)) } ". "
                    @for budget in &report.budgets {
                        (name(&budget.spent)) " of " (name(&budget.limit))
                        @if budget.testnet { " of test money" }
                        " in the last 24 hours. "
                    }
                },
                _ => p.quiet { "No wallet pays anything back now." },
            }
            @for wallet in &report.wallets {
                @if let Some(trouble) = &wallet.trouble { p.note.bad { (name(&wallet.network)) ": " (sentence(trouble)) } }
            }
            @if report.refunds.is_empty() {
                p.empty { "Nothing was paid back." }
            } @else {
                (rows(report, now))
            }
        }
    }
}

fn rows(report: &RefundsReport, now: UnixTime) -> Markup {
    let columns = [("Begun", "head"), ("State", ""), ("Amount", "number"), ("Transaction", ""), ("Reason", "text")];
    let rows = report.refunds.iter().take(ROWS as usize).map(|one| {
        [
            html! {
                a href={ "/payments/" (name(&one.payment_id)) } {
                    (ago(&one.begun_at, now)) span.unseen { ": payment " (name(&one.payment_id)) }
                }
            },
            state(&one.state),
            money(one.amount.as_deref(), one.symbol.as_deref(), &one.atomic_amount),
            html! { @if let Some(hash) = &one.transaction { (explorer::transaction(&one.network, hash)) } },
            html! { @if let Some(reason) = &one.reason { (sentence(reason)) } },
        ]
    });
    records("The newest refunds", &columns, rows)
}
