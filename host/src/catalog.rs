//! The active plugins and endpoints, in immutable generations that are swapped whole.
//!
//! A request takes the generation of its arrival and keeps it to the end. A new generation is built beside the active
//! one and put in its place in one step; whatever fails leaves the active one as it is.

mod folder;
mod generation;
mod history;
mod install;
mod kept_build;
mod kept_routes;
mod loading;
mod pins;
mod scan_report;
mod schemas;
mod staging;
mod watch;

pub use folder::{Folder, Reconfigured};
pub use generation::{Catalog, ConflictError};
pub use history::{History, HistoryEntry, HistoryFile};
pub use install::{InstallError, Installed, SalesPolicy};
pub use kept_build::{KeptBuild, KeptEndpoint, put_component};
pub use pins::{PinError, PluginPins, expected_name, shown_policies};
pub use scan_report::ScanReport;
pub use schemas::{checks_itself, off_without_effect, unenforced as unenforced_schemas};
pub use watch::{Reconfigure, watch};
