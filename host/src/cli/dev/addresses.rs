//! Binds the addresses of `coinslot dev`, and knows those that people and agents open.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::TcpListener;
use url::Url;

use super::DevArgs;
use crate::catalog::Catalog;
use crate::cli::{Failure, listen};
use crate::config::{AdminConfig, Config, ServerConfig};
use crate::discover::DocumentName;
use crate::host::AdminOptions;
use crate::logging;
use crate::operate::AdminAccess;

/// The bound listeners.
pub(super) struct BoundListeners {
    pub(super) listener: TcpListener,
    pub(super) address: SocketAddr,
    pub(super) admin: AdminOptions,
    /// The table `[admin]` that an operator would write for the dashboard.
    pub(super) admin_config: AdminConfig,
}

impl BoundListeners {
    /// Binds what the arguments name. Refuses an address that other machines reach, unless they may.
    pub(super) async fn bind(args: &DevArgs) -> Result<Self, Failure> {
        if !(args.expose || args.rpc_listen.ip().is_loopback()) {
            return Err(exposed(args.rpc_listen));
        }
        if !args.admin_listen.ip().is_loopback() {
            return Err(Failure::usage(format!(
                "--admin-listen {}: the dashboard of a `coinslot dev` asks for no token, so it is for this machine alone: \
                 name an address such as 127.0.0.1:8405",
                args.admin_listen
            )));
        }
        let (listener, address) = listen_for_dev(args.listen, args.expose).await?;
        let (admin, admin_address) = listen(args.admin_listen, "; choose another with --admin-listen").await?;
        let admin_config = AdminConfig { listen: admin_address, ..AdminConfig::default() };
        let access = AdminAccess::new(&admin_config, None);
        let admin = AdminOptions { listener: admin, tls: None, access };
        Ok(Self { listener, address, admin, admin_config })
    }

    /// Says in the configuration where the host serves: the public origin, the hosts beside it, and the dashboard.
    pub(super) fn enter(&self, config: &mut Config, public_url: Option<&Url>) -> Result<(), Failure> {
        let server: &mut ServerConfig = &mut config.server;
        (server.public_url, server.hosts) = public(public_url, self.address)?;
        if server.public_url.is_some() {
            // All clients of a tunnel have its address.
            server.trusted_proxies = None;
        }
        config.admin = Some(self.admin_config.clone());
        Ok(())
    }
}

/// The addresses that an author opens, or gives to an agent.
#[derive(Clone, Debug)]
pub(super) struct DevAddresses {
    /// The origin, without a slash at its end.
    pub(super) url: String,
    pub(super) dashboard: String,
    /// The address of MCP, if there is one.
    pub(super) mcp: Option<String>,
    has_index: bool,
}

impl DevAddresses {
    /// The addresses of a host that serves at `address`, which a client on this machine can ask.
    pub(super) fn of(config: &Config, address: SocketAddr) -> Self {
        let url = config.origin(address);
        let admin = config.admin.as_ref().map(|admin| admin.listen);
        Self {
            dashboard: admin.map(|admin| format!("http://{admin}/")).unwrap_or_default(),
            mcp: config.discover.mcp.as_ref().map(|path| format!("{url}{path}")),
            has_index: config.discover.index,
            url,
        }
    }

    /// The address of the page that lists what is sold, unless a plugin serves another one there.
    pub(super) fn index(&self, catalog: &Catalog) -> Option<String> {
        let path = DocumentName::Index.path();
        let mut endpoints = catalog.installed().iter().flat_map(|installed| &installed.endpoints);
        let is_taken = endpoints.any(|endpoint| endpoint.method == http::Method::GET && endpoint.path.as_str() == path);
        (self.has_index && !is_taken).then(|| format!("{}{path}", self.url))
    }
}

/// Binds the address that is served on.
async fn listen_for_dev(address: SocketAddr, expose: bool) -> Result<(TcpListener, SocketAddr), Failure> {
    if !address.ip().is_loopback() {
        if !expose {
            return Err(exposed(address));
        }
        logging::say(&format!("warning: whoever reaches {address} can use the plugins; nothing here is money"));
    }
    listen(address, "; choose another with --listen").await
}

fn exposed(address: SocketAddr) -> Failure {
    Failure::usage(format!(
        "other machines may reach {address}: add --expose if they should, as in a container, or use `coinslot serve`"
    ))
}

/// The public origin, and the hosts that are served beside it: this machine's own.
fn public(url: Option<&Url>, address: SocketAddr) -> Result<(Option<String>, Vec<String>), Failure> {
    let Some(url) = url else { return Ok((None, Vec::new())) };
    let is_origin = matches!(url.scheme(), "http" | "https") && url.path() == "/" && url.query().is_none();
    if !is_origin || url.host().is_none() {
        return Err(Failure::usage("--public-url is an origin, such as https://example.ngrok.app"));
    }
    let port = address.port();
    let hosts = vec![address.to_string(), format!("127.0.0.1:{port}"), format!("localhost:{port}")];
    Ok((Some(url.origin().ascii_serialization()), hosts))
}

/// The address that a client on this machine uses: no client can ask `0.0.0.0`.
pub(super) fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::from((Ipv4Addr::LOCALHOST, address.port())),
        IpAddr::V6(ip) if ip.is_unspecified() => SocketAddr::from((Ipv6Addr::LOCALHOST, address.port())),
        IpAddr::V4(_) | IpAddr::V6(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_url_is_an_origin_and_the_own_addresses_are_served_beside_it() {
        let url = |text: &str| Url::parse(text).expect("a URL");
        let address = SocketAddr::from(([127, 0, 0, 1], 8402));
        let (origin, hosts) = public(Some(&url("https://Example.ngrok.app/")), address).expect("an origin");
        assert_eq!(origin.as_deref(), Some("https://example.ngrok.app"));
        assert!(hosts.contains(&"localhost:8402".to_owned()));
        for other in ["https://a.example/x", "https://a.example/?q", "file:///x"] {
            public(Some(&url(other)), address).expect_err(other);
        }
        assert_eq!(reachable(SocketAddr::from(([0, 0, 0, 0], 1))).to_string(), "127.0.0.1:1");
    }
}
