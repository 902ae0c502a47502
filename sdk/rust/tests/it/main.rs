//! What an author sees of the SDK: endpoints that run, and mistakes that do not compile.

/// Arguments, answers, quotes and the manifest, through `coinslot_sdk::testing`.
mod endpoints;

/// Types with the attribute `model`.
mod models;

/// Arguments that are not a path, a query or JSON.
mod arguments;

/// Answers that are not text or JSON, and failures.
mod answers;

/// Charges for metered requests.
mod charges;

/// Mistakes in an attribute are compile errors that point at them.
mod mistakes;
