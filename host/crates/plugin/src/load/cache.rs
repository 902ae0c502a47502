//! Finds the compiled form of a component, and compiles it if there is none.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::Semaphore;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::fault::LoadError;
use crate::instance::engine::{Wasi, fingerprint};
use crate::load::artifact::Artifacts;
use crate::load::compile;

/// The compiled components of one directory, and the compiler that adds to them.
pub(crate) struct ComponentCache {
    artifacts: Artifacts,
    /// The executable whose subcommand `compile` compiles. None: a thread of this process does.
    compiler: Option<PathBuf>,
    /// A permit is held while a component is compiled.
    compilations: Semaphore,
}

impl ComponentCache {
    /// Opens the directory. Fails if it cannot be made, or if others can write to it.
    pub(crate) fn open(dir: &Path, compiler: Option<PathBuf>) -> io::Result<Self> {
        let artifacts = Artifacts::open(dir)?;
        Ok(Self { artifacts, compiler, compilations: Semaphore::new(compile::at_once()) })
    }

    /// Maps the compiled component, compiling it first if no artifact fits. `digest` is that of `wasm`.
    pub(super) async fn component(
        &self,
        engine: &Engine,
        wasi: Wasi,
        wasm: &Arc<[u8]>,
        digest: &str,
    ) -> Result<Component, LoadError> {
        let path = self.artifacts.path(digest, &fingerprint(engine));
        if let Some(component) = self.find(engine, &path).await {
            return Ok(component);
        }
        let _permit = self.compilations.acquire().await;
        // The same bytes under another name may have been compiled while this call waited.
        if let Some(component) = self.find(engine, &path).await {
            return Ok(component);
        }
        let unwritable = |error: io::Error| {
            LoadError::Invalid(format!("cannot write the compiled component {}: {error}", path.display()))
        };
        let draft = self.artifacts.draft().map_err(unwritable)?;
        let draft = match &self.compiler {
            Some(executable) => {
                compile::in_process_of(executable, wasm, wasi, &draft).await?;
                draft
            }
            None => compile::on_thread(wasm.clone(), wasi, draft).await?,
        };
        self.artifacts.publish(draft, &path).map_err(unwritable)?;
        map(engine, path.clone()).await.inspect_err(|_| self.artifacts.remove(&path))
    }

    /// Maps an artifact if there is one. An artifact that cannot be mapped is removed.
    async fn find(&self, engine: &Engine, path: &Path) -> Option<Component> {
        self.artifacts.find(path)?;
        match map(engine, path.to_owned()).await {
            Ok(component) => Some(component),
            Err(error) => {
                tracing::warn!(artifact = %path.display(), %error, "this artifact does not load; compiling again");
                self.artifacts.remove(path);
                None
            }
        }
    }
}

async fn map(engine: &Engine, path: PathBuf) -> Result<Component, LoadError> {
    let engine = engine.clone();
    blocking(move || {
        // SAFETY: the file was written by this program's own compiler, lies in a directory that only this user can
        // write to (checked when the runtime started, and the file before this call), and is never rewritten under its
        // name, so it is a genuine artifact and stays as it is while mapped. wasmtime itself refuses an artifact of
        // another version or configuration.
        #[allow(unsafe_code, reason = "mapping our own compiled code, see above")]
        let component = unsafe { Component::deserialize_file(&engine, &path) };
        component
            .and_then(|component| {
                component.initialize_copy_on_write_image()?;
                Ok(component)
            })
            .map_err(|error| LoadError::Invalid(format!("it does not fit this host's limits: {error:#}")))
    })
    .await
}

/// Runs work that takes milliseconds of CPU or disk off the tasks that serve requests.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LoadError> + Send + 'static,
) -> Result<T, LoadError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(_) => Err(LoadError::Invalid("the loader failed on it: report this component".into())),
    }
}
