//! Publishes what is sold: documents for directories and agents, and pages for people.
//!
//! Everything is derived from the active generation of the catalogue, which has the plugin's declaration with the
//! operator's changes, so no document can disagree with a challenge. The documents of a generation are made when the
//! first of them is asked for, and kept until the generation or the operator's settings change. Texts and schemas of a
//! plugin have at most 1 MiB, by its contract, so a document has a few MiB for each plugin at most.
//!
//! No plugin answers at the path of a document that programs read, nor at that of MCP: see [`reserved_paths`]. Only the
//! page at `/` gives way to a plugin's own.

mod catalog_document;
mod document;
mod listing;
mod llms;
mod logo;
mod openapi;
pub mod ownership;
mod pages;
mod pass;
mod price;
mod publisher;
mod reserved;
mod robots;
mod schema_texts;
#[cfg(feature = "dev")]
mod test_wallet;
mod text;
mod tool_names;
mod tool_schemas;
mod tools;
mod well_known;

pub use document::{Document, DocumentName};
pub use listing::{ListedEndpoint, Listing};
pub use logo::{Logo, LogoError};
pub use pages::endpoint_page;
pub use publisher::{PaywallRequest, Publisher};
pub use reserved::reserved_paths;
#[cfg(feature = "dev")]
pub use test_wallet::TestWallet;
pub use tools::{EndpointTool, ToolList};
