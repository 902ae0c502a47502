//! Running untrusted components within limits: engines, bindings, stores, faults.
//!
//! This room does not know that money exists. It is told what a receipt says and hands it to the
//! guest; it reads what a guest declares and returns the words as they are. A guest runs only with
//! a [`Permit`], which is granted in exactly two places: for a free route, and for a reserved payment.

mod bindings;
mod breaker;
mod capabilities;
mod contract;
mod fault;
mod instance;
mod invoke;
mod limits;
mod load;
mod status;
mod template;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use tokio::sync::Semaphore;
use wasmtime::Engine;
use wasmtime::component::Linker;

use self::breaker::Health;
use self::capabilities::config::Capabilities;
use self::capabilities::egress::{Resolve, SystemResolver};
use self::capabilities::keyvalue::KvStores;
use self::instance::engine::Wasi;
use self::instance::meter::GuestMeter;
use self::instance::pool::InstancePool;
use self::instance::store::GuestState;
use self::instance::{engine, shared::SharedInstances};
use self::load::artifact::Artifacts;
use self::load::link::{self, LinkedComponent};

pub use self::breaker::{BreakerPermit, BreakerSettings};
pub use self::capabilities::config::{Grants, Quota, Secret, SecretError};
pub use self::capabilities::egress::{Allowed, Origin};
pub use self::contract::{DeclaredPrice, EndpointInfo, PaymentReceipt, PluginInfo, QuoteRefusal, QuoteRequest};
pub use self::fault::{Circuit, Fault, LoadError};
pub use self::instance::pool::Reuse;
pub use self::limits::{Limits, PluginPolicies, PluginPolicy};
pub use self::load::compile::compile_main;
pub use self::load::inspect::{Ask, Capability, Import, Inspection, Tool, inspect};
pub use self::load::manifest::is_name;
pub use self::status::Verdict;
pub use self::template::{Segment, Template, TemplateError, split_segment};

/// A request body on its way into a guest.
pub type RequestBody = UnsyncBoxBody<Bytes, RequestBodyError>;
/// A response body on its way out of a guest: polling it drives the guest.
pub type ResponseBody = UnsyncBoxBody<Bytes, Fault>;
/// Why a request body ended early.
pub type RequestBodyError = Box<dyn std::error::Error + Send + Sync>;

/// Leave to run a guest once. Not `Clone`: one grant, one run.
#[derive(Debug)]
#[must_use]
pub struct Permit {
    receipt: Option<PaymentReceipt>,
    admission: Option<BreakerPermit>,
    patient: bool,
}

impl Permit {
    /// Grants leave. Call sites are counted by a test: one for free routes, one for reserved payments.
    pub fn grant(receipt: Option<PaymentReceipt>) -> Self {
        Self { receipt, admission: None, patient: false }
    }

    /// With an admission that was granted before. Without one the plugin's health is looked at when it runs.
    pub fn with_breaker_permit(self, admission: Option<BreakerPermit>) -> Self {
        Self { admission, ..self }
    }

    /// Waits for a place for as long as an answer may take to begin: it cannot come again another time.
    pub fn wait_for_instance(self) -> Self {
        Self { patient: true, ..self }
    }
}

/// What the plugin said through `usage.charge`: an extension of its response.
///
/// The last word counts, and a guest may speak until its body has ended, so ask then.
#[derive(Clone, Debug)]
pub struct MeteredAmount(Arc<GuestMeter>);

impl MeteredAmount {
    /// The amount as written, in the notation of `manifest.amount`; none if nothing was charged.
    pub fn amount(&self) -> Option<String> {
        self.0.charged()
    }
}

/// How a [`Runtime`] is set up.
#[derive(Clone, Debug)]
pub struct RuntimeConfig {
    /// The directory of compiled components, created with mode 0700; nothing but this host may
    /// write there.
    pub artifacts: PathBuf,
    /// The directory of what plugins keep by `wasi:keyvalue`, created when one of them does.
    pub keyvalue: PathBuf,
    /// Guests at once, of all plugins together.
    pub instances: usize,
    /// How long a request may wait for a place among them before it is [`Fault::Busy`].
    pub wait: Duration,
    /// The executable whose subcommand `compile` is [`compile_main`]: normally our own. Without one
    /// components are compiled on a thread of this process.
    pub compiler: Option<PathBuf>,
}

impl RuntimeConfig {
    /// 256 guests at once, a second's wait, compiled in this process, and what plugins keep beside the
    /// artifacts.
    pub fn new(artifacts: impl Into<PathBuf>) -> Self {
        let artifacts = artifacts.into();
        let keyvalue = artifacts.with_file_name("keyvalue");
        Self { artifacts, keyvalue, instances: 256, wait: Duration::from_secs(1), compiler: None }
    }
}

