//! Compares the cost of gas with the money received on the same network.

use std::collections::BTreeMap;

use alloy::primitives::U256;
use coinslot_evm::Ether;
use maud::{Markup, html};

use crate::operate::api::chain::FacilitatorRecord;
use crate::operate::pages::frame::table;
use crate::operate::pages::payments::network;
use crate::operate::pages::write::{counted, money, name};
use crate::operate::records::EarningsRecord;

/// The sums since this day, by network. Without a facilitator of this host's own there is nothing to show: it pays no
/// gas.
pub(super) fn section(
    facilitators: &[FacilitatorRecord],
    received: &[EarningsRecord],
    since: Option<String>,
) -> Markup {
    let spent = spent(facilitators, since.as_deref());
    if spent.is_empty() {
        return html! {};
    }
    let columns = [("Network", ""), ("Paid for gas", "number"), ("Received there", "number"), ("Payments", "number")];
    html! {
        section aria-labelledby="gas" {
            h2 #gas { "Gas" }
            (table("Gas and what it brought", &columns, html! {
                @for (of, wei) in &spent {
                    @let there: Vec<_> = received.iter().filter(|record| record.network == *of).collect();
                    @let testnet = there.iter().any(|record| record.kind == "testnet");
                    tr {
                        th scope="row" { (network(of, testnet)) }
                        td.number { (name(&Ether(*wei).to_string())) }
                        td.number {
                            @if there.is_empty() { "nothing" }
                            @for record in &there {
                                div { (money(record.amount.as_deref(), record.symbol.as_deref(), &record.atomic_amount)) }
                            }
                        }
                        td.number { (counted(there.iter().map(|record| record.payments).sum(), "payment", "payments")) }
                    }
                }
            }))
            p.quiet {
                "By the wallets of this host, in blocks of the chosen time, refused settlements included. Ether and what is "
                "received have no common price here."
            }
        }
    }
}

/// Wei by network.
fn spent<'f>(facilitators: &'f [FacilitatorRecord], since: Option<&str>) -> BTreeMap<&'f str, U256> {
    let mut spent = BTreeMap::new();
    for record in facilitators.iter().filter(|record| !record.wallets.is_empty()) {
        let days = record.gas.iter().filter(|gas| since.is_none_or(|since| *gas.day >= *since));
        let sum = days.filter_map(|gas| gas.wei.parse::<U256>().ok()).fold(U256::ZERO, U256::saturating_add);
        let of_network: &mut U256 = spent.entry(&*record.network).or_default();
        *of_network = of_network.saturating_add(sum);
    }
    spent
}
