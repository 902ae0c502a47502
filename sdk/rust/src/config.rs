//! Reads the operator's configuration of this plugin.
//!
//! The values come from `[plugin.NAME.config]` of the host's configuration. It is no place for secrets: the host adds
//! keys for other servers to outgoing requests, see [`http`](crate::http). In a test the values are those that
//! [`testing::configure`](crate::testing) has set.
//!
//! ```
//! # use coinslot_sdk::{config, testing};
//! testing::configure("currency", "EUR");
//! let currency = config::get("currency").unwrap_or_else(|| "USD".to_owned());
//! assert_eq!(currency, "EUR");
//! ```

use crate::imports;

/// The value of a key; none if the operator has not set it.
pub fn get(key: &str) -> Option<String> {
    imports::configured(key)
}
