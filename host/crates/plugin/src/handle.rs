//! A loaded plugin, which answers requests.

mod policy;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use self::policy::{instances, resolve, sells};
use crate::breaker::{CircuitPermit, Circuits};
use crate::capabilities::Quota;
use crate::capabilities::keyvalue::KvGrant;
use crate::contract::{PluginInfo, QuoteRefusal, QuoteRequest, QuotedPrice, RequestBody, ResponseBody};
use crate::fault::{Circuit, Fault, LoadError};
use crate::instance::engine::Wasi;
use crate::instance::permits::{Demand, InstanceLimit, LimitTerms, LimitUsage, MemoryTerms, PermitRequest, PoolUsage};
use crate::instance::resources::SharedResources;
use crate::instance::{InstanceReuse, Instances};
use crate::invoke;
use crate::limits::{Limits, PluginPolicies};
use crate::load::{Description, LoadedComponent, describe};
use crate::permit::{Client, Permit};

/// A loaded component, ready to be instantiated. Cheap to clone.
#[derive(Clone)]
pub struct Plugin {
    pub(crate) loaded: Arc<LoadedPlugin>,
}

/// A build of a plugin under one policy.
pub(crate) struct LoadedPlugin {
    pub(crate) resources: Arc<SharedResources>,
    wasi: Wasi,
    description: Description,
    digest: String,
    pub(crate) circuits: Arc<Circuits>,
    pub(crate) instances: Arc<Instances>,
}

/// The instances, the memory and the processor time of a plugin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PluginUsage {
    /// Instances that run.
    pub instances: usize,
    /// Requests that wait for an instance.
    pub waiting: usize,
    /// Permits that the instances hold of those of all plugins.
    pub permits: usize,
    /// Permits of one instance, by the tables, memories and core instances of the component.
    pub permits_of_instance: usize,
    /// Memory of all instances, in bytes.
    pub memory: usize,
    /// Processor time of guests that have ended.
    pub cpu: Duration,
}

/// The use of a plugin's key-value store, and its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreUsage {
    /// The keys and bytes of keys and values that are kept. None: they cannot be read now.
    pub kept: Option<(u64, u64)>,
    pub quota: Quota,
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin")
            .field("name", &self.info().name)
            .field("version", &self.info().version)
            .field("sha256", &self.loaded.digest)
            .finish_non_exhaustive()
    }
}

impl Plugin {
    /// Puts a loaded component under the policy that belongs to its name.
    pub(crate) fn new(
        resources: Arc<SharedResources>,
        component: LoadedComponent,
        policies: &PluginPolicies,
    ) -> Result<Self, LoadError> {
        let LoadedComponent { wasi, linked, digest, description } = component;
        let info = &description.info;
        let (limits, capabilities) = resolve(&resources, &info.name, &linked, policies)?;
        description.check_memory(limits.memory)?;
        let plugin: Arc<str> = info.name.as_str().into();
        let circuits = Circuits::new(&plugin, limits.breaker, resources.paused.flag(&plugin));
        let terms = LimitTerms {
            plugin: Arc::clone(&plugin),
            most: limits.instances,
            weight: linked.weight,
            sells: sells(info, linked.quote.is_some(), policies),
            memory: MemoryTerms::new(&limits, description.initial_memory, linked.data),
        };
        let permits = InstanceLimit::new(&resources.instances, terms);
        let instances = instances(&resources, wasi, plugin, Arc::new(linked), limits, capabilities, permits);
        Ok(Self { loaded: Arc::new(LoadedPlugin { resources, wasi, description, digest, circuits, instances }) })
    }

    /// The same component under another policy. It is not compiled again, and described again only if it reads its
    /// configuration and that has changed. Requests that run keep the policy under which they began. The permits and
    /// the circuits stay the same if nothing that they depend on changes.
    pub async fn with_policies(&self, policies: &PluginPolicies) -> Result<Self, LoadError> {
        self.described_as(self.describe_anew(policies).await?, policies)
    }

    /// The same component under another policy, but with the configuration and the description that it has. It is not
    /// asked, so it cannot refuse.
    pub fn with_policies_but_configuration(&self, policies: &PluginPolicies) -> Result<Self, LoadError> {
        let (mut policies, description) = (policies.clone(), self.loaded.description.clone());
        let own = policies.plugins.entry(description.info.name.clone()).or_default();
        own.grants.config.clone_from(&description.config);
        self.described_as(description, &policies)
    }

