//! Compares the cost of gas, of settlements and of refunds, with the money received on the same network.

use std::collections::BTreeMap;

use alloy::primitives::U256;
use coinslot_evm::Ether;
use maud::{Markup, html};

use crate::operate::api::chain::FacilitatorRecord;
use crate::operate::pages::frame::records;
use crate::operate::pages::payments::network;
use crate::operate::pages::write::{count, money, name};
use crate::operate::records::{EarningsRecord, RefundGasRecord};

/// What gas cost on a network, in wei.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Spent {
    settling: U256,
    refunding: U256,
}

/// The sums since this day, by network. A host that pays no gas has no such section: all its facilitators are elsewhere, and
/// it has paid nothing back.
pub(super) fn section(
    facilitators: &[FacilitatorRecord],
    refunds: &[RefundGasRecord],
    received: &[EarningsRecord],
    since: Option<&str>,
) -> Markup {
    let spent = spent(facilitators, refunds, since);
    if spent.is_empty() {
        return html! {};
    }
    let columns = [
        ("Network", "head"),
        ("For settling", "number text"),
        ("For refunds", "number text"),
        ("Received there", "number"),
        ("Payments", "number"),
    ];
    let rows = spent.iter().map(|(of, wei)| {
        let there: Vec<_> = received.iter().filter(|record| record.network == *of).collect();
        let testnet = there.iter().any(|record| record.kind == "testnet");
        let sums = html! {
            @if there.is_empty() { "nothing" }
            @for record in &there {
                div { (money(record.amount.as_deref(), record.symbol.as_deref(), &record.atomic_amount)) }
            }
        };
        [
            network(of, testnet),
            ether(wei.settling),
            ether(wei.refunding),
            sums,
            html! { (count(there.iter().map(|record| record.payments).sum())) },
        ]
    });
    html! {
        section aria-labelledby="gas" {
            h2 #gas { "Gas" }
            (records("Gas and what it brought", &columns, rows))
            p.quiet {
                "By the wallets of this host, in blocks of the chosen time; refused settlements and failed refunds are "
                "included. Ether and what is received have no common price here."
            }
        }
    }
}

fn ether(wei: U256) -> Markup {
    html! { @if wei.is_zero() { "none" } @else { (name(&Ether(wei).to_string())) } }
}

/// The sums by network.
fn spent<'f>(
    facilitators: &'f [FacilitatorRecord],
    refunds: &'f [RefundGasRecord],
    since: Option<&str>,
) -> BTreeMap<&'f str, Spent> {
    let counts = |day: &str| since.is_none_or(|since| *day >= *since);
    let mut spent: BTreeMap<&str, Spent> = BTreeMap::new();
    for record in facilitators.iter().filter(|record| !record.wallets.is_empty()) {
        let sum = &mut spent.entry(&record.network).or_default().settling;
        for gas in record.gas.iter().filter(|gas| counts(&gas.day)) {
            *sum = sum.saturating_add(gas.wei.parse().unwrap_or_default());
        }
    }
    for gas in refunds.iter().filter(|gas| counts(&gas.day)) {
        let sum = &mut spent.entry(&gas.network).or_default().refunding;
        *sum = sum.saturating_add(gas.wei.parse().unwrap_or_default());
    }
    spent
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operate::api::chain::{GasRecord, WalletRecord};

    #[test]
    fn gas_of_settlements_and_of_refunds_is_summed_up_by_network_since_a_day() {
        let day = |day: &str, wei: &str| GasRecord { day: day.to_owned(), wei: wei.to_owned(), shown: String::new() };
        let facilitator = |network: &str, wallets: Vec<WalletRecord>| FacilitatorRecord {
            network: network.to_owned(),
            wallets,
            gas: vec![day("2026-01-02", "5"), day("2026-01-01", "7")],
            ..FacilitatorRecord::default()
        };
        let facilitators = [
            facilitator("eip155:1", vec![WalletRecord::default()]),
            facilitator("eip155:1", vec![WalletRecord::default()]),
            facilitator("eip155:2", vec![]),
        ];
        let refund = |day: &str, network: &str| RefundGasRecord {
            day: day.to_owned(),
            network: network.to_owned(),
            wei: "3".to_owned(),
            ..RefundGasRecord::default()
        };
        let refunds =
            [refund("2026-01-02", "eip155:1"), refund("2026-01-01", "eip155:1"), refund("2026-01-02", "eip155:3")];
        let wei =
            |settling: u64, refunding: u64| Spent { settling: U256::from(settling), refunding: U256::from(refunding) };
        let found = |since| spent(&facilitators, &refunds, since).into_iter().collect::<Vec<_>>();
        assert_eq!(found(None), [("eip155:1", wei(24, 6)), ("eip155:3", wei(0, 3))]);
        assert_eq!(found(Some("2026-01-02")), [("eip155:1", wei(10, 3)), ("eip155:3", wei(0, 3))]);
    }
}
