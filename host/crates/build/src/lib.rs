//! Builds plugins from sources.
//!
//! [`javascript`] makes a component of a TypeScript or JavaScript module with an engine that is part of this package.
//! It needs no Node.js, no npm and no network. [`python`] makes one of a Python module with the machine's Python, and
//! [`c`] of sources in C, C++ and Zig with the machine's compiler. [`component`] makes one of a core module. [`new`]
//! makes the folder of a new plugin, [`sdk`] unpacks what other compilers read, and [`rust`] keeps it there.

pub mod c;
pub mod component;
pub mod javascript;
pub mod new;
pub mod python;
pub mod rust;
pub mod sdk;
pub mod testing;

mod error;
mod files;
mod plugin_name;
mod producers;

pub use error::BuildError;
pub use files::FILLED_BY_TOOLS;
pub use plugin_name::plugin_name;
