//! Reads how clients reach this host: `listen`, `public_url`, `hosts`, `[server]` and `[tls]`.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;
use url::Url;

use super::hosts;
use super::reader::Section;
use super::types::{ServerConfig, TlsFiles};
use super::values::{ByteSize, not_a_url};

const MIB: ByteSize = ByteSize(1 << 20);
const TIB: ByteSize = ByteSize(1 << 40);
const HOUR: Duration = Duration::from_secs(3_600);
const LONGEST_HSTS: Duration = Duration::from_secs(730 * 86_400);

/// Reads the keys of the server from the document's own table.
pub(super) fn read(root: &mut Section<'_, '_>, base: &Path) -> ServerConfig {
    let default = ServerConfig::default();
    let listen = listen(root).unwrap_or(default.listen);
    let any_host = !root.has("public_url");
    let (public_url, hosts) = (public_url(root), hosts(root));
    if any_host && !hosts.is_empty() {
        root.key_problem("hosts", "name public_url too: without it every host name is served");
    }
    let tls = tls(root, base);
    if tls.is_some() && public_url.as_deref().is_some_and(|url| url.starts_with("http://")) {
        root.key_problem("public_url", "with a [tls] certificate clients reach this host by https");
    }
    let mut section = root.section("server");
    let fallback = u64::try_from(default.max_connections).unwrap_or(u64::MAX);
    let max_connections = section.within("max_connections", 1..=1_000_000, fallback);
    let of_client = section.optional_within("max_connections_per_client", 1..=1_000_000_u64);
    ServerConfig {
        listen,
        public_url,
        hosts,
        tls,
        max_connections: usize::try_from(max_connections).unwrap_or(default.max_connections),
        max_connections_per_client: of_client.and_then(|most| usize::try_from(most).ok()),
        private_network_access: section.read("private_network_access").unwrap_or(default.private_network_access),
        keep_alive: section.within("keep_alive", Duration::from_secs(1)..=HOUR, default.keep_alive),
        max_held_bytes: section.within("max_held_bytes", MIB..=TIB, ByteSize::of(default.max_held_bytes)).bytes(),
        min_body_rate: section.within("min_body_rate", ByteSize(0)..=MIB, ByteSize(default.min_body_rate)).0,
        drain_timeout: section.within("drain_timeout", Duration::ZERO..=HOUR, default.drain_timeout),
        shutdown_delay: section.within("shutdown_delay", Duration::ZERO..=HOUR, default.shutdown_delay),
        trusted_proxies: trusted_proxies(&mut section),
    }
}

fn listen(root: &mut Section<'_, '_>) -> Option<SocketAddr> {
    let text: String = root.read("listen")?;
    let refused = |_| root.key_problem("listen", format!("`{text}` is not an address such as `0.0.0.0:8402`"));
    text.parse().map_err(refused).ok()
}

fn public_url(root: &mut Section<'_, '_>) -> Option<String> {
    let text: String = root.read("public_url")?;
    address(&text).map_err(|problem| root.key_problem("public_url", problem)).ok()
}

/// An address without a slash at the end: it stands in challenges as it is, with a path added to it.
fn address(text: &str) -> Result<String, String> {
    let url = Url::parse(text).map_err(|error| not_a_url(text, error))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(format!("`{text}` is not an http or https address"));
    }
    let has_user = !url.username().is_empty() || url.password().is_some();
    if url.query().is_some() || url.fragment().is_some() || has_user || url.path().contains("//") {
        return Err(format!(
            "`{text}` must be an origin, such as `https://api.example.com`, with the path that a proxy removes, if it \
             removes one"
        ));
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

fn hosts(root: &mut Section<'_, '_>) -> Vec<String> {
    let named: Vec<String> = root.read("hosts").unwrap_or_default();
    let mut hosts = Vec::new();
    for (index, text) in named.iter().enumerate() {
        match hosts::host(text) {
            Ok(host) => hosts.push(host),
            Err(problem) => root.key_problem(&format!("hosts[{index}]"), problem),
        }
    }
    hosts
}

fn tls(root: &mut Section<'_, '_>, base: &Path) -> Option<TlsFiles> {
    let mut section = root.optional_section("tls")?;
    let certificates: Option<String> = section.required("cert", "name the PEM file with the certificates");
    let key: Option<String> = section.required("key", "name the PEM file with the certificate's private key");
    let strict_for = section.optional_within("hsts", HOUR..=LONGEST_HSTS);
    Some(TlsFiles { certificates: base.join(certificates?), key: base.join(key?), strict_for })
}

/// Networks, or single addresses.
fn trusted_proxies(section: &mut Section<'_, '_>) -> Option<Vec<IpNet>> {
    let named: Vec<String> = section.read("trusted_proxies")?;
    let mut networks = Vec::new();
    for (index, text) in named.iter().enumerate() {
        match text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)) {
            Ok(network) => networks.push(network),
            Err(_) => section.key_problem(
                &format!("trusted_proxies[{index}]"),
                format!("`{text}` is not an address or a network such as `10.0.0.0/8`"),
            ),
        }
    }
    Some(networks)
}
