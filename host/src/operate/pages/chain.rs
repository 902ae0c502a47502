//! `/chain`: the assets that are taken, their facilitators, and the wallets that pay for gas.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use coinslot_x402::UnixTime;
use maud::{Markup, html};

use super::explorer;
use super::frame::{Frame, records};
use super::payments::{encoded, network};
use super::write::{ago, count, counted, digest, name, names, sentence, span, state};
use crate::operate::access::Visitor;
use crate::operate::admin::HostView;
use crate::operate::api::chain::{FacilitatorRecord, chain};
use crate::operate::api::refunds::wallets as refund_wallets;
use crate::refund::Refunds;

pub(super) async fn page(State(host): State<Arc<HostView>>, visitor: Visitor) -> Markup {
    let facilitators = chain(State(Arc::clone(&host))).await.0;
    let frame = Frame::of(&host, visitor).await;
    let is_test = |network: &str, symbol: &str| {
        let mut methods = host.payments.payment_methods().iter();
        methods.any(|method| {
            method.asset.network.to_string() == network && method.asset.symbol == symbol && method.asset.testnet
        })
    };
    let columns = [("Asset", "head"), ("Network", ""), ("Token", ""), ("Settlement", "")];
    let assets = frame.status.assets.iter().map(|asset| {
        [
            html! { (name(&asset.symbol)) },
            network(&asset.network, is_test(&asset.network, &asset.symbol)),
            explorer::address(&asset.network, &asset.asset),
            state(&asset.settlement),
        ]
    });
    let live = html! {
        section aria-labelledby="assets" {
            h2 #assets { "Assets" }
            (records("Assets that are taken, the preferred first", &columns, assets))
        }
        section aria-labelledby="facilitators" {
            h2 #facilitators { "Facilitators" }
            @for (index, record) in facilitators.iter().enumerate() { (facilitator(record, index)) }
            p.quiet { "As their last calls and readings showed them: no chain is asked for this page." }
        }
        @if let Some(refunds) = &host.refunds { (refund_wallet(refunds, &host, frame.now)) }
    };
    frame.page("/chain", "Chain", html! {}, live)
}

fn facilitator(record: &FacilitatorRecord, index: usize) -> Markup {
    let id = format!("facilitator-{index}");
    html! {
        section.card aria-labelledby=(id) {
            header {
                h3 id=(id) { (name(&record.name)) }
                p.quiet { (network(&record.network, false)) " · " (names(&record.assets)) }
                p.badges {
                    (state(&record.settlement))
                    @if let Some(seconds) = record.circuit_open_seconds {
                        " " span.quiet {
                            "its circuit is open; it is tried again in " (counted(seconds, "second", "seconds"))
                        }
                    }
                }
            }
            @if let Some(trouble) = &record.trouble { p.note.bad { (sentence(trouble)) } }
            @if record.wallets.is_empty() {
                p.quiet { "It pays for gas itself." }
            } @else {
                (wallets(record))
                (pending(record))
            }
        }
    }
}

fn wallets(record: &FacilitatorRecord) -> Markup {
    let columns = [("Gas wallet", "head"), ("Balance", "number"), ("Pending", "number"), ("State", "text")];
    let rows = record.wallets.iter().map(|wallet| {
        [
            explorer::address(&record.network, &wallet.address),
            html! { (wallet.balance.as_deref().map_or_else(|| "not read yet".to_owned(), short)) },
            html! { (count(u64::try_from(wallet.pending).unwrap_or(u64::MAX))) },
            html! {
                @if let Some(seconds) = wallet.stuck_seconds {
                    (state("down")) " "
                    span.quiet { "a transaction has waited for " (counted(seconds, "second", "seconds")) }
                } @else {
                    (funded(wallet.needed.as_deref()))
                }
            },
        ]
    });
    records(&format!("Gas wallets of {}", name(&record.name)), &columns, rows)
}

