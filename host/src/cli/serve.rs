//! `coinslot serve`: reads the configuration, builds a host, and serves until a signal.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::routes::routes;
use super::signals::Shutdown;
use super::{Failure, dev_hosts, listen, print};
use crate::config::Config;
use crate::host::{AdminOptions, ConfigFile, Host, HostOptions, OnReady, unknown_plugin, warnings};
use crate::operate::{AdminAccess, read_admin_tls, read_token};

/// Serve the plugins of a folder, and take payment for them.
///
/// Refuses to start on a wrong configuration, an unreachable chain or facilitator, or the embedded
/// development chain. A plugin that cannot be loaded is reported and the others are served. What is compiled is
/// served at once, while other plugins are compiled. Ctrl-C and SIGTERM finish what is at work first.
///
/// A changed configuration takes effect without a restart, as far as that can be; SIGHUP reads it at once, and
/// files of secrets as well. What is wrong with it is logged, and changes nothing.
///
/// Ends with 0 after Ctrl-C or SIGTERM (a second one ends at once, with 130 or 143), 1 if it cannot start, 2 for wrong
/// usage or a wrong configuration.
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
    let config = dev_hosts::configuration(&args.config)?;
    if let Some(dev) = dev_hosts::beside(&args.config) {
        tracing::warn!("{dev}");
    }
    crate::logging::set_level(config.log.as_deref()).map_err(Failure::usage)?;
    for warning in warnings(&config) {
        tracing::warn!("{warning}");
    }
    let (listener, address) = listen(args.listen.unwrap_or(config.server.listen), "").await?;
    if let Some(problem) = config.server.unusable_origin(address) {
        tracing::warn!("{problem}");
    }
    let admin = admin(&config).await?;
    let admin_address = admin.as_ref().and_then(|admin| admin.listener.local_addr().ok());
    let options = HostOptions {
        admin,
        config_file: Some(config_file),
        compiler: super::own_executable(),
        address: Some(address),
        on_ready: Some(on_ready(&config, address, admin_address)),
        ..HostOptions::default()
    };
    let host = tokio::select! {
        host = Host::build(config, options) => host?,
        () = shutdown.wait() => return Ok(()),
    };
    let catalog = host.catalog().load_full();
    for (file, reason) in &host.report().failed {
        if catalog.installed().iter().any(|active| active.file == *file) {
            tracing::warn!(%file, %reason, "not active; the build that served before the restart does");
        } else {
            tracing::warn!(%file, %reason, "not active");
        }
    }
    let loading = catalog.loading();
    if !loading.is_empty() {
        let active = catalog.installed().len();
        tracing::info!(%address, active, loading = loading.len(), "requests are answered; other plugins are compiled");
    }
    shutdown.run(|stop| host.serve(listener, stop)).await
}

/// Binds the listener for operators, if the configuration has one.
async fn admin(config: &Config) -> Result<Option<AdminOptions>, Failure> {
    let Some(admin) = &config.admin else { return Ok(None) };
    let access = AdminAccess::new(admin, read_token(admin)?.as_deref());
    let (listener, _) = listen(admin.listen, ": it is `listen` in [admin]").await?;
    Ok(Some(AdminOptions { listener, tls: read_admin_tls(admin)?, access }))
}

/// Prints what is served when everything of the folder is active or refused.
fn on_ready(config: &Config, address: SocketAddr, admin: Option<SocketAddr>) -> OnReady {
    let (scheme, origin) = (config.server.scheme(), config.origin(address));
    let has_tls = config.admin.as_ref().is_some_and(|admin| admin.tls.is_some());
    let admin_scheme = if has_tls { "https" } else { "http" };
    let configured: Vec<String> = config.plugins.by_name.keys().cloned().collect();
    Box::new(move |catalog| {
        for name in configured.iter().filter(|name| !catalog.has_plugin(name)) {
            tracing::warn!("{}", unknown_plugin(name));
        }
        let mut address = format!("serving on {scheme}://{address}, known to clients as {origin}");
        if let Some(admin) = admin {
            address.push_str(&format!("\nadmin on {admin_scheme}://{admin}"));
        }
        if let Err(failure) = print::line(routes(catalog)).and_then(|()| print::line(address)) {
            tracing::warn!("{failure}");
        }
    })
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
