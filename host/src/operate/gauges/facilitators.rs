//! Gauges of the facilitators, and of the wallets that pay for gas, as their last calls showed them.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy::primitives::{Address, U256};
use coinslot_evm::GasWallet;
use coinslot_facilitator::{FacilitatorStatus, Readiness};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Meter};

use super::with;
use crate::operate::admin::HostView;

/// The wei of an ether.
const ETHER: f64 = 1e18;

/// The state of each facilitator, by its name and its network.
pub(in crate::operate) fn statuses(host: &HostView) -> BTreeMap<(String, String), FacilitatorStatus> {
    let mut found = BTreeMap::new();
    let methods = host.payments.payment_methods().iter();
    for (method, accept) in methods.zip(&host.config.payment.accepts) {
        // A facilitator that is the only one for its asset says no name of its own.
        for (status, configured) in method.facilitator.statuses().into_iter().zip(&accept.facilitators) {
            let name = status.name.as_deref().unwrap_or(configured).to_owned();
            found.entry((name, method.asset.network.to_string())).or_insert(status);
        }
    }
    found
}

/// Makes the gauges.
pub(super) fn register(meter: &Meter, host: &Arc<HostView>) {
    let of_each = |name: &'static str, description: &'static str, value: fn(&FacilitatorStatus) -> f64| {
        let observe = with(host, move |host, gauge: &dyn AsyncInstrument<f64>| {
            for ((name, network), status) in statuses(host) {
                gauge.observe(value(&status), &labels(name, network));
            }
        });
        meter.f64_observable_gauge(name).with_description(description).with_callback(observe).build();
    };
    of_each("coinslot.facilitator.ready", "1 if a facilitator would settle now", |status| {
        f64::from(status.readiness == Readiness::Ready)
    });
    of_each("coinslot.facilitator.circuit.open", "1 while a facilitator fails and is not called", |status| {
        f64::from(status.circuit_open_for.is_some())
    });
    of_wallets(meter, host);
    of_gas(meter, host);
}

/// The gas that the chain has charged for, by network and purpose. A network on which this host pays none has no series.
fn of_gas(meter: &Meter, host: &Arc<HostView>) {
    let observe = with(host, |host, counter: &dyn AsyncInstrument<f64>| {
        for ((network, purpose), wei) in gas_charged(host) {
            let labels = [KeyValue::new("coinslot.network", network), KeyValue::new("coinslot.purpose", purpose)];
            counter.observe(f64::from(wei) / ETHER, &labels);
        }
    });
    meter
        .f64_observable_counter("coinslot.gas.spent")
        .with_unit("{ether}")
        .with_description(
            "The cost of gas as the chain charged it, in the coin of the network, by settlement or refund",
        )
        .with_callback(observe)
        .build();
}

/// Wei by network and purpose. Several facilitators of one network are one sum.
fn gas_charged(host: &HostView) -> BTreeMap<(String, &'static str), U256> {
    let mut charged = BTreeMap::new();
    let mut add = |network: String, purpose: &'static str, wei: U256| {
        let sum: &mut U256 = charged.entry((network, purpose)).or_default();
        *sum = sum.saturating_add(wei);
    };
    for ((_, network), status) in statuses(host) {
        if let Some(wei) = status.gas_charged {
            add(network, "settlement", wei);
        }
    }
    for (network, wallet) in host.refunds.iter().flat_map(|refunds| refunds.wallets()) {
        add(network.to_string(), "refund", wallet.gas_charged);
    }
    charged
}

#[allow(clippy::cast_precision_loss, reason = "a gauge is a float")]
fn of_wallets(meter: &Meter, host: &Arc<HostView>) {
    type Value = fn(&GasWallet) -> Option<f64>;
    let of_each = |name: &'static str, unit: &'static str, description: &'static str, value: Value| {
        let observe = with(host, move |host, gauge: &dyn AsyncInstrument<f64>| {
            for ((name, network), status) in statuses(host) {
                for wallet in &status.wallets {
                    let Some(value) = value(wallet) else { continue };
                    let address = KeyValue::new("coinslot.wallet", Address::to_checksum(&wallet.address, None));
                    let [facilitator, network] = labels(name.clone(), network.clone());
                    gauge.observe(value, &[facilitator, network, address]);
                }
            }
        });
        let gauge = meter.f64_observable_gauge(name).with_unit(unit).with_description(description);
        gauge.with_callback(observe).build();
    };
    of_each("coinslot.wallet.balance", "{ether}", "What a wallet has for gas, as it was read last", |wallet| {
        wallet.balance.map(|wei| f64::from(wei) / ETHER)
    });
    of_each("coinslot.wallet.low", "", "1 while a wallet has less than it should", |wallet| {
        Some(f64::from(wallet.needed.is_some()))
    });
    of_each("coinslot.wallet.pending", "", "Settlements of a wallet that are not in a block yet", |wallet| {
        Some(wallet.open_calls as f64)
    });
    of_each(
        "coinslot.wallet.stuck",
        "s",
        "The time for which its oldest transaction waits, while that is long",
        |wallet| Some(wallet.stuck_for.map(|time| time.as_secs_f64()).unwrap_or_default()),
    );
}

/// The labels of a facilitator.
pub(in crate::operate) fn labels(name: String, network: String) -> [KeyValue; 2] {
    [KeyValue::new("coinslot.facilitator", name), KeyValue::new("coinslot.network", network)]
}
