//! Calls the imports of the component.

use super::Receipt;
use crate::bindings::coinslot::plugin as contract;
use crate::bindings::wasi::config;

/// The key-value store.
pub(crate) mod store;

pub(crate) use crate::wasi::send;

/// The payment of the request being handled; none on a free route, and none for a request that the operator lets through.
pub(crate) fn payment() -> Option<Receipt> {
    let receipt = contract::payment::current()?;
    Some(Receipt {
        payer: receipt.payer,
        amount: receipt.amount,
        asset: receipt.asset,
        network: receipt.network,
        payment_id: receipt.payment_id,
    })
}

/// Sets the charge of the request being handled.
pub(crate) fn charge(amount: &str) -> Result<(), String> {
    contract::usage::charge(amount)
}

/// A value of the plugin's configuration.
pub(crate) fn configured(key: &str) -> Option<String> {
    // No host of this contract fails here. Another host's error is an absent key.
    config::store::get(key).ok().flatten()
}
