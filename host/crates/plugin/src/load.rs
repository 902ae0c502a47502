//! From bytes to a plugin: outline, artifact, link, describe.
//!
//! Nothing of the component runs before it has been validated, compiled and linked; then `describe`
//! runs once, in a store with less memory and time than a request gets. Any failure leaves no trace
//! but a reusable artifact.

pub(crate) mod artifact;
pub(crate) mod compile;
pub(crate) mod component;
pub(crate) mod inspect;
pub(crate) mod link;
pub(crate) mod manifest;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use wasmtime::component::Component;

use crate::capabilities::config::Capabilities;
use crate::instance::engine::{MAX_MEMORY, Wasi, fingerprint};
use crate::instance::meter;
use crate::instance::store::{GuestState, StoreConfig, store};
use crate::instance::timed::limited;
use crate::load::component::ComponentInfo;
use crate::load::link::{Handler, LinkedComponent};
use crate::{Fault, Limits, LoadError, Plugin, PluginInfo, PluginPolicies, Reuse, Runtime};

/// What `describe` may use, whatever the plugin's own limits are.
const DESCRIBE_MEMORY: usize = 64 << 20;
const DESCRIBE_CPU: Duration = Duration::from_secs(1);
const DESCRIBE_WALL: Duration = Duration::from_secs(2);
const DESCRIBE_LOG: usize = 64 << 10;

/// A read, hashed and outlined component.
struct Candidate {
    wasm: Arc<[u8]>,
    digest: String,
    outline: ComponentInfo,
    wasi: Wasi,
}

pub(crate) async fn load(runtime: &Arc<Runtime>, wasm: &[u8], terms: &PluginPolicies) -> Result<Plugin, LoadError> {
    let wasm: Arc<[u8]> = wasm.into();
    let candidate = blocking(move || {
        let outline = ComponentInfo::read(&wasm)?;
        let wasi = outline.wasi()?;
        if let Some(missing) = outline.missing() {
            return Err(LoadError::Invalid(missing));
        }
        Ok(Candidate { digest: hex::encode(Sha256::digest(&wasm)), wasm, outline, wasi })
    })
    .await?;
    let component = component(runtime, &candidate).await?;
    let linked = link::link(runtime.linker(candidate.wasi), &component, &candidate.outline)?;
    let info = describe(runtime, candidate.wasi, &linked).await?;
    let (limits, granted) = own(runtime, &info.name, &linked, terms)?;
    Ok(Plugin::new(runtime.clone(), candidate.wasi, linked, info, candidate.digest, limits, granted))
}

/// What bounds the plugin of this name, and what it is granted.
pub(crate) fn own(
    runtime: &Runtime,
    name: &str,
    linked: &LinkedComponent,
    terms: &PluginPolicies,
) -> Result<(Limits, Arc<Capabilities>), LoadError> {
    let settings = terms.plugins.get(name);
    let own = settings.and_then(|settings| settings.limits.as_ref());
    let limits = own.unwrap_or(&terms.limits).clone();
    if limits.memory > MAX_MEMORY {
        return Err(LoadError::Invalid(format!(
            "its memory limit is {} bytes; the most that this host can give is {MAX_MEMORY}",
            limits.memory
        )));
    }
    if let Some(Reuse { concurrent: 2.., .. }) = limits.reuse {
        let why = match &linked.handler {
            Handler::P2(_) => "its handler is one of WASI 0.2, which takes one request at a time",
            Handler::P3(_) if linked.composed => {
                "it is put together of several components, and when one of them calls the host for another it cannot \
                 be told for which request"
            }
            Handler::P3(_) => "",
        };
        if !why.is_empty() {
            return Err(LoadError::Invalid(format!(
                "`concurrent` in its `reuse` is more than 1, and {why}: leave `concurrent` out, and its instances \
                 answer one request after another"
            )));
        }
    }
    let granted =
        settings.map_or_else(Capabilities::none, |settings| Capabilities::new(runtime, name, &settings.grants));
    Ok((limits, granted))
}

