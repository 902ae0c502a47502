//! Loads components: from bytes to a component that can be instantiated, and its manifest.
//!
//! No code of the component runs before it has been validated, compiled and linked. Then `describe` runs, in a store
//! with less time than a request gets. A package section that disagrees with the component fails the load. A failure
//! leaves nothing behind but a reusable artifact.

mod artifact;
mod cache;
mod compile;
pub(crate) mod component;
mod describe;
mod functions;
mod inspect;
mod interface_name;
mod link;
pub(crate) mod manifest;

use std::sync::Arc;
use std::time::Instant;

use sha2::{Digest, Sha256};

use self::cache::blocking;
use self::component::ComponentInfo;
use crate::fault::LoadError;
use crate::instance::engine::Wasi;
use crate::instance::linked::LinkedComponent;
use crate::instance::resources::SharedResources;
use crate::limits::PluginPolicies;
use crate::package::Package;

pub(crate) use self::cache::ComponentCache;
pub use self::compile::{CompilePriority, compile_main};
pub(crate) use self::describe::{Description, check_package, describe};
pub use self::inspect::{Ask, Capability, Import, Inspection, Tool, inspect};
pub use self::manifest::{description_problem, is_name, summary_problem};

/// A component that has been loaded.
pub(crate) struct LoadedComponent {
    pub(crate) wasi: Wasi,
    pub(crate) linked: LinkedComponent,
    /// The SHA-256 of its bytes, in hex.
    pub(crate) digest: String,
    pub(crate) description: Description,
}

/// Validates, compiles (or finds the compiled artifact), links and describes a component, from which this name is
/// expected.
pub(crate) async fn load(
    resources: &SharedResources,
    cache: &ComponentCache,
    wasm: &[u8],
    expected: Option<&str>,
    policies: &PluginPolicies,
) -> Result<LoadedComponent, LoadError> {
    let wasm: Arc<[u8]> = wasm.into();
    let bytes = Arc::clone(&wasm);
    let (info, wasi, package, digest) = blocking(move || {
        let info = ComponentInfo::read(&bytes)?;
        let wasi = info.wasi()?;
        if let Some(missing) = info.missing() {
            return Err(LoadError::Invalid(missing));
        }
        let package = Package::read(&bytes).map_err(|error| LoadError::Invalid(error.to_string()))?;
        Ok((info, wasi, package, hex::encode(Sha256::digest(&bytes))))
    })
    .await?;
    let begun = Instant::now();
    let component = cache.component(resources.engine(wasi), resources.engine_kind(wasi), &wasm, &digest).await?;
    let compiled = begun.elapsed();
    let linked = link::link(resources.linker(wasi), &component, &info)?;
    let description = describe(resources, wasi, &linked, expected, policies).await?;
    tracing::debug!(name = %description.info.name, ?compiled, described = ?begun.elapsed(), "a component is loaded");
    if let Some(package) = package {
        check_package(resources, wasi, &linked, &description, &package, policies).await?;
    }
    Ok(LoadedComponent { wasi, linked, digest, description })
}
