//! Puts a component under the operator's policy for its plugin: limits, capabilities, and the bound of its instances.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::capabilities::Capabilities;
use crate::contract::{DeclaredPrice, EndpointInfo, PluginInfo};
use crate::fault::LoadError;
use crate::instance::engine::{MAX_MEMORY, Wasi};
use crate::instance::fullness::Fullness;
use crate::instance::linked::{HandlerPre, LinkedComponent};
use crate::instance::permits::{InstanceLimit, Sells};
use crate::instance::processors::PluginCpu;
use crate::instance::resources::SharedResources;
use crate::instance::spec::InstanceSpec;
use crate::instance::{InstanceReuse, Instances};
use crate::limits::{Limits, PluginPolicies, Reuse};

/// The part of a plugin's instances that its quotes may take: one in this many.
const QUOTE_SHARE: usize = 4;

/// Tells what a plugin sells under these policies. `quotes`: its component exports `quote`.
pub(super) fn sells(info: &PluginInfo, quotes: bool, policies: &PluginPolicies) -> Sells {
    let policy = policies.plugins.get(&info.name);
    let is_sold = |endpoint: &EndpointInfo| {
        let decided = policy.and_then(|policy| policy.sold.get(&endpoint.label()).copied());
        decided.unwrap_or(endpoint.price != DeclaredPrice::Free)
    };
    match info.endpoints.iter().any(is_sold) {
        true if quotes => Sells::Quoted,
        true => Sells::Declared,
        false => Sells::Nothing,
    }
}

/// The instances of a component under these limits. `permits` are the plugin's own.
pub(super) fn instances(
    resources: &SharedResources,
    wasi: Wasi,
    plugin: Arc<str>,
    component: Arc<LinkedComponent>,
    limits: Limits,
    capabilities: Arc<Capabilities>,
    permits: InstanceLimit,
) -> Arc<Instances> {
    let reuse = InstanceReuse::new(&limits, &permits, &resources.idle_instances);
    let quotes = Arc::new(Semaphore::new((limits.instances / QUOTE_SHARE).max(1)));
    let log = resources.logs.of(&plugin, limits.log_rate);
    let most = limits.instances;
    let spec = InstanceSpec {
        plugin,
        engine: resources.engine(wasi).clone(),
        component,
        limits,
        capabilities,
        permits,
        fullness: Fullness::new(resources.wait, most),
        quotes,
        wait: resources.wait,
        plugin_cpu: PluginCpu::new(Arc::clone(&resources.processors)),
        log,
        is_host_only: resources.is_host_only,
    };
    Arc::new(Instances { spec: Arc::new(spec), reuse })
}

/// The limits and the capabilities of the plugin of this name. Fails if the component cannot have these limits.
pub(super) fn resolve(
    resources: &SharedResources,
    name: &str,
    component: &LinkedComponent,
    policies: &PluginPolicies,
) -> Result<(Limits, Arc<Capabilities>), LoadError> {
    let policy = policies.plugins.get(name);
    let limits = policy.and_then(|policy| policy.limits.as_ref()).unwrap_or(&policies.limits).clone();
    if limits.memory > MAX_MEMORY {
        return Err(LoadError::Invalid(format!(
            "its memory limit is {} bytes; the most that this host can give is {MAX_MEMORY}",
            limits.memory
        )));
    }
    if let Some(Reuse { concurrent: 2.., .. }) = limits.reuse
        && let Some(reason) = not_shareable(component)
    {
        return Err(LoadError::Invalid(format!(
            "`concurrent` in its `reuse` is more than 1, and {reason}: leave `concurrent` out, and its instances \
             answer one request after another"
        )));
    }
    let capabilities = policy.map_or_else(Capabilities::none, |policy| {
        let SharedResources { resolver, kv_stores, is_host_only, .. } = resources;
        Capabilities::new(name, &policy.grants, limits.outgoing_timeouts, resolver, kv_stores, *is_host_only)
    });
    Ok((limits, capabilities))
}

/// The reason why an instance of this component cannot have several requests at once, if there is one.
fn not_shareable(component: &LinkedComponent) -> Option<&'static str> {
    match &component.handler {
        HandlerPre::P2(_) => Some("its handler is one of WASI 0.2, which takes one request at a time"),
        HandlerPre::P3(_) if component.composed => Some(
            "it is composed of several components, and when one of them calls the host for another it cannot be told \
             for which request",
        ),
        HandlerPre::P3(_) => None,
    }
}
