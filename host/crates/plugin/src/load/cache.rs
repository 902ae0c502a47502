//! Finds the compiled form of a component, and compiles it if there is none.
//!
//! # Two limits
//!
//! A compilation takes a tenth of a second or minutes, and nothing tells which before it ends. All begin with a permit of
//! the limit on quick ones. One that is not done in time exchanges it for a permit of the limit on slow ones; if there is
//! none it is stopped, and begins anew when it has its turn. So permits for quick ones are free again soon, whatever the
//! folder holds, and only a component that is slow itself waits for slow ones.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::NamedTempFile;
use tokio::sync::{Semaphore, SemaphorePermit};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::fault::LoadError;
use crate::instance::engine::{EngineKind, fingerprint};
use crate::load::artifact::Artifacts;
use crate::load::compile::{self, CompilePriority};

/// The longest compilation with a permit for quick ones.
const QUICK: Duration = Duration::from_secs(5);

/// The compiled components of one directory, and the compiler that adds to them.
pub(crate) struct ComponentCache {
    artifacts: Artifacts,
    /// The directory of compiled functions.
    functions: Artifacts,
    /// The executable whose subcommand `compile` compiles. None: a thread of this process does.
    compiler: Option<PathBuf>,
    priority: CompilePriority,
    /// A permit of one of the two is held while a component is compiled.
    quick: Semaphore,
    slow: Semaphore,
}

impl ComponentCache {
    /// Opens the directory. Fails if it cannot be made, or if others can write to it. So can the one of functions; those
    /// are then kept beside the artifacts.
    pub(crate) fn open(
        dir: &Path,
        functions: &Path,
        compiler: Option<PathBuf>,
        priority: CompilePriority,
    ) -> io::Result<Self> {
        let artifacts = Artifacts::open(dir)?;
        let functions = match Artifacts::open(functions) {
            Ok(functions) => functions,
            Err(error) => {
                tracing::warn!(%error, instead = %dir.display(), "compiled functions are kept elsewhere");
                Artifacts::open(dir)?
            }
        };
        // The child that compiles has another working directory.
        let compiler = compiler.map(std::path::absolute).transpose()?;
        let at_once = compile::at_once();
        let (quick, slow) = (Semaphore::new(at_once), Semaphore::new(at_once / 2));
        Ok(Self { artifacts, functions, compiler, priority, quick, slow })
    }

    /// True if there is an artifact. It may not fit.
    pub(crate) fn has(&self, digest: &str, fingerprint: &str) -> bool {
        self.artifacts.has(digest, fingerprint)
    }

    /// Removes artifacts that are not named: see [`Artifacts::forget_others`].
    pub(crate) fn forget_others(&self, named: &HashSet<String>, fingerprints: &[String]) {
        self.artifacts.forget_others(named, fingerprints);
    }

    /// Maps the compiled component, compiling it first if no artifact fits. `digest` is that of `wasm`.
    pub(super) async fn component(
        &self,
        engine: &Engine,
        kind: EngineKind,
        wasm: &Arc<[u8]>,
        digest: &str,
    ) -> Result<Component, LoadError> {
        let path = self.artifacts.path(digest, &fingerprint(engine));
        if let Some(component) = self.find(engine, &path).await {
            return Ok(component);
        }
        let quick = self.quick.acquire().await.ok();
        // The same bytes under another name may have been compiled while this call waited.
        if let Some(component) = self.find(engine, &path).await {
            return Ok(component);
        }
        if let Some(reason) = self.artifacts.failure(&path) {
            let note = self.artifacts.shown(&path.with_extension("failed"));
            return Err(LoadError::Invalid(format!(
                "{reason} (noted: it is compiled again a day later, or when {} is removed)",
                note.display()
            )));
        }
        let compiled = self.compile(kind, wasm, quick).await;
        let draft = compiled.inspect_err(|error| {
            if let LoadError::Invalid(reason) = error {
                self.artifacts.note_failure(&path, reason);
            }
        })?;
        self.artifacts.publish(draft, &path).map_err(|error| unwritable(&error))?;
        map(engine, path.clone()).await.inspect_err(|_| self.artifacts.remove(&path))
    }

    /// Compiles a component in one lane or in both. Holds `quick`, the permit of the first, for as long as it is there.
    async fn compile(
        &self,
        kind: EngineKind,
        wasm: &Arc<[u8]>,
        mut quick: Option<SemaphorePermit<'_>>,
    ) -> Result<NamedTempFile, LoadError> {
        let draft = self.draft()?;
        let functions = self.functions.dir();
        let Some(executable) = &self.compiler else {
            return compile::on_thread(self.priority, wasm.clone(), kind, functions.to_owned(), draft).await;
        };
        let mut compilation =
            Box::pin(compile::in_process_of(executable, self.priority, wasm, kind, functions, &draft));
        let ended = match tokio::time::timeout(QUICK, &mut compilation).await {
            Ok(ended) => Some(ended),
            Err(_) => match self.slow.try_acquire() {
                Ok(_slow) => {
                    drop(quick.take());
                    Some(compilation.as_mut().await)
                }
                Err(_) => None,
            },
        };
        // Stops the process, if it runs.
        drop(compilation);
        if let Some(ended) = ended {
            return ended.map(|()| draft);
        }
        drop((draft, quick));
        let _slow = self.slow.acquire().await;
        let draft = self.draft()?;
        compile::in_process_of(executable, self.priority, wasm, kind, functions, &draft).await?;
        Ok(draft)
    }

    fn draft(&self) -> Result<NamedTempFile, LoadError> {
        self.artifacts.draft().map_err(|error| unwritable(&error))
    }

    /// Fails unless this program wrote the artifact, in this directory. Takes as long as reading it does.
    async fn check_seal(&self, path: &Path) -> Result<(), LoadError> {
        let (seal, path) = (self.artifacts.seal().clone(), path.to_owned());
        blocking(move || match seal.is_on(&path) {
            Ok(true) => Ok(()),
            Ok(false) => Err(LoadError::Invalid("this host did not make it here".to_owned())),
            Err(error) => Err(LoadError::Invalid(format!("it cannot be read: {error}"))),
        })
        .await
    }

    /// Maps an artifact if there is one. An artifact that cannot be mapped is removed.
    async fn find(&self, engine: &Engine, path: &Path) -> Option<Component> {
        if !self.artifacts.is_usable(path) {
            return None;
        }
        let found = match self.check_seal(path).await {
            Ok(()) => map(engine, path.to_owned()).await,
            Err(error) => Err(error),
        };
        match found {
            Ok(component) => Some(component),
            Err(error) => {
                let artifact = self.artifacts.shown(path);
                tracing::warn!(artifact = %artifact.display(), %error, "this artifact does not load; compiling again");
                self.artifacts.remove(path);
                None
            }
        }
    }
}

fn unwritable(error: &io::Error) -> LoadError {
    LoadError::Unavailable(format!("the compiled component cannot be written: {error}"))
}

async fn map(engine: &Engine, path: PathBuf) -> Result<Component, LoadError> {
    let engine = engine.clone();
    blocking(move || {
        // SAFETY: the file was written by this program's own compiler, which its seal proves (checked before this call,
        // unless this call follows its compilation). It lies in a directory that only this user can write to (checked
        // when the runtime opened it, and the file before this call; the path leads to the directory that was opened),
        // and is never rewritten under its name, so it stays as it is while mapped. wasmtime itself refuses an artifact
        // of another version or configuration.
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
