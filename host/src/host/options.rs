//! Holds everything that a host is built with beside its configuration.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use coinslot_ledger::Ledger;
use coinslot_plugin::CompilePriority;
use tokio::net::TcpListener;

use super::facilitators::Chains;
use super::reload::ConfigFile;
use crate::catalog::{Catalog, ScanReport};
#[cfg(feature = "dev")]
use crate::discover::TestWallet;
use crate::operate::AdminAccess;
use crate::server::{RequestObserver, Tls};

/// Called after each scan of the plugin folder that changed something.
pub type OnChange = Box<dyn FnMut(&ScanReport) + Send>;

/// Called once, when everything that the plugin folder held at the start is active or refused.
pub type OnReady = Box<dyn FnOnce(&Catalog) + Send>;

/// Everything beside its configuration that a host is built with.
#[derive(Default)]
pub struct HostOptions {
    /// The file of the configuration. It is read again when it changes, and on SIGHUP. None: the configuration stays.
    pub config_file: Option<ConfigFile>,
    /// The executable whose subcommand `compile` compiles components in a child process: `coinslot` itself. None:
    /// components are compiled on threads of this process.
    pub compiler: Option<PathBuf>,
    /// The priority of compilations.
    pub priority: CompilePriority,
    /// The directory of compiled functions, which several hosts of one user may share. None: the one of compiled
    /// components in the state folder.
    pub functions: Option<PathBuf>,
    /// The address of the listener, if it is not `listen`: a port 0 has a number only when it is bound.
    pub address: Option<SocketAddr>,
    /// The chains that a facilitator in this process may settle on.
    pub chains: Chains,
    /// Answers are compared with the declared schemas, and the log tells which do not fit: for authors.
    pub checks_answers: bool,
    /// Files appear in the plugin folder whole, in one step, and are read at once. Otherwise one that has just changed may
    /// still be being written, and is read a little later.
    pub has_whole_files: bool,
    /// None: the file `ledger.db` in the state folder.
    pub ledger: Option<Arc<dyn Ledger>>,
    /// The bound listener for operators. It is used if the configuration has `[admin]`.
    pub admin: Option<AdminOptions>,
    /// Told how each request went.
    pub observer: Option<RequestObserver>,
    /// A wallet of an embedded chain, with which pages may pay.
    #[cfg(feature = "dev")]
    pub test_wallet: Option<TestWallet>,
    pub on_change: Option<OnChange>,
    /// None: [`Host::build`] waits until every plugin is loaded. Otherwise it waits for those that are compiled, and
    /// the others become active while the host serves.
    pub on_ready: Option<OnReady>,
}

/// The listener for operators, and who may ask it.
#[derive(Debug)]
pub struct AdminOptions {
    pub listener: TcpListener,
    /// None: it speaks plain HTTP.
    pub tls: Option<Arc<Tls>>,
    pub access: AdminAccess,
}

impl fmt::Debug for HostOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostOptions").field("config_file", &self.config_file).finish_non_exhaustive()
    }
}
