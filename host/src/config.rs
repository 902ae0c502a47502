//! `coinslot.toml`: parsed at the rim into a typed [`Config`].
//!
//! Unknown keys are refused, and every problem is reported at once with its key. Nothing here opens a
//! socket or asks a chain. Secrets are never in the file: it names environment variables and files.

mod accept;
mod facilitator;
mod restart;
mod hosts;
mod limits;
mod plugin;

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use serde::Deserialize;
use url::Url;

use self::accept::{RawAccept, accept};
use self::facilitator::{RawFacilitator, facilitator};
use self::limits::{RawHealth, RawLimits};
use coinslot_plugin::Limits;
use coinslot_x402::Flow;
use coinslot_x402::price::Accept;

pub use self::facilitator::{CredentialSource, FacilitatorConfig, KeySource, Settling, parse_units};
pub use self::plugin::{PluginConfig, SecretSource};

/// What the operator wants.
#[derive(Clone, Debug)]
pub struct Config {
    pub listen: SocketAddr,
    /// Without a slash at the end; none means the address that is listened on.
    pub public_url: Option<String>,
    /// Hosts that are served beside the public one, lower case.
    pub hosts: Vec<String>,
    pub plugins: PathBuf,
    /// Ledger and compiled plugins.
    pub state: PathBuf,
    /// The preferred first, each with the names of its facilitators, the preferred of them first.
    pub accepts: Vec<(Accept, Vec<String>)>,
    pub facilitators: BTreeMap<String, FacilitatorConfig>,
    pub limits: Limits,
    /// What is said of single plugins, by the names in their manifests.
    pub plugin: BTreeMap<String, PluginConfig>,
    /// Connections at once.
    pub max_connections: usize,
    /// How long a shutdown waits for what is at work.
    pub drain: Duration,
    /// How long it serves on after the signal, and says that it is not ready.
    pub linger: Duration,
    /// Who may say for whom it asks.
    pub trusted_proxies: Vec<IpNet>,
    /// The certificate that connections are encrypted with, if they are.
    pub tls: Option<TlsFiles>,
    /// Guests at once, of all plugins.
    pub instances: usize,
    /// How long paid answers are kept, and up to which size.
    pub keep_answers: Duration,
    pub keep_answer_bytes: usize,
    /// How long finished payments stay in the ledger; their sums stay for ever.
    pub keep_payments: Duration,
    /// How often a client may.
    pub protect: Protect,
    /// The payment flows that plugins may choose from; the first is for those that do not choose.
    pub flows: Vec<Flow>,
    /// Signs offers and receipts, if anything does.
    pub receipts: Option<KeySource>,
}

/// Both PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    pub certificates: PathBuf,
    pub key: PathBuf,
}

/// How often a client may. Zero is no limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Protect {
    pub payments_per_second: f64,
    pub failures_per_second: f64,
}