/// Engines, linkers and the pool: one per process.
pub struct Runtime {
    p2: (Engine, Linker<GuestState>),
    p3: (Engine, Linker<GuestState>),
    artifacts: Artifacts,
    compiler: Option<PathBuf>,
    /// A place is held while a component is compiled.
    compilers: Semaphore,
    places: Arc<Semaphore>,
    /// Of instances that wait for another request.
    spares: Arc<Semaphore>,
    /// For guests that compute for long.
    turns: Arc<Semaphore>,
    wait: Duration,
    resolver: Arc<dyn Resolve>,
    shelves: KvStores,
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime")
            .field("artifacts", &self.artifacts)
            .field("places", &self.places.available_permits())
            .finish_non_exhaustive()
    }
}

/// A loaded component, ready to be instantiated. Cheap to clone.
#[derive(Clone)]
pub struct Plugin {
    inner: Arc<Inner>,
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin")
            .field("name", &self.inner.info.name)
            .field("version", &self.inner.info.version)
            .field("sha256", &self.inner.digest)
            .finish_non_exhaustive()
    }
}

struct Inner {
    runtime: Arc<Runtime>,
    wasi: Wasi,
    linked: Arc<LinkedComponent>,
    info: PluginInfo,
    name: Arc<str>,
    digest: String,
    limits: Limits,
    granted: Arc<Capabilities>,
    places: Arc<Semaphore>,
    health: Arc<Health>,
    /// None: no instance waits for a request.
    spares: Option<Arc<InstancePool>>,
    /// None: no instance has several requests at once.
    benches: Option<Arc<SharedInstances>>,
}

impl Runtime {
    /// Builds both engines and starts the thread that interrupts guests.
    ///
    /// Fails if the artifacts' directory cannot be made or is writable by others.
    pub fn new(config: RuntimeConfig) -> Result<Arc<Self>, io::Error> {
        Self::with_resolver(config, Arc::new(SystemResolver))
    }

    fn with_resolver(config: RuntimeConfig, resolver: Arc<dyn Resolve>) -> Result<Arc<Self>, io::Error> {
        let artifacts = Artifacts::open(&config.artifacts)?;
        // Loading and reloading happen beside full load, so the pools are larger than the places.
        let spares = config.instances / 4 + 1;
        let slots = config.instances + config.instances / 4 + 4 + spares;
        let slots = u32::try_from(slots).unwrap_or(u32::MAX);
        let engine = |wasi| {
            let engine = engine::runner(wasi, slots)?;
            let linker = link::linker(&engine, wasi)?;
            Ok((engine, linker))
        };
        let engine = |wasi| engine(wasi).map_err(|error: wasmtime::Error| io::Error::other(format!("{error:#}")));
        let (p2, p3) = (engine(Wasi::P2)?, engine(Wasi::P3)?);
        engine::start_ticker(&[&p2.0, &p3.0])?;
        Ok(Arc::new(Self {
            p2,
            p3,
            artifacts,
            compiler: config.compiler,
            compilers: Semaphore::new(load::compile::at_once()),
            places: Arc::new(Semaphore::new(config.instances)),
            spares: Arc::new(Semaphore::new(spares)),
            turns: Arc::new(Semaphore::new(std::thread::available_parallelism().map_or(1, usize::from))),
            wait: config.wait,
            resolver,
            shelves: KvStores::new(config.keyvalue),
        }))
    }

    /// Validates, compiles (or finds the compiled artifact), pre-instantiates and describes.
    ///
    /// The name that it gives itself decides which of the terms are its own.
    pub async fn load(self: &Arc<Self>, wasm: &[u8], terms: &PluginPolicies) -> Result<Plugin, LoadError> {
        load::load(self, wasm, terms).await
    }

    fn spares(&self, limits: &Limits) -> Option<Arc<InstancePool>> {
        let reuse = limits.reuse.filter(|reuse| reuse.concurrent == 1)?;
        Some(InstancePool::new(reuse, limits.memory, Arc::clone(&self.spares)))
    }

    fn benches(&self, limits: &Limits) -> Option<Arc<SharedInstances>> {
        let reuse = limits.reuse.filter(|reuse| reuse.concurrent > 1)?;
        Some(SharedInstances::new(reuse, Arc::clone(&self.spares)))
    }

    fn engine(&self, wasi: Wasi) -> &Engine {
        match wasi {
            Wasi::P2 => &self.p2.0,
            Wasi::P3 => &self.p3.0,
        }
    }

    fn linker(&self, wasi: Wasi) -> &Linker<GuestState> {
        match wasi {
            Wasi::P2 => &self.p2.1,
            Wasi::P3 => &self.p3.1,
        }
    }
}