/// Maps the compiled component, compiling it first if no artifact fits.
async fn component(runtime: &Arc<Runtime>, candidate: &Candidate) -> Result<Component, LoadError> {
    let engine = runtime.engine(candidate.wasi).clone();
    let path = runtime.artifacts.path(&candidate.digest, &fingerprint(&engine));
    if let Some(component) = compiled(runtime, &engine, &path).await {
        return Ok(component);
    }
    let _place = runtime.compilers.acquire().await;
    // The same bytes under another name may have been compiled while this one waited.
    if let Some(component) = compiled(runtime, &engine, &path).await {
        return Ok(component);
    }
    let unwritable = |error: std::io::Error| {
        LoadError::Invalid(format!("cannot write the compiled component {}: {error}", path.display()))
    };
    let draft = runtime.artifacts.draft().map_err(unwritable)?;
    let draft = match &runtime.compiler {
        Some(executable) => {
            compile::in_process_of(executable, &candidate.wasm, candidate.wasi, &draft).await?;
            draft
        }
        None => compile::on_thread(candidate.wasm.clone(), candidate.wasi, draft).await?,
    };
    runtime.artifacts.publish(draft, &path).map_err(unwritable)?;
    map(&engine, path.clone()).await.inspect_err(|_| runtime.artifacts.remove(&path))
}

/// Maps an artifact that is there. One that does not load is removed.
async fn compiled(runtime: &Runtime, engine: &wasmtime::Engine, path: &Path) -> Option<Component> {
    runtime.artifacts.find(path)?;
    match map(engine, path.to_owned()).await {
        Ok(component) => Some(component),
        Err(error) => {
            tracing::warn!(artifact = %path.display(), %error, "this artifact does not load; compiling again");
            runtime.artifacts.remove(path);
            None
        }
    }
}

async fn map(engine: &wasmtime::Engine, path: PathBuf) -> Result<Component, LoadError> {
    let engine = engine.clone();
    blocking(move || {
        // SAFETY: the file was written by this program's own compiler, lies in a directory that only
        // this user can write to (checked when the runtime started, and the file before this call),
        // and is never rewritten under its name, so it is a genuine artifact and stays as it is while
        // mapped. wasmtime itself refuses one of another version or configuration.
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

async fn describe(runtime: &Runtime, wasi: Wasi, linked: &LinkedComponent) -> Result<PluginInfo, LoadError> {
    let grant = StoreConfig {
        plugin: "(loading)".into(),
        memory: DESCRIBE_MEMORY,
        cpu: DESCRIBE_CPU,
        turns: runtime.turns.clone(),
        log: DESCRIBE_LOG,
        receipt: None,
        serving: None,
    };
    let (mut store, meter) = store(runtime.engine(wasi), grant);
    let (pre, indices) = (&linked.pre, &linked.manifest);
    let call = async move {
        let instance = pre.instantiate_async(&mut store).await?;
        indices.load(&mut store, &instance)?.call_describe::<&mut wasmtime::Store<GuestState>>(&mut store).await
    };
    let answer = limited(&meter, DESCRIBE_WALL, call).await.map_err(|fault| {
        LoadError::Describe(match fault {
            Fault::Cpu => {
                format!("`describe` used more than {} ms of CPU time: compute nothing in it", DESCRIBE_CPU.as_millis())
            }
            Fault::Deadline => {
                format!("`describe` took longer than {} ms: wait for nothing in it", DESCRIBE_WALL.as_millis())
            }
            Fault::Memory => format!("`describe` wanted more than {} MiB of memory", DESCRIBE_MEMORY >> 20),
            other => format!("`describe` failed: {other}"),
        })
    })?;
    match answer {
        Ok(info) => {
            manifest::check(info, linked.quote.is_some()).map_err(|problems| LoadError::Describe(problems.join("\n")))
        }
        Err(reason) => Err(LoadError::Describe(format!(
            "it refuses to be loaded: {}",
            crate::capabilities::log::printable(&meter::bounded(reason, 2_000))
        ))),
    }
}

/// Runs what takes milliseconds of CPU or disk off the tasks that serve requests.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LoadError> + Send + 'static,
) -> Result<T, LoadError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(_) => Err(LoadError::Invalid("the loader failed on it: report this component".into())),
    }
}
