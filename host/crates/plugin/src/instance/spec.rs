//! The specification by which the instances of one plugin are made.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use wasmtime::Engine;

use crate::capabilities::Capabilities;
use crate::capabilities::egress::Provenance;
use crate::capabilities::log::PluginLog;
use crate::contract::PaymentReceipt;
use crate::headers::HostOnly;
use crate::instance::fullness::Fullness;
use crate::instance::linked::LinkedComponent;
use crate::instance::permits::{InstanceLimit, InstancePermits};
use crate::instance::processors::PluginCpu;
use crate::instance::store::{Grant, OutsideWorld, RequestGrant, StoreConfig};
use crate::limits::Limits;

/// Everything that instances of one build are made of, under one policy.
pub(crate) struct InstanceSpec {
    pub(crate) plugin: Arc<str>,
    pub(crate) engine: Engine,
    pub(crate) component: Arc<LinkedComponent>,
    pub(crate) limits: Limits,
    pub(crate) capabilities: Arc<Capabilities>,
    pub(crate) permits: InstanceLimit,
    pub(crate) fullness: Fullness,
    /// Quotes of this plugin at once.
    pub(crate) quotes: Arc<Semaphore>,
    /// The longest wait for permits of a request that can be sent again.
    pub(crate) wait: Duration,
    pub(crate) plugin_cpu: Arc<PluginCpu>,
    pub(crate) log: Arc<PluginLog>,
    /// Tells the header fields that guests never see in a client's request.
    pub(crate) is_host_only: HostOnly,
}

impl InstanceSpec {
    /// The store of an instance that answers one request at a time.
    pub(crate) fn store_config(
        &self,
        permits: Option<InstancePermits>,
        receipt: Option<PaymentReceipt>,
        is_metered: bool,
        provenance: Provenance,
    ) -> StoreConfig {
        let limits = &self.limits;
        let (capabilities, outgoing) = (self.capabilities.clone(), limits.outgoing_requests);
        let grant = RequestGrant { capabilities, outgoing, provenance, is_metered };
        StoreConfig {
            memory: limits.memory,
            cpu: limits.cpu,
            plugin_cpu: self.plugin_cpu.clone(),
            log: limits.log,
            plugin_log: self.log.clone(),
            world: OutsideWorld::Real,
            receipt,
            counted: permits.as_ref().map(|permits| Arc::clone(permits.memory())),
            permits,
            grant: Grant::Requests(grant),
        }
    }
}
