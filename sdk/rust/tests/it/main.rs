//! What an author sees of the SDK: endpoints that run, and mistakes that do not compile.

/// Arguments, answers, quotes and the manifest, through `coinslot_sdk::testing`.
mod endpoints;

/// Mistakes in an attribute are compile errors that point at them.
mod mistakes;