/// The state of a wallet that has enough for gas, or should have more.
fn funded(needed: Option<&str>) -> Markup {
    html! {
        @if let Some(needed) = needed { (state("no_gas")) " " span.quiet { "it should have " (short(needed)) } }
        @else { (state("ready")) }
    }
}

/// The transactions of its wallets that are in no block yet.
fn pending(record: &FacilitatorRecord) -> Markup {
    let columns =
        [("Transaction", "head"), ("Nonce", "number"), ("Age", "number"), ("Settlements", "number"), ("Wallet", "")];
    let number = |number: usize| count(u64::try_from(number).unwrap_or(u64::MAX));
    let waiting = record.wallets.iter().flat_map(|wallet| wallet.transactions.iter().map(move |one| (wallet, one)));
    let rows: Vec<_> = waiting
        .map(|(wallet, one)| {
            [
                explorer::transaction(&record.network, &one.hash),
                html! { (count(one.nonce)) },
                html! {
                    (span(Duration::from_secs(one.age_seconds)))
                    @if one.replacements > 0 { br; span.quiet { "replaced " (counted_times(one.replacements)) } }
                },
                html! { (number(one.settlements)) },
                explorer::address(&record.network, &wallet.address),
            ]
        })
        .collect();
    html! {
        @if !rows.is_empty() { (records(&format!("Pending transactions of {}", name(&record.name)), &columns, rows)) }
    }
}

fn counted_times(number: usize) -> String {
    counted(u64::try_from(number).unwrap_or(u64::MAX), "time", "times")
}

/// The wallet that pays owed answers back, on each network.
fn refund_wallet(refunds: &Refunds, host: &HostView, now: UnixTime) -> Markup {
    let columns = [
        ("Network", "head"),
        ("Address", ""),
        ("Balance for gas", "number"),
        ("Balance of tokens", "number"),
        ("State", "text"),
    ];
    let address = refunds.address().to_string();
    let unread = || "not read yet".to_owned();
    let rows = refund_wallets(refunds, &host.units()).into_iter().map(|wallet| {
        [
            network(&wallet.network, false),
            explorer::address(&wallet.network, &address),
            html! { (wallet.balance.as_deref().map_or_else(unread, short)) },
            html! { (if wallet.tokens.is_empty() { unread() } else { names(&wallet.tokens) }) },
            html! {
                @if let Some(refund) = &wallet.under_way {
                    p {
                        "Sends " (name(&refund.amount)) " back for payment "
                        a href={ "/payments/" (encoded(&refund.payment)) } { (digest(&refund.payment)) }
                        ", begun " (ago(&refund.begun_at, now))
                        @if let Some(hash) = &refund.hash {
                            ": " (explorer::transaction(&wallet.network, hash)) ", nonce " (count(refund.nonce))
                        }
                    }
                }
                @if let Some(trouble) = &wallet.trouble {
                    (state("waiting")) " " span.quiet { (sentence(trouble)) }
                } @else {
                    (funded(wallet.needed.as_deref()))
                }
            },
        ]
    });
    html! {
        section aria-labelledby="refund-wallet" {
            h2 #refund-wallet { "Wallet of refunds" }
            (records("The wallet that pays owed answers back", &columns, rows))
            p.quiet { a href="/money#refunds" { "What went back" } }
        }
    }
}

/// An amount of ether in six decimals, which is what a person compares.
fn short(amount: &str) -> String {
    let (number, unit) = amount.split_once(' ').unwrap_or((amount, ""));
    let number = match number.split_once('.') {
        Some((whole, decimals)) if decimals.len() > 6 => format!("{whole}.{}…", &decimals[..6]),
        _ => number.to_owned(),
    };
    format!("{number} {unit}")
}

/// The receiver of an asset, for the page of the configuration.
pub(super) fn receiver(network: &str, address: &str) -> Markup {
    if network.is_empty() { digest(address) } else { explorer::address(network, address) }
}
