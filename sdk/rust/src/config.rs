//! What the operator tells this plugin.
//!
//! It stands in `[plugin.NAME.config]` of the host's configuration, and is no place for secrets: keys for
//! other servers are added by the host, see [`http`](crate::http). In a test it is what
//! [`testing::configure`](crate::testing) has set.

/// The value of a key; none if the operator says nothing about it.
pub fn get(key: &str) -> Option<String> {
    #[cfg(target_family = "wasm")]
    return crate::component::configured(key);
    #[cfg(not(target_family = "wasm"))]
    return crate::testing::configured(key);
}
