//! Asks a linked component for its manifest.

use std::time::Duration;

use coinslot_base::text::{bounded, printable};
use wasmtime::Store;

use crate::contract::PluginInfo;
use crate::fault::{Fault, LoadError};
use crate::instance::engine::Wasi;
use crate::instance::linked::LinkedComponent;
use crate::instance::resources::SharedResources;
use crate::instance::store::{GuestState, StoreConfig, store};
use crate::instance::timed::call_with_limits;
use crate::load::manifest;

/// The limits of `describe`, whatever the plugin's own limits are. Memory and log are in bytes.
const MEMORY: usize = 64 << 20;
const CPU: Duration = Duration::from_secs(1);
const WALL: Duration = Duration::from_secs(2);
const LOG: usize = 64 << 10;

/// Calls `describe`, and checks its result.
pub(super) async fn describe(
    resources: &SharedResources,
    wasi: Wasi,
    component: &LinkedComponent,
) -> Result<PluginInfo, LoadError> {
    let config = StoreConfig {
        plugin: "(loading)".into(),
        memory: MEMORY,
        cpu: CPU,
        cpu_slots: resources.cpu_slots.clone(),
        log: LOG,
        receipt: None,
        grant: None,
    };
    let (mut store, meter) = store(resources.engine(wasi), config);
    let call = async move {
        let instance = component.pre.instantiate_async(&mut store).await?;
        component.manifest.load(&mut store, &instance)?.call_describe::<&mut Store<GuestState>>(&mut store).await
    };
    match call_with_limits(&meter, WALL, call).await.map_err(explain)? {
        Ok(info) => manifest::check(info, component.quote.is_some())
            .map_err(|problems| LoadError::Describe(problems.join("\n"))),
        Err(reason) => {
            Err(LoadError::Describe(format!("it refuses to be loaded: {}", printable(&bounded(reason, 2_000)))))
        }
    }
}

fn explain(fault: Fault) -> LoadError {
    // On a busy machine a guest that waits for nothing may take this long.
    let is_passing = matches!(fault, Fault::Deadline | Fault::Busy);
    let reason = match fault {
        Fault::Cpu => format!("`describe` used more than {} ms of CPU time: compute nothing in it", CPU.as_millis()),
        Fault::Deadline => format!("`describe` took longer than {} ms: wait for nothing in it", WALL.as_millis()),
        Fault::Memory => format!("`describe` wanted more than {} MiB of memory", MEMORY >> 20),
        other => format!("`describe` failed: {other}"),
    };
    if is_passing { LoadError::Unavailable(reason) } else { LoadError::Describe(reason) }
}
