//! Publishes what is sold: documents for directories and agents, and pages for people.
//!
//! Everything is derived from the active generation of the catalogue, which has the plugin's declaration with the
//! operator's changes, so no document can disagree with a challenge. The documents of a generation are made when the
//! first of them is asked for, and kept until the generation or the operator's settings change.
//!
//! A route of a plugin with the very path of a document goes before the document; a template with parameters does not.

mod document;
mod listing;
mod publisher;
mod robots;
mod tool_names;
mod tools;

pub use document::{Document, DocumentName};
pub use listing::{ListedEndpoint, Listing};
pub use publisher::Publisher;
pub use tools::{EndpointTool, ToolList};
