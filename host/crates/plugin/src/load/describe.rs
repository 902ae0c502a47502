//! Asks a linked component for its manifest.

use std::time::Duration;

use coinslot_base::text::{bounded, printable};
use wasmtime::Store;

use crate::contract::PluginInfo;
use crate::fault::{Fault, LoadError};
use crate::instance::engine::Wasi;
use crate::instance::linked::LinkedComponent;
use crate::instance::resources::SharedResources;
use crate::instance::store::{GuestState, OutsideWorld, StoreConfig, store};
use crate::instance::timed::call_with_limits;
use crate::limits::PluginPolicies;
use crate::load::manifest;

/// Memory that `describe` may use in any case, in bytes. Memories of JavaScript and Python begin large.
pub(crate) const MEMORY: usize = 64 << 20;
/// The limits of `describe`, whatever the plugin's own limits are. The log is in bytes.
const CPU: Duration = Duration::from_secs(1);
const WALL: Duration = Duration::from_secs(2);
const LOG: usize = 64 << 10;
/// The name under which it prints, because its own is not known yet.
const LOADING: &str = "(loading)";

/// Calls `describe`, and checks its result. Returns the memory that the instance has then, too.
///
/// The plugin's name, and so its limits, are not known before. So the largest limit of memory that any plugin has is
/// the limit here, and `Plugin::new`, which knows the name, compares what was used.
pub(super) async fn describe(
    resources: &SharedResources,
    wasi: Wasi,
    component: &LinkedComponent,
    policies: &PluginPolicies,
) -> Result<(PluginInfo, usize), LoadError> {
    let own = policies.plugins.values().filter_map(|policy| Some(policy.limits.as_ref()?.memory));
    let memory = own.fold(policies.limits.memory.max(MEMORY), usize::max);
    let config = StoreConfig {
        plugin: LOADING.into(),
        memory,
        cpu: CPU,
        processors: resources.processors.clone(),
        log: LOG,
        plugin_log: resources.logs.of(LOADING, LOG),
        world: OutsideWorld::Fixed,
        receipt: None,
        permits: None,
        grant: None,
    };
    let weight = u32::try_from(component.weight).unwrap_or(u32::MAX);
    let _permits = resources.descriptions.acquire_many(weight).await;
    let (mut store, meter) = store(resources.engine(wasi), config);
    let call = async move {
        let instance = component.pre.instantiate_async(&mut store).await?;
        let guest = component.manifest.load(&mut store, &instance)?;
        let described = guest.call_describe::<&mut Store<GuestState>>(&mut store).await?;
        Ok((described, store.data().used_memory()))
    };
    let (described, used) = call_with_limits(&meter, WALL, call).await.map_err(|fault| explain(fault, memory))?;
    match described {
        Ok(info) => match manifest::check(info, component.quote.is_some()) {
            Ok(info) => Ok((info, used)),
            Err(problems) => Err(LoadError::Describe(problems.join("\n"))),
        },
        Err(reason) => {
            Err(LoadError::Describe(format!("it refuses to be loaded: {}", printable(&bounded(reason, 2_000)))))
        }
    }
}

fn explain(fault: Fault, memory: usize) -> LoadError {
    // On a busy machine a guest that waits for nothing may take this long.
    let is_passing = matches!(fault, Fault::Deadline | Fault::Busy);
    let reason = match fault {
        Fault::Cpu => format!("`describe` used more than {} ms of CPU time: compute nothing in it", CPU.as_millis()),
        Fault::Deadline => format!("`describe` took longer than {} ms: wait for nothing in it", WALL.as_millis()),
        Fault::Memory => format!(
            "`describe` wanted more than {} MiB of memory: raise `memory` in [limits], or in [plugin.NAME.limits]",
            memory >> 20
        ),
        other => format!("`describe` failed: {other}"),
    };
    if is_passing { LoadError::Unavailable(reason) } else { LoadError::Describe(reason) }
}
