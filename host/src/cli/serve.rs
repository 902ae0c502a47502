//! `coinslot serve`: reads the configuration, builds a host, and serves until a signal.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::routes::routes;
use super::signals::Shutdown;
use super::{Failure, listen};
use crate::config::Config;
use crate::host::{ConfigFile, Host, HostOptions, unknown_plugin};

/// Serve the plugins of a folder, and take payment for them.
///
/// Refuses to start on a wrong configuration, an unreachable chain or facilitator, or the embedded
/// development chain. A plugin that cannot be loaded is reported and the others are served. Ctrl-C and
/// SIGTERM finish what is at work first; a second one ends at once, with 130 or 143.
///
/// A changed configuration takes effect without a restart, as far as that can be; SIGHUP reads it at once, and
/// files of secrets as well. What is wrong with it is logged, and changes nothing.
#[derive(clap::Args, Clone, Debug)]
pub struct ServeArgs {
    /// The configuration; see host/docs/configuration.md.
    #[arg(short, long, default_value = "coinslot.toml", value_name = "FILE")]
    pub config: PathBuf,
    /// Listen here instead of where the configuration says.
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
}

/// Serves until interrupted.
pub async fn run(args: ServeArgs) -> Result<(), Failure> {
    let mut shutdown = Shutdown::listen()?;
    raise_open_files();
    let config_file = ConfigFile::follow(args.config.clone());
    let config = Config::read(&args.config)?;
    let (listener, address) = listen(args.listen.unwrap_or(config.server.listen), "").await?;
    let (scheme, origin) = (config.server.scheme(), config.origin(address));
    if let Some(problem) = config.server.unusable_origin(address) {
        tracing::warn!("{problem}");
    }
    let options = HostOptions {
        config_file: Some(config_file),
        compiler: std::env::current_exe().ok(),
        address: Some(address),
        ..HostOptions::default()
    };
    let host = tokio::select! {
        host = Host::build(config, options) => host?,
        () = shutdown.wait() => return Ok(()),
    };
    for (file, reason) in &host.report().failed {
        tracing::warn!(%file, %reason, "not active");
    }
    for name in host.unknown_plugins() {
        tracing::warn!("{}", unknown_plugin(&name));
    }
    println!("{}", routes(&host.catalog().load()));
    println!("serving on {scheme}://{address}, known to clients as {origin}");
    shutdown.run(|stop| host.serve(listener, stop)).await
}

/// Raises the limit of open files to the most that is allowed. Each connection is one, and the usual limit of 1024 is
/// meant for programs that use select(2).
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::debug!(%error, "the limit of open files stays as it was");
    }
}
