//! Holds the embedded engine, and compiles it for this machine.

use std::path::Path;

use coinslot_base::private::PrivateFolder;
use sha2::{Digest, Sha256};
use wasmtime::component::Component;
use wasmtime::{Config, Engine};
use wasmtime_wizer::{ComponentContext, Wizer};

use crate::BuildError;

/// QuickJS with the bindings of the contract: see `build.rs`.
const ENGINE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/engine.wasm"));
/// The script with which the engine begins.
pub(super) const BINDINGS: &str = include_str!(concat!(env!("OUT_DIR"), "/bindings.js"));
/// The module loader of a component that is built: it has none.
const NO_LOADER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/loader.wasm"));

/// The engine, compiled, with what a snapshot of it needs.
pub(super) struct CompiledEngine {
    pub(super) engine: Engine,
    pub(super) component: Component,
    pub(super) wizer: Wizer,
    pub(super) context: ComponentContext<'static>,
}

impl CompiledEngine {
    /// Compiles the engine, or takes the compiled one from the cache.
    pub(super) fn load(cache: Option<&Path>) -> Result<Self, BuildError> {
        let mut config = Config::new();
        config.wasm_component_model(true).wasm_component_model_async(true).wasm_component_model_map(true);
        config.epoch_interruption(true);
        let engine = Engine::new(&config)?;
        let wizer = Wizer::new();
        let (context, instrumented) = wizer.instrument_component(ENGINE)?;
        let component = match cache {
            Some(folder) => cached(&engine, &instrumented, folder)?,
            None => Component::new(&engine, &instrumented)?,
        };
        Ok(Self { engine, component, wizer, context })
    }
}

/// The compiled engine of the cache. It is compiled anew if it is not there, or is of another version.
fn cached(engine: &Engine, instrumented: &[u8], folder: &Path) -> Result<Component, BuildError> {
    let mut hash = Sha256::new_with_prefix(instrumented);
    hash.update(env!("CARGO_PKG_VERSION"));
    let folder = match PrivateFolder::open(folder) {
        Ok(folder) => folder,
        Err(error) => {
            // A cache that cannot be used costs time, and nothing else.
            tracing::warn!(%error, "each build compiles the engine anew, because the compiled one cannot be kept");
            return Ok(Component::new(engine, instrumented)?);
        }
    };
    let file = folder.path().join(format!("quickjs-{}.cwasm", &hex::encode(hash.finalize())[..16]));
    let metadata = std::fs::symlink_metadata(&file);
    if metadata.is_ok_and(|metadata| metadata.is_file() && folder.owns(&file, &metadata, 0o600)) {
        // SAFETY: only this user can write to the folder and to the file, and this program wrote it.
        #[allow(unsafe_code, reason = "compiled code is trusted as this program is")]
        let found = unsafe { Component::deserialize_file(engine, &file) };
        if let Ok(component) = found {
            return Ok(component);
        }
    }
    let component = Component::new(engine, instrumented)?;
    if let Err(error) = coinslot_base::file::replace(&file, 0o600, &component.serialize()?) {
        tracing::debug!(file = %folder.shown(&file).display(), %error, "the compiled engine is not kept");
    }
    Ok(component)
}

/// The component without the import of its module loader: no module is loaded once it is built.
pub(super) fn without_loader(component: &[u8]) -> Result<Vec<u8>, BuildError> {
    let failed = |error: String| BuildError::Engine(error);
    let folder = tempfile::tempdir().map_err(|error| failed(error.to_string()))?;
    let (plugin, loader) = (folder.path().join("plugin.wasm"), folder.path().join("loader.wasm"));
    std::fs::write(&plugin, component).map_err(BuildError::file(&plugin))?;
    std::fs::write(&loader, NO_LOADER).map_err(BuildError::file(&loader))?;
    let config = wasm_compose::config::Config {
        dir: folder.path().to_owned(),
        definitions: vec!["loader.wasm".into()],
        ..Default::default()
    };
    wasm_compose::composer::ComponentComposer::new(&plugin, &config)
        .compose()
        .map_err(|error| failed(format!("{error:#}")))
}