    /// The same component with this description, which it gave under these policies.
    fn described_as(&self, description: Description, policies: &PluginPolicies) -> Result<Self, LoadError> {
        let old = &*self.loaded;
        let spec = &old.instances.spec;
        let (limits, capabilities) = resolve(&old.resources, &self.info().name, &spec.component, policies)?;
        description.check_memory(limits.memory)?;
        let memory = MemoryTerms::new(&limits, description.initial_memory, spec.component.data);
        let sells = sells(&description.info, spec.component.quote.is_some(), policies);
        let permits = spec.permits.under(limits.instances, sells, memory);
        let circuits = if limits.breaker == spec.limits.breaker {
            Arc::clone(&old.circuits)
        } else {
            Circuits::new(&spec.plugin, limits.breaker, old.resources.paused.flag(&spec.plugin))
        };
        let (plugin, component) = (Arc::clone(&spec.plugin), Arc::clone(&spec.component));
        let instances = instances(&old.resources, old.wasi, plugin, component, limits, capabilities, permits);
        let loaded = LoadedPlugin {
            resources: Arc::clone(&old.resources),
            wasi: old.wasi,
            description,
            digest: old.digest.clone(),
            circuits,
            instances,
        };
        Ok(Self { loaded: Arc::new(loaded) })
    }

    /// The description under these policies: the present one, unless the configuration that it depends on has changed.
    async fn describe_anew(&self, policies: &PluginPolicies) -> Result<Description, LoadError> {
        let LoadedPlugin { resources, wasi, description, instances, .. } = &*self.loaded;
        let (name, component) = (&description.info.name, &instances.spec.component);
        let config = policies.plugins.get(name).map(|policy| policy.grants.config.as_slice());
        if !component.reads_config || config.unwrap_or_default() == description.config {
            return Ok(description.clone());
        }
        let changed = describe(resources, *wasi, component, Some(name), policies).await?;
        if changed.info.name != *name {
            return Err(LoadError::Describe(format!(
                "it calls itself {} with its new configuration: its name must not depend on `wasi:config`",
                changed.info.name
            )));
        }
        Ok(changed)
    }

    /// The plugin's own description, with its present configuration.
    pub fn info(&self) -> &PluginInfo {
        &self.loaded.description.info
    }

    /// The SHA-256 of its component, in hex: it distinguishes two builds of one plugin.
    pub fn sha256(&self) -> &str {
        &self.loaded.digest
    }

    /// Its limits.
    pub fn limits(&self) -> &Limits {
        &self.loaded.instances.spec.limits
    }

    /// Its grants, a line for each, without the values of secrets and of its configuration.
    pub fn grants(&self) -> &[String] {
        &self.loaded.instances.spec.capabilities.shown
    }

    /// Reads the use of the plugin now, of all its builds together, and the processor time that this build has used.
    pub fn usage(&self) -> PluginUsage {
        let spec = &self.loaded.instances.spec;
        let LimitUsage { instances, waiting, permits, memory } = spec.permits.usage();
        let cpu = Duration::from_nanos(spec.plugin_cpu.ended.load(Relaxed));
        PluginUsage { instances, waiting, permits, permits_of_instance: spec.permits.weight(), memory, cpu }
    }

    /// Reads the use of its key-value store from the disk, which may take a while. None: it may keep nothing.
    pub fn store_usage(&self) -> Option<StoreUsage> {
        let KvGrant { store, quota } = self.loaded.instances.spec.capabilities.keyvalue.as_ref()?;
        let kept = store.used().inspect_err(
            |error| tracing::debug!(plugin = %self.info().name, %error, "the use of a store cannot be read"),
        );
        Some(StoreUsage { kept: kept.ok(), quota: *quota })
    }

    /// Reads the use of the permits by all plugins together.
    pub fn pool(&self) -> PoolUsage {
        self.loaded.resources.instances.all()
    }

    /// True if it exports `quote`.
    pub fn quotes(&self) -> bool {
        self.loaded.instances.spec.component.quote.is_some()
    }

    /// True if any of its endpoints is sold.
    pub fn sells(&self) -> bool {
        self.loaded.instances.spec.permits.sells()
    }

    /// The state of the circuit by which the build is judged: that of paid calls if it sells something, because anybody
    /// can have unpaid calls fail, and else that of unpaid calls. The circuits of a new build are closed.
    pub fn circuit(&self) -> Circuit {
        if self.sells() { self.paid_circuit() } else { self.unpaid_circuit() }
    }

