//! The operator's policy: limits and grants, for all plugins and for single ones.

use std::collections::BTreeMap;
use std::time::Duration;

use coinslot_base::breaker::BreakerSettings;

use crate::capabilities::Grants;

/// The limits of a plugin. An operator can override every one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Linear memory of one instance, in bytes.
    pub memory: usize,
    /// Memory of all instances together, in bytes. One instance alone may always have `memory`.
    pub plugin_memory: usize,
    /// CPU time of one request.
    pub cpu: Duration,
    /// Wall time of one request until the response's head.
    pub first_byte: Duration,
    /// Wall time of one request in total. It stands still while the client does not read the response; the guest
    /// waits for its reader for as long again.
    pub total: Duration,
    /// Request body, in bytes.
    pub request_body: u64,
    /// Response body, in bytes.
    pub response_body: u64,
    /// Instances at once. Each has one request, unless `reuse` says otherwise.
    pub instances: usize,
    /// Outgoing HTTP requests of one request.
    pub outgoing_requests: u32,
    /// The longest waits of an outgoing request.
    pub outgoing_timeouts: OutgoingTimeouts,
    /// Bytes that one request may print. A line counts for 128 bytes at least.
    pub log: usize,
    /// Bytes that all requests together may print in a second, on average.
    pub log_rate: usize,
    /// The circuit breakers: the rule by which a plugin that keeps failing gets no requests for a while.
    pub breaker: BreakerSettings,
    /// Brings the previous build back when the circuit of a build ([`Plugin::circuit`](crate::Plugin::circuit)) opens
    /// soon after the build was deployed.
    pub rollback: bool,
    /// Lets an instance answer more than one request. None: each request gets a fresh one.
    pub reuse: Option<Reuse>,
}

/// The number of requests that an instance answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reuse {
    /// In its life.
    pub total: u32,
    /// At once. More than one needs a handler of WASI 0.3.
    pub concurrent: u32,
}

/// The longest waits of an outgoing request. A guest can ask for less than each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutgoingTimeouts {
    /// Until the connection is established.
    pub connect: Duration,
    /// From then until the head of the response.
    pub first_byte: Duration,
    /// Between two pieces of the response's body.
    pub between_bytes: Duration,
}

impl Default for OutgoingTimeouts {
    fn default() -> Self {
        let minute = Duration::from_secs(60);
        Self { connect: Duration::from_secs(10), first_byte: minute, between_bytes: minute }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 128 << 20,
            plugin_memory: 512 << 20,
            cpu: Duration::from_secs(1),
            first_byte: Duration::from_secs(30),
            total: Duration::from_secs(300),
            request_body: 10 << 20,
            response_body: 10 << 20,
            instances: 64,
            outgoing_requests: 16,
            outgoing_timeouts: OutgoingTimeouts::default(),
            log: 64 << 10,
            log_rate: 256 << 10,
            breaker: BreakerSettings {
                failures: 5,
                pause: Duration::from_secs(5),
                longest: Duration::from_secs(60),
                jitter: false,
            },
            rollback: false,
            reuse: None,
        }
    }
}

/// The policy for every plugin, and for single ones.
#[derive(Clone, Debug, Default)]
pub struct PluginPolicies {
    /// Limits of plugins that have none of their own.
    pub limits: Limits,
    /// Policies of single plugins, by the names in their manifests.
    pub plugins: BTreeMap<String, PluginPolicy>,
}

impl From<Limits> for PluginPolicies {
    fn from(limits: Limits) -> Self {
        Self { limits, plugins: BTreeMap::new() }
    }
}

/// The policy for one plugin.
#[derive(Clone, Debug, Default)]
pub struct PluginPolicy {
    /// Its own limits. None: those of all plugins.
    pub limits: Option<Limits>,
    /// The capabilities that it is granted.
    pub grants: Grants,
    /// The routes that the operator has decided to sell, or not to sell, whatever the plugin declares: by method and
    /// declared path, as in `GET /now`.
    pub sold: BTreeMap<String, bool>,
}
