//! What an author sees of the SDK: endpoints that run, mistakes that do not compile, and the
//! component that comes out.

/// Arguments, answers, quotes and the manifest, through `coinslot_sdk::testing`.
mod endpoints;

/// Mistakes in an attribute are compile errors that point at them.
mod mistakes;

/// The built component of `plugins/hello`.
mod component;
