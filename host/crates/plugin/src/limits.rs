//! What the operator allows: bounds, and grants.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::breaker::BreakerSettings;
use crate::capabilities::config::Grants;
use crate::instance::pool::Reuse;

/// What bounds a plugin. Every limit has an operator's override.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Linear memory of one instance, in bytes.
    pub memory: usize,
    /// CPU time of one request.
    pub cpu: Duration,
    /// Wall time of one request until the response's head.
    pub first_byte: Duration,
    /// Wall time of one request in total. While nobody reads its answer the guest's time stands still, and
    /// it waits for its reader for as long again.
    pub total: Duration,
    /// Request body, in bytes.
    pub request_body: u64,
    /// Response body, in bytes.
    pub response_body: u64,
    /// Instances at once. Unless `reuse` says otherwise, each has one request.
    pub instances: usize,
    /// Outgoing HTTP requests of one request.
    pub outgoing_requests: u32,
    /// What one request may print, in bytes.
    pub log: usize,
    /// When a plugin that keeps failing is left alone.
    pub patience: BreakerSettings,
    /// Whether an instance answers more than one request. None: each gets a fresh one.
    pub reuse: Option<Reuse>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 128 << 20,
            cpu: Duration::from_secs(1),
            first_byte: Duration::from_secs(30),
            total: Duration::from_secs(300),
            request_body: 10 << 20,
            response_body: 10 << 20,
            instances: 64,
            outgoing_requests: 16,
            log: 64 << 10,
            patience: BreakerSettings::default(),
            reuse: None,
        }
    }
}

/// What the operator grants: bounds for every plugin, and what is said of single ones.
#[derive(Clone, Debug, Default)]
pub struct PluginPolicies {
    /// Of plugins of which nothing else is said.
    pub limits: Limits,
    /// By the names in their manifests.
    pub plugins: BTreeMap<String, PluginPolicy>,
}

impl From<Limits> for PluginPolicies {
    fn from(limits: Limits) -> Self {
        Self { limits, plugins: BTreeMap::new() }
    }
}

/// What the operator says of one plugin.
#[derive(Clone, Debug, Default)]
pub struct PluginPolicy {
    /// Its own bounds, if they are not those of all.
    pub limits: Option<Limits>,
    /// What it may do with the world.
    pub grants: Grants,
}
