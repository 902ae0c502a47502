//! The runtime of a process, which loads plugins.

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::capabilities::egress::{Resolve, SystemResolver};
use crate::capabilities::keyvalue::KvStores;
use crate::fault::LoadError;
use crate::handle::Plugin;
use crate::headers::HostOnly;
use crate::instance::engine::{Wasi, fingerprint};
use crate::instance::resources::SharedResources;
use crate::limits::PluginPolicies;
use crate::load::{self, CompilePriority, ComponentCache};
use crate::output::GuestOutput;
use crate::pause::PausedPlugins;

/// The set-up of a [`Runtime`].
#[derive(Clone, Debug)]
pub struct RuntimeConfig {
    /// The directory of compiled components, created with mode 0700. Only this host may write there.
    pub artifacts: PathBuf,
    /// The directory of compiled functions, which components with the same code share. Created with mode 0700, and used
    /// by any number of hosts of this user. That of the artifacts is used where this one cannot be.
    pub functions: PathBuf,
    /// The directory of the plugins' key-value stores, created when the first of them is used.
    pub keyvalue: PathBuf,
    /// Running instances of all plugins together.
    pub instances: usize,
    /// The longest wait of a request for an instance, after which it fails with [`Fault::Busy`](crate::Fault::Busy).
    pub wait: Duration,
    /// The executable whose subcommand `compile` is [`compile_main`](crate::compile_main), normally this program's own.
    /// Without one, components are compiled on a thread of this process.
    pub compiler: Option<PathBuf>,
    /// The priority of compilations.
    pub priority: CompilePriority,
    /// Tells the header fields that only the host may write. Guests see none of them in a client's request.
    pub is_host_only: HostOnly,
    /// The plugins that are paused.
    pub paused: Arc<PausedPlugins>,
    /// The output of plugins.
    pub output: Arc<GuestOutput>,
}

impl RuntimeConfig {
    /// 256 instances, a second's wait, compilation in this process at the lowest priority, compiled functions among the
    /// artifacts, and the key-value stores beside them.
    pub fn new(artifacts: impl Into<PathBuf>, is_host_only: HostOnly) -> Self {
        let artifacts = artifacts.into();
        let keyvalue = artifacts.with_file_name("keyvalue");
        Self {
            functions: artifacts.clone(),
            artifacts,
            keyvalue,
            instances: 256,
            wait: Duration::from_secs(1),
            compiler: None,
            priority: CompilePriority::default(),
            is_host_only,
            paused: Arc::default(),
            output: Arc::default(),
        }
    }
}

/// Loads plugins, and holds what they share: one per process.
pub struct Runtime {
    pub(crate) resources: Arc<SharedResources>,
    components: ComponentCache,
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").field("free_instances", &self.resources.instances.free()).finish_non_exhaustive()
    }
}

impl Runtime {
    /// Builds both engines, and starts the thread that interrupts guests.
    ///
    /// Fails if the directory of artifacts cannot be made, or if others can write to it.
    pub fn new(config: RuntimeConfig) -> Result<Arc<Self>, io::Error> {
        Self::with_resolver(config, Arc::new(SystemResolver))
    }

    pub(crate) fn with_resolver(config: RuntimeConfig, resolver: Arc<dyn Resolve>) -> Result<Arc<Self>, io::Error> {
        let RuntimeConfig {
            artifacts,
            functions,
            keyvalue,
            instances,
            wait,
            compiler,
            priority,
            is_host_only,
            paused,
            output,
        } = config;
        let components = ComponentCache::open(&artifacts, &functions, compiler, priority)?;
        let stores = KvStores::new(keyvalue);
        let resources = SharedResources::new(instances, wait, stores, resolver, is_host_only, paused, output)?;
        Ok(Arc::new(Self { resources: Arc::new(resources), components }))
    }

    /// Loads a component from which no name is expected: see [`Runtime::load_expecting`].
    pub async fn load(&self, wasm: &[u8], policies: &PluginPolicies) -> Result<Plugin, LoadError> {
        self.load_expecting(None, wasm, policies).await
    }

    /// Validates, compiles (or finds the compiled artifact), links and describes a component. The name in its manifest
    /// selects its policy.
    ///
    /// `describe` sees the configuration of the name that is expected, and is called again if the name is another one
    /// with another configuration. So a component that refuses to be described without its configuration loads under
    /// its expected name only.
    pub async fn load_expecting(
        &self,
        name: Option<&str>,
        wasm: &[u8],
        policies: &PluginPolicies,
    ) -> Result<Plugin, LoadError> {
        let component = load::load(&self.resources, &self.components, wasm, name, policies).await?;
        Plugin::new(Arc::clone(&self.resources), component, policies)
    }

    /// True if the component with this SHA-256, in hex, is compiled already: loading it takes milliseconds.
    pub fn is_compiled(&self, sha256: &str) -> bool {
        self.fingerprints().iter().any(|fingerprint| self.components.has(sha256, fingerprint))
    }

    /// Removes compiled components that are not among these, by their SHA-256, but for those that were used lately: the
    /// next deployment may bring them back. Plugins that are loaded keep running. Takes as long as the disk does.
    pub fn forget_others(&self, named: &HashSet<String>) {
        self.components.forget_others(named, &self.fingerprints());
    }

    fn fingerprints(&self) -> [String; 2] {
        [Wasi::P2, Wasi::P3].map(|wasi| fingerprint(self.resources.engine(wasi)))
    }
}
