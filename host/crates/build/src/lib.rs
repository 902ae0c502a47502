//! Builds plugins from sources.
//!
//! [`javascript`] makes a component of a TypeScript or JavaScript module with an engine that is part of this package.
//! It needs no Node.js, no npm and no network. [`python`] makes one of a Python module with the machine's Python. [`new`] makes the folder of a new plugin, and [`sdk`] unpacks what other
//! compilers read.

pub mod javascript;
pub mod new;
pub mod python;
pub mod sdk;

mod error;
mod producers;

pub use error::BuildError;