    /// The state of the circuit of paid calls. While it is open, nothing is sold.
    pub fn paid_circuit(&self) -> Circuit {
        self.loaded.circuits.paid()
    }

    /// The state of the circuit of unpaid calls.
    pub fn unpaid_circuit(&self) -> Circuit {
        self.loaded.circuits.unpaid()
    }

    /// True for the circuits of paid and of unpaid calls that are closed. One that has opened is not closed again before a
    /// call succeeds, however long its pause has been over.
    pub fn circuits_closed(&self) -> (bool, bool) {
        self.loaded.circuits.are_closed()
    }

    /// The state of the circuits that a paid call of this payer meets: that of paid calls, and its own.
    pub fn circuit_of_payer(&self, payer: &str) -> Circuit {
        self.loaded.circuits.of_payer(payer)
    }

    /// Takes a permit of the circuits for a call of this payer, whose payment is verified, before anything is taken for
    /// the request. Fails with [`Fault::CircuitOpen`] or [`Fault::Paused`].
    pub fn admit(&self, payer: &str) -> Result<CircuitPermit, Fault> {
        self.loaded.circuits.admit(Some(payer))
    }

    /// Takes a permit for a paid run that has failed before and is repeated: its failure does not count, and it is the
    /// trial of an open circuit only if no other run has been for a while after the pause. Fails with
    /// [`Fault::CircuitOpen`] or [`Fault::Paused`].
    pub fn admit_repeated(&self, payer: &str) -> Result<CircuitPermit, Fault> {
        self.loaded.circuits.admit_repeated(payer)
    }

    /// Returns at once whether a paid request that comes soon will find an instance in time, as far as can be told from
    /// those that wait now. Fails with [`Fault::Busy`].
    pub fn check_room(&self) -> Result<(), Fault> {
        let Instances { spec, reuse } = &*self.loaded.instances;
        let room = match reuse {
            InstanceReuse::Shared(shared) => shared.room(spec),
            InstanceReuse::Never | InstanceReuse::Pooled(_) => spec.permits.room(Demand::Paid),
        };
        if !spec.fullness.look(room, Instant::now()) {
            return Ok(());
        }
        spec.fullness.refused(&spec.plugin);
        Err(Fault::Busy)
    }

    /// Waits until a paid request has room, at most [`RuntimeConfig::wait`](crate::RuntimeConfig::wait), and not at all
    /// where that would be for nothing. It reserves nothing. Its turn is that of its client.
    pub async fn await_room(&self, client: Client) -> Result<(), Fault> {
        self.check_room()?;
        let Instances { spec, reuse } = &*self.loaded.instances;
        let came = Instant::now();
        let found = match reuse {
            InstanceReuse::Shared(shared) => shared.await_room(spec, client, spec.wait).await,
            InstanceReuse::Never | InstanceReuse::Pooled(_) => {
                let request = PermitRequest { demand: Demand::Paid, client };
                spec.permits.acquire(request, spec.wait).await.map(drop)
            }
        };
        match &found {
            Ok(()) => spec.fullness.served(came),
            Err(_) => spec.fullness.refused(&spec.plugin),
        }
        found
    }

    /// Answers one request. The future and the body drive the guest; dropping either stops it. The end of the body
    /// means that the guest has ended without a fault.
    ///
    /// A shared instance drives itself instead. Dropping the future or the body then gives up this request, and retires
    /// the instance when its other requests have ended; and the end of the body means that the guest is drained,
    /// without a fault.
    ///
    /// The response carries [`MeteredAmount`](crate::MeteredAmount) as an extension.
    pub async fn invoke(
        &self,
        permit: Permit,
        request: http::Request<RequestBody>,
    ) -> Result<http::Response<ResponseBody>, Fault> {
        invoke::invoke(&self.loaded.instances, &self.loaded.circuits, permit, request).await
    }

    /// Asks the price of one request, within 50 ms of CPU time.
    pub async fn quote(
        &self,
        client: Client,
        request: QuoteRequest,
    ) -> Result<Result<QuotedPrice, QuoteRefusal>, Fault> {
        let spec = &self.loaded.instances.spec;
        let quoted = invoke::quote(spec, client, request).await;
        if quoted == Err(Fault::Busy) {
            spec.fullness.refused(&spec.plugin);
        }
        quoted
    }
}
