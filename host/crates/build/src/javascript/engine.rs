//! Holds the embedded engine, and compiles it for this machine.

use std::path::Path;

use coinslot_base::private::{PrivateFolder, is_written_by_us_only};
use coinslot_base::seal::{MAC, Seal};
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

/// The stack of an evaluation, in bytes. Modules of CommonJS that require one another in a chain are on it at once.
const STACK: usize = 8 << 20;
/// The most bytes of the compiled engine that are read. It has some ten million.
const MOST: u64 = 256 << 20;

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
        // The host's code is on the same stack.
        config.max_wasm_stack(STACK).async_stack_size(STACK + (2 << 20));
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

/// The compiled engine of the cache. It is compiled anew if it is not there, is of another version, or is not as this
/// program left it there: it is native code, so a damaged file would crash this program, and one that came along with
/// the folder would run in its place. Its [`Seal`] tells.
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
    let name = format!("quickjs-{}.cwasm", &hex::encode(hash.finalize())[..16]);
    let seal = Seal::of(folder.path(), folder.name());
    let kept = seal.as_ref().ok().and_then(|seal| kept(engine, &folder, seal, &name));
    if let Some(component) = kept {
        return Ok(component);
    }
    let component = Component::new(engine, instrumented)?;
    let mut bytes = component.serialize()?;
    let written = seal.and_then(|seal| {
        bytes.extend(seal.mac(&name, &bytes));
        coinslot_base::file::replace(&folder.path().join(&name), 0o600, &bytes)
    });
    if let Err(error) = written {
        tracing::debug!(file = %folder.name().join(&name).display(), %error, "the compiled engine is not kept");
    }
    Ok(component)
}

/// The compiled engine in this file, if only this program can have written it.
fn kept(engine: &Engine, folder: &PrivateFolder, seal: &Seal, name: &str) -> Option<Component> {
    let file = folder.path().join(name);
    let metadata = std::fs::symlink_metadata(&file).ok()?;
    if !metadata.is_file() || !is_written_by_us_only(&metadata) {
        return None;
    }
    let sealed = coinslot_base::file::read_regular(&file, MOST + MAC as u64).ok()?;
    let code = seal.open(name, sealed)?;
    // SAFETY: the seal proves that this program's compiler made these bytes, which are not read again from the file.
    #[allow(unsafe_code, reason = "compiled code is trusted as this program is")]
    let component = unsafe { Component::deserialize(engine, &code) };
    component.ok()
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    /// An empty component, whose compiled code takes the place of the engine's.
    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    fn file_of(cache: &Path) -> PathBuf {
        let entries = fs::read_dir(cache).expect("a folder").map(|entry| entry.expect("an entry").path());
        let mut compiled = entries.filter(|path| path.extension().is_some_and(|is| is == "cwasm"));
        let file = compiled.next().expect("the compiled engine is kept");
        assert_eq!(compiled.next(), None);
        file
    }

    /// A changed byte of machine code ended the program by a signal.
    #[test]
    fn only_the_compiled_engine_that_this_program_wrote_is_run() {
        let (cache, other) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let engine = Engine::default();
        let load = |folder: &tempfile::TempDir| cached(&engine, EMPTY, folder.path()).map(drop).expect("compiled");
        load(&cache);
        let file = file_of(cache.path());
        let written = fs::read(&file).expect("a file");
        let inode = || std::os::unix::fs::MetadataExt::ino(&fs::metadata(&file).expect("a file"));
        let first = inode();
        load(&cache);
        assert_eq!(inode(), first, "it is taken from the cache");
        let code = &written[..written.len() - MAC];
        let mut damaged = written.clone();
        damaged[written.len() / 2] ^= 1;
        load(&other);
        let foreign = fs::read(file_of(other.path())).expect("a file");
        for (what, bytes) in
            [("damaged", &damaged[..]), ("not sealed", code), ("foreign", &foreign[..]), ("empty", &b""[..])]
        {
            fs::write(&file, bytes).expect("written");
            load(&cache);
            let found = fs::read(&file).expect("a file");
            assert!(found != bytes && found.len() == written.len(), "{what}: it is compiled anew");
        }
        let before = inode();
        fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o620)).expect("a mode");
        load(&cache);
        assert_ne!(inode(), before, "a file that a group could write to is compiled anew");
    }
}
