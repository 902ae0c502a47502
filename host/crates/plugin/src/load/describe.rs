//! Asks a linked component for its manifest, which may depend on the configuration of its plugin.

use std::time::Duration;

use coinslot_base::text::{bounded, printable};
use wasmtime::Store;

use crate::capabilities::Capabilities;
use crate::contract::PluginInfo;
use crate::fault::{Fault, LoadError};
use crate::instance::engine::Wasi;
use crate::instance::linked::LinkedComponent;
use crate::instance::processors::PluginCpu;
use crate::instance::resources::SharedResources;
use crate::instance::store::{Grant, GuestState, OutsideWorld, StoreConfig, store};
use crate::instance::timed::call_with_limits;
use crate::limits::PluginPolicies;
use crate::load::manifest;
use crate::package::Package;

/// Memory that `describe` may use in any case, in bytes. Memories of JavaScript and Python begin large.
const MEMORY: usize = 64 << 20;
/// The limits of `describe`, whatever the plugin's own limits are: CPU time, time that it waits, and bytes of its log.
const CPU: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(2);
const LOG: usize = 64 << 10;
/// Bytes of the reasons with which a guest refuses to be loaded: enough for a line about each of 256 endpoints.
const REASON: usize = 32 << 10;
/// The name under which it prints, because its own may not be known yet.
const LOADING: &str = "(loading)";
/// Added to the reason of a component that saw no configuration, although there is some.
const UNKNOWN_NAME: &str = " (it was shown no configuration: the host looks for the table [plugin.NAME] whose `file` is \
    this file, or whose NAME is that of the file without `.wasm`)";

/// A component's description of itself.
#[derive(Clone)]
pub(crate) struct Description {
    pub(crate) info: PluginInfo,
    /// The configuration that it was shown. Empty if it does not import `wasi:config`.
    pub(crate) config: Vec<(String, String)>,
    /// Memory that the instance began with, in bytes.
    pub(crate) initial_memory: usize,
    /// Memory that the instance had at its end, in bytes.
    pub(crate) memory: usize,
}

/// Has a component describe itself with the configuration that belongs to its name.
///
/// The name is known only afterwards. So a component that reads its configuration is shown that of the name which is
/// expected of it, and describes itself anew if it has another name, which has another configuration.
pub(crate) async fn describe(
    resources: &SharedResources,
    wasi: Wasi,
    component: &LinkedComponent,
    expected: Option<&str>,
    policies: &PluginPolicies,
) -> Result<Description, LoadError> {
    let configuration = |name: &str| match policies.plugins.get(name) {
        Some(policy) if component.reads_config => policy.grants.config.as_slice(),
        _ => &[],
    };
    let shown = expected.map(configuration).unwrap_or_default();
    let first = ask(resources, wasi, component, shown, policies).await.map_err(|error| match error {
        LoadError::Describe(reason) if shown.is_empty() && component.reads_config && has_configuration(policies) => {
            LoadError::Describe(format!("{reason}{UNKNOWN_NAME}"))
        }
        error => error,
    })?;
    let own = configuration(&first.info.name);
    if own == shown {
        return Ok(first);
    }
    let second = ask(resources, wasi, component, own, policies).await?;
    if second.info.name == first.info.name {
        return Ok(second);
    }
    Err(LoadError::Describe(format!(
        "it calls itself {} with one configuration and {} with another: its name must not depend on `wasi:config`",
        first.info.name, second.info.name
    )))
}

fn has_configuration(policies: &PluginPolicies) -> bool {
    policies.plugins.values().any(|policy| !policy.grants.config.is_empty())
}

/// Checks that a package holds the manifest which its component describes.
///
/// A component is packed without a configuration, and may describe something else with that of its operator, who has
/// changed it on purpose. So a component that was shown a configuration is asked again without one.
pub(crate) async fn check_package(
    resources: &SharedResources,
    wasi: Wasi,
    component: &LinkedComponent,
    description: &Description,
    package: &Package,
    policies: &PluginPolicies,
) -> Result<(), LoadError> {
    let Err(difference) = package.check(&description.info) else { return Ok(()) };
    if !description.config.is_empty() {
        let plain = ask(resources, wasi, component, &[], policies).await?;
        if package.check(&plain.info).is_ok() {
            return Ok(());
        }
    }
    Err(LoadError::Invalid(difference.to_string()))
}