/// Everything that is wrong with a file, a line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    file: PathBuf,
    list: Vec<String>,
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        for problem in &self.list {
            write!(f, "\n  {}", problem.trim_end().replace('\n', "\n  "))?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default = "listen")]
    listen: String,
    public_url: Option<String>,
    #[serde(default)]
    hosts: Vec<String>,
    #[serde(default = "plugins")]
    plugins: PathBuf,
    #[serde(default = "state")]
    state: PathBuf,
    #[serde(default)]
    accept: Vec<RawAccept>,
    #[serde(default)]
    facilitator: BTreeMap<String, RawFacilitator>,
    #[serde(default)]
    limits: RawLimits,
    #[serde(default)]
    health: RawHealth,
    #[serde(default)]
    plugin: BTreeMap<String, plugin::RawPlugin>,
    #[serde(default)]
    answers: RawAnswers,
    #[serde(default)]
    ledger: RawLedger,
    flows: Option<Vec<String>>,
    #[serde(default)]
    protect: RawProtect,
    #[serde(default)]
    server: RawServer,
    tls: Option<RawTls>,
    receipts: Option<RawReceipts>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAnswers {
    keep_seconds: Option<u64>,
    keep_kib: Option<usize>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLedger {
    keep_days: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawProtect {
    payments_per_second: Option<f64>,
    failures_per_second: Option<f64>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawServer {
    max_connections: Option<usize>,
    drain_seconds: Option<u64>,
    #[serde(default)]
    linger_seconds: u64,
    #[serde(default)]
    trusted_proxies: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTls {
    cert: PathBuf,
    key: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawReceipts {
    key_env: Option<String>,
    key_file: Option<PathBuf>,
}

fn listen() -> String {
    "127.0.0.1:8402".to_owned()
}
fn plugins() -> PathBuf {
    "plugins".into()
}
fn state() -> PathBuf {
    ".coinslot".into()
}
/// Connections at once unless configured.
pub const DEFAULT_CONNECTIONS: usize = 10_000;
/// In seconds.
pub const DEFAULT_DRAIN: u64 = 30;
/// Guests at once unless configured.
pub const DEFAULT_INSTANCES: usize = 256;
/// Paid answers are kept for a day unless configured.
pub const DEFAULT_KEEP: Duration = Duration::from_secs(24 * 60 * 60);
/// A hundred payments of one payer each second; addresses are not limited, because behind a proxy they
/// are all the same.
pub const DEFAULT_PROTECT: Protect = Protect { payments_per_second: 100.0, failures_per_second: 0.0 };
/// Finished payments stay in the ledger for so long unless configured.
pub const DEFAULT_KEEP_PAYMENTS: Duration = Duration::from_secs(400 * 24 * 60 * 60);
/// Paid answers up to this size are kept after delivery unless configured.
pub const DEFAULT_KEEP_BYTES: usize = 1 << 20;

impl Config {
    /// How clients reach this host, which listens there: an origin.
    pub fn origin(&self, address: SocketAddr) -> String {
        self.public_url.clone().unwrap_or_else(|| format!("{}://{address}", self.scheme()))
    }

    /// `https`, if connections are encrypted here.
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// Reads a file. Paths in it are relative to its directory.
    pub fn read(file: &Path) -> Result<Self, Problems> {
        let failed = |problem: String| Problems { file: file.to_owned(), list: vec![problem] };
        let text = std::fs::read_to_string(file).map_err(|error| failed(error.to_string()))?;
        let base = file.parent().unwrap_or(Path::new("")).to_owned();
        Self::parse(&text, &base).map_err(|list| Problems { file: file.to_owned(), list })
    }

    /// Reads only what a file says of plugins: `[limits]` and `[plugin.NAME]`. The rest of it may be missing.
    pub fn read_terms(file: &Path) -> Result<(Limits, BTreeMap<String, PluginConfig>), Problems> {
        let failed = |list| Problems { file: file.to_owned(), list };
        let text = std::fs::read_to_string(file).map_err(|error| failed(vec![error.to_string()]))?;
        let raw: Raw = toml::from_str(&text).map_err(|error| failed(vec![error.to_string()]))?;
        let mut problems = Vec::new();
        let limits = limits::all(&raw.limits, &raw.health, &mut problems);
        let plugin = plugin::read(raw.plugin, file.parent().unwrap_or(Path::new("")), &limits, &mut problems);
        if problems.is_empty() { Ok((limits, plugin)) } else { Err(failed(problems)) }
    }

    fn parse(text: &str, base: &Path) -> Result<Self, Vec<String>> {
        let raw: Raw = toml::from_str(text).map_err(|error| vec![error.to_string()])?;
        let mut problems = Vec::new();
        let listen = raw.listen.parse().unwrap_or_else(|_| {
            problems.push(format!("listen: `{}` is not an address such as `0.0.0.0:8402`", raw.listen));
            SocketAddr::from(([127, 0, 0, 1], 8402))
        });
        let public_url = raw.public_url.as_deref().and_then(|text| match public_url(text) {
            Ok(url) => Some(url),
            Err(problem) => {
                problems.push(format!("public_url: {problem}"));
                None
            }
        });
        let mut hosts = Vec::new();
        if raw.public_url.is_none() && !raw.hosts.is_empty() {
            problems.push("hosts: name public_url too: without it every host name is served".to_owned());
        }
        for (index, text) in raw.hosts.iter().enumerate() {
            match hosts::host(text) {
                Ok(host) => hosts.push(host),
                Err(problem) => problems.push(format!("hosts[{index}]: {problem}")),
            }
        }
        let mut facilitators = BTreeMap::new();
        for (name, raw) in raw.facilitator {
            match facilitator(raw, base) {
                Ok(facilitator) => {
                    facilitators.insert(name, facilitator);
                }
                Err(list) => problems.extend(list.into_iter().map(|p| format!("facilitator.{name}{p}"))),
            }
        }
        if raw.accept.is_empty() {
            problems.push("accept: name at least one asset that is taken, in an [[accept]] table".to_owned());
        }
        let mut accepts: Vec<(Accept, Vec<String>)> = Vec::new();
        let mut seen = HashSet::new();
        for (index, raw) in raw.accept.into_iter().enumerate() {
            match accept(raw, &facilitators) {
                Ok((accept, by)) => {
                    if !seen.insert((accept.asset.network.clone(), accept.asset.address.to_ascii_lowercase())) {
                        problems.push(format!("accept[{index}]: the same asset is named twice"));
                    }
                    accepts.push((accept, by));
                }
                Err(list) => problems.extend(list.into_iter().map(|p| format!("accept[{index}]{p}"))),
            }
        }
        let limits = limits::all(&raw.limits, &raw.health, &mut problems);
        let instances = limits::instances("limits.instances", raw.limits.instances, DEFAULT_INSTANCES, &mut problems);
        let plugin = plugin::read(raw.plugin, base, &limits, &mut problems);
        let slowest = plugin.values().filter_map(|plugin| plugin.limits.as_ref()).map(|own| own.first_byte);
        let slowest = slowest.chain([limits.first_byte]).max().unwrap_or_default();
        let max_connections = raw.server.max_connections.unwrap_or(DEFAULT_CONNECTIONS);
        if !(1..=1_000_000).contains(&max_connections) {
            problems.push("server.max_connections: from 1 to 1000000".to_owned());
        }
        let drain = raw.server.drain_seconds.unwrap_or(DEFAULT_DRAIN);
        if drain > 3_600 {
            problems.push("server.drain_seconds: at most 3600".to_owned());
        }
        if raw.server.linger_seconds > 3_600 {
            problems.push("server.linger_seconds: at most 3600".to_owned());
        }
        let trusted_proxies = proxies(&raw.server.trusted_proxies, &mut problems);
        if raw.tls.is_some() && raw.public_url.as_deref().is_some_and(|url| url.starts_with("http://")) {
            problems.push("public_url: with a [tls] certificate clients reach this host by https".to_owned());
        }
        for (index, (accept, _)) in accepts.iter().enumerate() {
            // A payment must outlive the plugin's time to answer, and settlement after it.
            if accept.max_timeout_seconds < slowest.as_secs() + 30 {
                problems.push(format!(
                    "accept[{index}].max_timeout_seconds: at least every plugin's first_byte_ms and 30 seconds"
                ));
            }
        }
        let flows = flows(raw.flows.as_deref(), &mut problems);
        let protect = protect(&raw.protect, &mut problems);
        if raw.ledger.keep_days == Some(0) {
            problems.push("ledger.keep_days: at least 1".to_owned());
        }
        let receipts = raw.receipts.and_then(|raw| match (raw.key_env, raw.key_file) {
            (Some(name), None) => Some(KeySource::Env(name)),
            (None, Some(file)) => Some(KeySource::File(base.join(file))),
            (None, None) | (Some(_), Some(_)) => {
                problems.push("receipts: name the key that signs them, with key_env or key_file".to_owned());
                None
            }
        });
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self {
            receipts,
            listen,
            public_url,
            hosts,
            plugins: base.join(raw.plugins),
            state: base.join(raw.state),
            accepts,
            facilitators,
            limits,
            plugin,
            max_connections,
            drain: Duration::from_secs(drain),
            linger: Duration::from_secs(raw.server.linger_seconds),
            trusted_proxies,
            tls: raw.tls.map(|raw| TlsFiles { certificates: base.join(raw.cert), key: base.join(raw.key) }),
            instances,
            keep_answers: raw.answers.keep_seconds.map_or(DEFAULT_KEEP, Duration::from_secs),
            keep_payments: raw
                .ledger
                .keep_days
                .map_or(DEFAULT_KEEP_PAYMENTS, |days| Duration::from_secs(days.saturating_mul(24 * 60 * 60))),
            flows,
            protect,
            keep_answer_bytes: raw.answers.keep_kib.map_or(DEFAULT_KEEP_BYTES, |kib| kib.saturating_mul(1024)),
        })
    }
}

/// Networks, or single addresses.
fn proxies(named: &[String], problems: &mut Vec<String>) -> Vec<IpNet> {
    let mut nets = Vec::new();
    for (index, text) in named.iter().enumerate() {
        match text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)) {
            Ok(net) => nets.push(net),
            Err(_) => problems.push(format!(
                "server.trusted_proxies[{index}]: `{text}` is not an address or a network such as `10.0.0.0/8`"
            )),
        }
    }
    nets
}

fn protect(raw: &RawProtect, problems: &mut Vec<String>) -> Protect {
    let mut rate = |key: &str, value: Option<f64>, default: f64| match value {
        Some(value) if value == 0.0 || (0.001..=1_000_000.0).contains(&value) => value,
        Some(_) => {
            problems.push(format!("protect.{key}: from 0.001 to 1000000, or 0 for no limit"));
            default
        }
        None => default,
    };
    let default = DEFAULT_PROTECT;
    Protect {
        payments_per_second: rate("payments_per_second", raw.payments_per_second, default.payments_per_second),
        failures_per_second: rate("failures_per_second", raw.failures_per_second, default.failures_per_second),
    }
}

/// Both flows unless configured.
fn flows(names: Option<&[String]>, problems: &mut Vec<String>) -> Vec<Flow> {
    let Some(names) = names else { return vec![Flow::Authorization, Flow::Upfront] };
    if names.is_empty() {
        problems.push("flows: name `authorization`, `upfront` or both".to_owned());
    }
    let mut flows = Vec::new();
    for name in names {
        match Flow::parse(name) {
            Some(flow) => flows.push(flow),
            None => problems.push(format!("flows: `{name}` is neither `authorization` nor `upfront`")),
        }
    }
    flows
}

/// An origin: clients are told exactly this, and add a path to it.
fn public_url(text: &str) -> Result<String, String> {
    let url = Url::parse(text).map_err(|error| format!("`{text}` is not a URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(format!("`{text}` is not an http or https address"));
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
        return Err(format!("`{text}` must be an origin, such as `https://api.example.com`, without a path"));
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests;
