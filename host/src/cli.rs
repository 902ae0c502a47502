//! The commands, one file each: arguments, a call of the library, and what is printed.

mod audit;
pub mod backup;

#[cfg(feature = "dev")]
pub mod build;

pub mod check;

pub mod compile;

#[cfg(feature = "dev")]
pub mod dev;

pub mod discover;

pub mod doctor;

pub mod facilitator;

pub mod health;

pub mod init;

pub mod inspect;

pub mod keys;

pub mod ledger;

pub mod mcp;

#[cfg(feature = "dev")]
pub mod new;

#[cfg(feature = "dev")]
pub mod pack;

pub mod pay;

pub mod plugins;

mod refunds;
pub mod restore;

pub mod serve;

#[cfg(feature = "dev")]
pub mod test;

#[cfg(feature = "dev")]
pub mod wit;

mod dev_hosts;

pub mod operator;
mod output;
mod print;
mod routes;
mod signals;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tokio::net::TcpListener;

use crate::config::Problems;
use crate::host::HostError;

/// The configuration that a command reads if none is named.
const DEFAULT_CONFIG: &str = "coinslot.toml";

/// Bytes of a component or a core module that a command reads, at most: more than a host loads, so that a file that is a
/// little too large gets the message that says so.
const LARGEST_WASM: u64 = 256 << 20;

/// A command that did not succeed: its exit code and one message for stderr. Code 1 is a failure, 2 wrong usage; a
/// command documents any other code of its own.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    pub code: u8,
    pub message: String,
}

impl Failure {
    /// The command did not do what it should.
    pub fn new(message: impl Into<String>) -> Self {
        Self { code: 1, message: message.into() }
    }

    /// The arguments make no sense.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { code: 2, message: message.into() }
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self::usage(problems.to_string())
    }
}

impl From<HostError> for Failure {
    fn from(error: HostError) -> Self {
        match error {
            HostError::Config(_) => Self::usage(error.to_string()),
            HostError::Facilitator(_)
            | HostError::Runtime(_)
            | HostError::PluginFolder { .. }
            | HostError::File { .. }
            | HostError::Ledger(_) => Self::new(error.to_string()),
        }
    }
}

/// Reads the certificates of authorities from a file in PEM.
fn authorities(file: &Path) -> Result<Vec<reqwest::Certificate>, Failure> {
    let bytes = std::fs::read(file).map_err(|error| Failure::usage(format!("{}: {error}", file.display())))?;
    let unusable = |why: &str| Failure::usage(format!("{}: {why}: it is to be PEM", file.display()));
    let certificates = reqwest::Certificate::from_pem_bundle(&bytes).map_err(|error| unusable(&error.to_string()))?;
    if certificates.is_empty() { Err(unusable("it has no certificate")) } else { Ok(certificates) }
}

/// Binds a port, and gives the address that it has. `advice` ends the message if that fails.
async fn listen(address: SocketAddr, advice: &str) -> Result<(TcpListener, SocketAddr), Failure> {
    let failed = |error: std::io::Error| Failure::new(format!("cannot listen on {address}: {error}{advice}"));
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// The executable of this process, for a child that compiles. Not by its path: a package that is upgraded while a host
/// runs puts another version there, whose artifacts do not fit.
fn own_executable() -> Option<PathBuf> {
    let running = Path::new("/proc/self/exe");
    if running.exists() { Some(running.to_owned()) } else { std::env::current_exe().ok() }
}

/// The folder of this user for compiled components and functions. None if nothing names it: they are then kept for one
/// host alone, or for one command.
fn compiled_cache() -> Option<PathBuf> {
    user_cache().ok().map(|cache| cache.join("compiled"))
}

/// The folder of this user for what can be made again, of this version.
#[allow(clippy::disallowed_methods, reason = "the folders of a user are told by the environment")]
fn user_cache() -> Result<PathBuf, Failure> {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
    let base = base.ok_or_else(|| Failure::new("neither XDG_CACHE_HOME nor HOME names a folder for the cache"))?;
    Ok(base.join("coinslot").join(env!("CARGO_PKG_VERSION")))
}