/// Calls `describe` with this configuration, and checks its result.
///
/// The plugin's name, and so its limits, may not be known. So the largest limit of memory that any plugin has is the
/// limit here, and [`Description::check_memory`] compares what was used.
async fn ask(
    resources: &SharedResources,
    wasi: Wasi,
    component: &LinkedComponent,
    config: &[(String, String)],
    policies: &PluginPolicies,
) -> Result<Description, LoadError> {
    let own = policies.plugins.values().filter_map(|policy| Some(policy.limits.as_ref()?.memory));
    let limit = own.fold(policies.limits.memory.max(MEMORY), usize::max);
    let store_config = StoreConfig {
        memory: limit,
        cpu: CPU,
        plugin_cpu: PluginCpu::new(resources.processors.clone()),
        log: LOG,
        plugin_log: resources.logs.of(LOADING, LOG),
        world: OutsideWorld::Fixed,
        receipt: None,
        permits: None,
        counted: None,
        grant: Grant::Question(Capabilities::configured(config)),
    };
    let weight = u32::try_from(component.weight).unwrap_or(u32::MAX);
    let _permits = resources.descriptions.acquire_many(weight).await;
    let (mut store, meter) = store(resources.engine(wasi), store_config);
    let call = async move {
        let instance = component.pre.instantiate_async(&mut store).await?;
        let initial_memory = store.data().used_memory();
        let guest = component.manifest.load(&mut store, &instance)?;
        let described = guest.call_describe::<&mut Store<GuestState>>(&mut store).await?;
        Ok((described, initial_memory, store.data().used_memory()))
    };
    let (described, initial_memory, memory) =
        call_with_limits(&meter, PATIENCE, call).await.map_err(|fault| explain(fault, limit))?;
    match described {
        Ok(info) => match manifest::check(info, component.quote.is_some()) {
            Ok(info) => Ok(Description { info, config: config.to_vec(), initial_memory, memory }),
            Err(problems) => Err(LoadError::Describe(problems.join("\n"))),
        },
        Err(reason) => {
            Err(LoadError::Describe(format!("it refuses to be loaded:{}", listed(&bounded(reason, REASON)))))
        }
    }
}

/// The reasons of a guest behind a colon: one on the same line, and several on lines of their own. These are indented, so
/// that none looks like a line of the host.
fn listed(reasons: &str) -> String {
    let lines: Vec<String> = reasons.lines().filter(|line| !line.trim().is_empty()).map(printable).collect();
    match &lines[..] {
        [only] => format!(" {only}"),
        several => several.iter().flat_map(|line| ["\n  ", line]).collect(),
    }
}

impl Description {
    /// Checks that the memory which it took fits the limit of its plugin.
    pub(crate) fn check_memory(&self, limit: usize) -> Result<(), LoadError> {
        if self.memory <= limit.max(MEMORY) {
            return Ok(());
        }
        Err(LoadError::Describe(format!(
            "`describe` used {} MiB of memory, and the plugin's limit is {} MiB: raise `memory` in [plugin.{}.limits]",
            self.memory.div_ceil(1 << 20),
            limit >> 20,
            self.info.name
        )))
    }
}

fn explain(fault: Fault, memory: usize) -> LoadError {
    let is_passing = matches!(fault, Fault::Busy);
    let reason = match fault {
        Fault::Cpu => format!("`describe` used more than {} ms of CPU time: compute nothing in it", CPU.as_millis()),
        Fault::Deadline => {
            format!("`describe` waited for more than {} ms: wait for nothing in it", PATIENCE.as_millis())
        }
        Fault::Memory => format!(
            "`describe` wanted more than {} MiB of memory: raise `memory` in [limits], or in [plugin.NAME.limits]",
            memory >> 20
        ),
        other => format!("`describe` failed: {other}"),
    };
    if is_passing { LoadError::Unavailable(reason) } else { LoadError::Describe(reason) }
}
