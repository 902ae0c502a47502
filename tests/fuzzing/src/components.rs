//! Component bytes: read, validated, compiled, linked and described, within small limits.

use std::mem::ManuallyDrop;
use std::sync::Arc;

use coinslot_plugin::{Limits, LoadError, Plugin, PluginPolicies, Runtime, RuntimeConfig, inspect, is_name};
use tempfile::TempDir;
use tokio::runtime;

/// The longest refusal, in bytes.
const REFUSAL: usize = 16 << 10;
/// The largest input, in bytes: the time of the compiler grows with it.
const MOST: usize = 16 << 10;

/// A runtime of plugins, one for each thread. The threads of the runtimes stay until the process ends.
struct Loader {
    plugins: ManuallyDrop<Arc<Runtime>>,
    tokio: ManuallyDrop<runtime::Runtime>,
    artifacts: TempDir,
}

thread_local! {
    static LOADER: Loader = Loader::new();
}

/// Loads a component, and checks that a refusal is a sentence and that what is loaded keeps the contract.
pub fn run(data: &[u8]) {
    if data.len() > MOST {
        return;
    }
    let inspected = inspect(data);
    LOADER.with(|loader| match loader.load(data) {
        Ok(plugin) => {
            let info = plugin.info();
            assert!(is_name(&info.name) && !info.endpoints.is_empty());
            let inspected = inspected.expect("a component that loads can be inspected");
            assert_eq!(inspected.refusal, None, "it was loaded");
            assert_eq!(inspected.sha256, plugin.sha256());
            assert_eq!(inspected.quotes, plugin.quotes());
        }
        Err(LoadError::Invalid(reason) | LoadError::Describe(reason) | LoadError::Unavailable(reason)) => {
            assert!(!reason.is_empty());
            reason.split('\n').for_each(|line| crate::assert_printable(line, REFUSAL));
        }
    });
}

impl Loader {
    fn new() -> Self {
        let artifacts = tempfile::tempdir().expect("a directory for temporary files");
        let tokio = runtime::Builder::new_current_thread().enable_all().build().expect("a thread");
        let mut config = RuntimeConfig::new(artifacts.path().join("artifacts"), |_| false);
        config.instances = 2;
        let plugins = Runtime::new(config).expect("a runtime");
        Self { plugins: ManuallyDrop::new(plugins), tokio: ManuallyDrop::new(tokio), artifacts }
    }

    fn load(&self, wasm: &[u8]) -> Result<Plugin, LoadError> {
        let limits = Limits { memory: 1 << 20, log: 1 << 10, log_rate: 1 << 10, instances: 1, ..Limits::default() };
        let loaded = self.tokio.block_on(self.plugins.load(wasm, &PluginPolicies::from(limits)));
        // Else the directory grows by a file for each input.
        for artifact in std::fs::read_dir(self.artifacts.path().join("artifacts")).into_iter().flatten().flatten() {
            let _ = std::fs::remove_file(artifact.path());
        }
        loaded
    }
}
