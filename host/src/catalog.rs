//! The active plugins and endpoints, in immutable generations that are swapped whole.
//!
//! A request takes the generation of its arrival and keeps it to the end. A new generation is built beside the active
//! one and put in its place in one step; whatever fails leaves the active one as it is.

mod conflict;
mod folder;
mod generation;
mod history;
mod install;
mod install_error;
mod kept_build;
mod kept_routes;
mod loading;
mod overrides;
mod pins;
mod reserved;
mod sale_terms;
mod scan_report;
mod schemas;
mod staging;
mod watch;

pub use conflict::ConflictError;
pub use folder::{Folder, Reconfigured};
pub use generation::Catalog;
pub use history::{History, HistoryEntry, HistoryFile};
pub use install::{Installed, SalesPolicy};
pub use install_error::InstallError;
pub use kept_build::{KeptBuild, KeptEndpoint, put_component};
pub use overrides::{OverrideError, PassOverride, PluginOverrides, PriceOverride, RouteChange, RouteOverrides};
pub use pins::{PinError, PluginPins, expected_name, shown_policies};
pub use reserved::ReservedPath;
pub use sale_terms::{AcceptName, Receiver, SaleTerms};
pub(crate) use scan_report::NOT_ANEW;
pub use scan_report::ScanReport;
pub use schemas::{off_without_effect, unenforced as unenforced_schemas};
pub use watch::{Reconfigure, watch};