impl Plugin {
    fn new(
        runtime: Arc<Runtime>,
        wasi: Wasi,
        linked: LinkedComponent,
        info: PluginInfo,
        digest: String,
        limits: Limits,
        granted: Arc<Capabilities>,
    ) -> Self {
        let name: Arc<str> = info.name.as_str().into();
        let places = Arc::new(Semaphore::new(limits.instances));
        let health = Health::new(Arc::clone(&name), limits.patience);
        let linked = Arc::new(linked);
        let (spares, benches) = (runtime.spares(&limits), runtime.benches(&limits));
        let inner =
            Inner { runtime, wasi, linked, info, name, digest, limits, granted, places, health, spares, benches };
        Self { inner: Arc::new(inner) }
    }

    /// The same component under other terms: nothing is compiled, and `describe` is not asked again. Requests
    /// that run keep the terms of their beginning. What is not changed by the terms goes on: its places and its
    /// health.
    pub fn with_policies(&self, terms: &PluginPolicies) -> Result<Self, LoadError> {
        let old = &*self.inner;
        let (limits, granted) = load::own(&old.runtime, &old.info.name, &old.linked, terms)?;
        let places = if limits.instances == old.limits.instances {
            Arc::clone(&old.places)
        } else {
            Arc::new(Semaphore::new(limits.instances))
        };
        let health = if limits.patience == old.limits.patience {
            Arc::clone(&old.health)
        } else {
            Health::new(Arc::clone(&old.name), limits.patience)
        };
        let inner = Inner {
            runtime: Arc::clone(&old.runtime),
            wasi: old.wasi,
            linked: Arc::clone(&old.linked),
            info: old.info.clone(),
            name: Arc::clone(&old.name),
            digest: old.digest.clone(),
            spares: old.runtime.spares(&limits),
            benches: old.runtime.benches(&limits),
            limits,
            granted,
            places,
            health,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// What it declared at load.
    pub fn info(&self) -> &PluginInfo {
        &self.inner.info
    }

    /// The SHA-256 of its component, in hex: what distinguishes two builds of one plugin.
    pub fn sha256(&self) -> &str {
        &self.inner.digest
    }

    /// What it is bounded by.
    pub fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    /// Whether it exports `quote`.
    pub fn quotes(&self) -> bool {
        self.inner.linked.quote.is_some()
    }

    /// Whether it is asked now. A build that takes its place begins well.
    pub fn circuit(&self) -> Circuit {
        self.inner.health.circuit()
    }

    /// Leave to run it, before anything is taken for that: [`Fault::CircuitOpen`] while it is left alone.
    pub fn admit(&self) -> Result<BreakerPermit, Fault> {
        self.inner.health.admit()
    }

    /// Whether there is room for another request now, or in a moment. Takes none.
    pub async fn has_room(&self) -> Result<(), Fault> {
        let wait = self.inner.runtime.wait;
        match &self.inner.benches {
            Some(benches) => benches.have_room(&self.inner, wait).await,
            None => self.inner.place(wait).await.map(drop),
        }
    }

    /// Answers one request. The future and the body drive the guest; dropping either stops it. The body's end
    /// means that the guest has ended without a fault.
    ///
    /// Where the terms let several requests into one instance, that runs by itself. Then dropping either gives up
    /// this request, and the instance when the others in it have ended; and the body's end means that the guest has
    /// come to rest without a fault.
    ///
    /// The response carries [`MeteredAmount`] as an extension.
    pub async fn invoke(
        &self,
        permit: Permit,
        request: http::Request<RequestBody>,
    ) -> Result<http::Response<ResponseBody>, Fault> {
        invoke::invoke(&self.inner, permit, request).await
    }

    /// Asks the price of one request, within 50 ms of CPU time.
    pub async fn quote(&self, request: QuoteRequest) -> Result<Result<String, QuoteRefusal>, Fault> {
        invoke::quote::ask(&self.inner, request).await
    }
}

impl Inner {
    fn engine(&self) -> &Engine {
        self.runtime.engine(self.wasi)
    }

    /// Takes a place of the plugin's and one of all, waiting for at most so long.
    async fn place(&self, wait: Duration) -> Result<invoke::InstancePermits, Fault> {
        if let Some(slots) = self.free_place() {
            return Ok(slots);
        }
        tokio::time::timeout(wait, self.next_place()).await.ok().flatten().ok_or(Fault::Busy)
    }

    /// One that is free now.
    fn free_place(&self) -> Option<invoke::InstancePermits> {
        let own = self.places.clone().try_acquire_owned().ok()?;
        let shared = self.runtime.places.clone().try_acquire_owned().ok()?;
        Some((own, shared))
    }

    /// The next that will be free.
    async fn next_place(&self) -> Option<invoke::InstancePermits> {
        let own = self.places.clone().acquire_owned().await.ok()?;
        let shared = self.runtime.places.clone().acquire_owned().await.ok()?;
        Some((own, shared))
    }
}
