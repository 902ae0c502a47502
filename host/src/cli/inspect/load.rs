//! Loads a component as a host would, so that it describes itself.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;

#[cfg(feature = "dev")]
use coinslot_plugin::{Capability, inspect};
use coinslot_plugin::{
    CompilePriority, Grants, LoadError, PluginInfo, PluginPolicies, PluginPolicy, Runtime, RuntimeConfig,
};
use sha2::{Digest, Sha256};

use super::file_name;
#[cfg(feature = "dev")]
use crate::catalog::{InstallError, unenforced_schemas};
use crate::catalog::{expected_name, shown_policies};
use crate::cli::{compiled_cache, own_executable};
use crate::config::{Config, PluginConfig};
use crate::respond::is_host_only;

/// Has the component of this file describe itself, with its configuration, if it fits its pins, and no other grant.
pub(in crate::cli) async fn describe(
    file: &Path,
    config: Option<&Path>,
    wasm: &[u8],
    plugins: &BTreeMap<String, PluginConfig>,
) -> Result<PluginInfo, String> {
    load(file, config, wasm, plugins).await.map_err(|error| error.to_string())
}

/// Loads a component that was just built as a host would, without a configuration. Returns a warning to its author, if
/// there is one, and fails with the reason for which no host loads it, as [`run`](super::run) does.
#[cfg(feature = "dev")]
pub(in crate::cli) async fn check_built(file: &Path, wasm: &[u8]) -> Result<Option<String>, String> {
    let inspection = inspect(wasm).map_err(|error| error.to_string())?;
    if let Some(reason) = inspection.refusal {
        return Err(reason);
    }
    let is_configured = inspection.asks.iter().any(|ask| ask.capability == Capability::Configuration);
    let info = match load(file, None, wasm, &BTreeMap::new()).await {
        Ok(info) => info,
        Err(LoadError::Unavailable(reason)) => return Ok(Some(format!("it could not be tried: {reason}"))),
        // A configuration that only its operators have may be what it misses.
        Err(LoadError::Describe(reason)) if is_configured => {
            return Ok(Some(format!("without a configuration no host loads it: {reason}")));
        }
        Err(error) => return Err(error.to_string()),
    };
    if let Some(error) = InstallError::of_price(&info.endpoints) {
        return Err(error.to_string());
    }
    if let Some(error) = InstallError::of_metered(&info.endpoints) {
        return Ok(Some(error.to_string()));
    }
    unenforced_schemas(&info.endpoints).map(|_| None).map_err(|error| error.to_string())
}

async fn load(
    file: &Path,
    config: Option<&Path>,
    wasm: &[u8],
    plugins: &BTreeMap<String, PluginConfig>,
) -> Result<PluginInfo, LoadError> {
    let configured = plugins.iter().map(|(name, own)| {
        let grants = Grants { config: own.config.clone(), ..Grants::default() };
        (name.clone(), PluginPolicy { grants, ..PluginPolicy::default() })
    });
    let policies = PluginPolicies { plugins: configured.collect(), ..PluginPolicies::default() };
    let (file, digest) = (file_name(file), hex::encode(Sha256::digest(wasm)));
    let expected = expected_name(&file, None, plugins.iter().map(|(name, own)| (name, &own.pins)));
    let pins = plugins.iter().map(|(name, own)| (name.clone(), own.pins.clone())).collect();
    let shown = shown_policies(&policies, &pins, &file, &digest);
    let (runtime, place) = runtime(config).map_err(LoadError::Unavailable)?;
    let plugin = runtime.load_expecting(expected, wasm, &shown).await?;
    if matches!(place, ArtifactPlace::UserCache) {
        runtime.forget_others(&HashSet::from([digest]));
    }
    Ok(plugin.info().clone())
}

/// The place of the compiled component.
enum ArtifactPlace {
    /// The state of the host of a configuration, which forgets what it does not need.
    HostState,
    /// This user's cache.
    UserCache,
    /// A folder that is removed afterwards.
    Temporary(#[expect(dead_code, reason = "dropping it removes it")] tempfile::TempDir),
}

/// A runtime for one component, which keeps what it compiles where a host of this configuration looks for it, if that
/// host has run and is this user's. Otherwise it keeps it in this user's cache, if there is one.
fn runtime(config: Option<&Path>) -> Result<(Arc<Runtime>, ArtifactPlace), String> {
    let open = |artifacts: &Path| {
        Runtime::new(RuntimeConfig {
            instances: 1,
            compiler: own_executable(),
            priority: CompilePriority::Normal,
            ..RuntimeConfig::new(artifacts, is_host_only)
        })
    };
    let of_host = config.and_then(|file| Config::read_artifacts(file).ok()).filter(|artifacts| artifacts.is_dir());
    if let Some(runtime) = of_host.and_then(|artifacts| open(&artifacts).ok()) {
        return Ok((runtime, ArtifactPlace::HostState));
    }
    if let Some(runtime) = compiled_cache().and_then(|cache| open(&cache).ok()) {
        return Ok((runtime, ArtifactPlace::UserCache));
    }
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let runtime = open(folder.path()).map_err(|error| error.to_string())?;
    Ok((runtime, ArtifactPlace::Temporary(folder)))
}
