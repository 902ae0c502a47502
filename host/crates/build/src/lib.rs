//! Builds plugins from sources.
//!
//! [`javascript`] makes a component of a TypeScript or JavaScript module with an engine that is part of this package.
//! It needs no Node.js, no npm and no network. [`new`] makes the folder of a new plugin, and [`sdk`] unpacks what other
//! compilers read.

pub mod javascript;
pub mod new;
pub mod sdk;

mod error;

use std::path::PathBuf;

pub use error::BuildError;

/// The folder of this user for what can be made again, of this version. None if the environment names no home.
pub fn cache() -> Option<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let base = base.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?;
    Some(base.join("coinslot").join(env!("CARGO_PKG_VERSION")))
}
