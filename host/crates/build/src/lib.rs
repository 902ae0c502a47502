//! Builds plugins from sources.
//!
//! [`javascript`] makes a component of a TypeScript or JavaScript module with an engine that is part of this package.
//! It needs no Node.js, no npm and no network. [`python`] makes one of a Python module with the machine's Python.
//! [`new`] makes the folder of a new plugin, [`sdk`] unpacks what other compilers read, and [`rust`] keeps it there.

pub mod javascript;
pub mod new;
pub mod python;
pub mod rust;
pub mod sdk;

mod error;

pub use error::BuildError;
