//! Simulates the host in unit tests: its state belongs to the thread of one test.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::Receipt;
use crate::amount::Amount;

/// The key-value store.
pub(crate) mod store;

/// The other servers.
pub(crate) mod network;

/// The host's side of one request.
#[derive(Debug, Default)]
pub(crate) struct SimulatedRequest {
    /// The payment, if the test says that the request is paid.
    pub(crate) receipt: Option<Receipt>,
    /// The most that may be charged, if the request's endpoint is metered.
    pub(crate) maximum: Option<&'static str>,
    /// The last charge.
    pub(crate) charged: Option<String>,
}

thread_local! {
    /// The request being handled; none outside a request.
    static CURRENT: RefCell<Option<SimulatedRequest>> = const { RefCell::new(None) };
    static CONFIGURED: RefCell<BTreeMap<String, String>> = const { RefCell::new(BTreeMap::new()) };
}

/// Makes `request` the one being handled, and returns the one before.
pub(crate) fn replace(request: Option<SimulatedRequest>) -> Option<SimulatedRequest> {
    CURRENT.replace(request)
}

/// Sets a value of the plugin's configuration.
pub(crate) fn configure(key: &str, value: &str) {
    CONFIGURED.with_borrow_mut(|configured| configured.insert(key.to_owned(), value.to_owned()));
}

/// A value of the plugin's configuration.
pub(crate) fn configured(key: &str) -> Option<String> {
    CONFIGURED.with_borrow(|configured| configured.get(key).cloned())
}

/// The payment of the request being handled; none if it is not paid.
pub(crate) fn payment() -> Option<Receipt> {
    CURRENT.with_borrow(|current| current.as_ref()?.receipt.clone())
}

/// Sets the most that may be charged for the request being handled.
pub(crate) fn limit_charge(maximum: Option<&'static str>) {
    CURRENT.with_borrow_mut(|current| {
        if let Some(current) = current {
            current.maximum = maximum;
        }
    });
}

/// Sets the charge of the request being handled, and refuses what the contract with the host lets it refuse.
pub(crate) fn charge(amount: &str) -> Result<(), String> {
    CURRENT.with_borrow_mut(|current| {
        let current = current.as_mut().ok_or("no request is being handled")?;
        let amount = Amount::parse(amount).map_err(|error| error.to_string())?;
        let maximum = current.maximum.ok_or("the request is not metered: declare its price with `up_to`")?;
        if amount.exceeds(maximum) {
            return Err(format!("{amount} is more than the {maximum} that the caller has authorised"));
        }
        current.charged = Some(amount.to_string());
        Ok(())
    })
}
