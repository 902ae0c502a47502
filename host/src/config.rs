//! `coinslot.toml`: parsed at the rim into a typed [`Config`].
//!
//! Unknown keys are refused, and every problem is reported at once with its key. Nothing here opens a
//! socket or asks a chain. Secrets are never in the file: it names environment variables and files.

mod fixed;
mod hosts;
mod limits;
mod plugin;

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::U256;
use ipnet::IpNet;
use serde::Deserialize;
use url::Url;

use crate::catalog::Accept;
use crate::plugin::Limits;
use crate::price::{Amount, Asset, Decimal, Eip712, evm_receiver};
use crate::x402::{Flow, Network, Versions};
use limits::{RawHealth, RawLimits};

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

/// Who settles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FacilitatorConfig {
    /// In this process. Each key is a wallet that pays for gas.
    Local { rpc: Url, keys: Vec<KeySource>, poll: Duration, settling: Settling },
    /// Over HTTP.
    Remote {
        url: Url,
        credential: CredentialSource,
        /// Whether it is told the paths that are paid for without their queries.
        strip_query: bool,
        verify_timeout: Duration,
        settle_timeout: Duration,
        /// A node of the chain that it settles on, which is asked when its answer is lost.
        rpc: Option<Url>,
    },
}

/// Where the credential for a facilitator comes from: environment variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialSource {
    None,
    /// A token that is always the same.
    Bearer {
        env: String,
    },
    /// A key of Coinbase's developer platform, which signs a token for each request.
    Cdp {
        id_env: String,
        secret_env: String,
    },
}

/// How payments are settled in this process; what is none is left to the facilitator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settling {
    /// Blocks that a payment must be in or under.
    pub confirmations: Option<u64>,
    pub batch_delay: Option<Duration>,
    /// Payments in one transaction, at most.
    pub batch_payments: Option<usize>,
    /// In wei for each unit of gas.
    pub max_gas_price: Option<u128>,
    /// In wei.
    pub gas_budget_per_day: Option<U256>,
    /// In wei.
    pub low_balance: Option<U256>,
}

/// Where a private key comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    Env(String),
    File(PathBuf),
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAccept {
    network: String,
    #[serde(default = "usdc")]
    asset: String,
    decimals: Option<u8>,
    eip712_name: Option<String>,
    eip712_version: Option<String>,
    pay_to: String,
    #[serde(default = "max_timeout")]
    max_timeout_seconds: u64,
    #[serde(default = "max_unsettled")]
    max_unsettled: String,
    facilitator: Option<Names>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "the name of a facilitator, or a list of names with the preferred first")]
enum Names {
    One(String),
    Several(Vec<String>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFacilitator {
    url: Option<String>,
    bearer_env: Option<String>,
    cdp_key_id_env: Option<String>,
    cdp_key_secret_env: Option<String>,
    strip_query: Option<bool>,
    verify_timeout_ms: Option<u64>,
    settle_timeout_ms: Option<u64>,
    rpc: Option<String>,
    key_env: Option<OneOrMore<String>>,
    key_file: Option<OneOrMore<PathBuf>>,
    poll_ms: Option<u64>,
    confirmations: Option<u64>,
    batch_delay_ms: Option<u64>,
    batch_payments: Option<usize>,
    max_gas_price_gwei: Option<String>,
    gas_budget_per_day: Option<String>,
    low_balance: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a text or a list of texts")]
enum OneOrMore<T> {
    One(T),
    More(Vec<T>),
}

impl<T> From<OneOrMore<T>> for Vec<T> {
    fn from(given: OneOrMore<T>) -> Self {
        match given {
            OneOrMore::One(one) => vec![one],
            OneOrMore::More(more) => more,
        }
    }
}

impl RawFacilitator {
    /// The keys that are there and belong to a local facilitator.
    fn local_keys(&self) -> Vec<&'static str> {
        [
            ("key_env", self.key_env.is_some()),
            ("key_file", self.key_file.is_some()),
            ("poll_ms", self.poll_ms.is_some()),
            ("confirmations", self.confirmations.is_some()),
            ("batch_delay_ms", self.batch_delay_ms.is_some()),
            ("batch_payments", self.batch_payments.is_some()),
            ("max_gas_price_gwei", self.max_gas_price_gwei.is_some()),
            ("gas_budget_per_day", self.gas_budget_per_day.is_some()),
            ("low_balance", self.low_balance.is_some()),
        ]
        .into_iter()
        .filter_map(|(key, there)| there.then_some(key))
        .collect()
    }
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

fn max_unsettled() -> String {
    "100".to_owned()
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
fn usdc() -> String {
    "USDC".to_owned()
}
fn max_timeout() -> u64 {
    300
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

/// How often a local facilitator looks for a receipt unless configured.
const DEFAULT_POLL: Duration = Duration::from_millis(250);
/// Nodes refuse clients that ask more often.
const MIN_POLL: Duration = Duration::from_millis(20);

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

fn facilitator(mut raw: RawFacilitator, base: &Path) -> Result<FacilitatorConfig, Vec<String>> {
    let url = |key: &str, text: &str| {
        Url::parse(text).map_err(|error| vec![format!(".{key}: `{text}` is not a URL: {error}")])
    };
    match (raw.url.take(), raw.rpc.take()) {
        (Some(remote), rpc) => {
            let local = raw.local_keys();
            if !local.is_empty() {
                return Err(local
                    .into_iter()
                    .map(|key| format!(".{key}: belongs to a local facilitator (with `rpc`)"))
                    .collect());
            }
            let credential = match (raw.bearer_env, raw.cdp_key_id_env, raw.cdp_key_secret_env) {
                (None, None, None) => CredentialSource::None,
                (Some(env), None, None) => CredentialSource::Bearer { env },
                (None, Some(id_env), Some(secret_env)) => CredentialSource::Cdp { id_env, secret_env },
                (None, _, _) => {
                    return Err(vec![": cdp_key_id_env and cdp_key_secret_env belong together".to_owned()]);
                }
                (Some(_), _, _) => return Err(vec![": name bearer_env or the two of cdp_key, not all".to_owned()]),
            };
            let timeout = |key: &str, value: Option<u64>, default: u64| match value.unwrap_or(default) {
                millis @ 100..=300_000 => Ok(Duration::from_millis(millis)),
                _ => Err(vec![format!(".{key}: from 100 to 300000")]),
            };
            let rpc = rpc.map(|rpc| url("rpc", &rpc)).transpose()?;
            Ok(FacilitatorConfig::Remote {
                rpc,
                url: url("url", &remote)?,
                credential,
                strip_query: raw.strip_query.unwrap_or(true),
                verify_timeout: timeout("verify_timeout_ms", raw.verify_timeout_ms, 10_000)?,
                settle_timeout: timeout("settle_timeout_ms", raw.settle_timeout_ms, 60_000)?,
            })
        }
        (None, Some(rpc)) => {
            let remote = [
                ("bearer_env", raw.bearer_env.is_some()),
                ("cdp_key_id_env", raw.cdp_key_id_env.is_some()),
                ("cdp_key_secret_env", raw.cdp_key_secret_env.is_some()),
                ("strip_query", raw.strip_query.is_some()),
                ("verify_timeout_ms", raw.verify_timeout_ms.is_some()),
                ("settle_timeout_ms", raw.settle_timeout_ms.is_some()),
            ];
            if let Some((key, _)) = remote.iter().find(|(_, named)| *named) {
                return Err(vec![format!(".{key}: belongs to a remote facilitator (with `url`)")]);
            }
            let poll = raw.poll_ms.map_or(DEFAULT_POLL, Duration::from_millis);
            let (url, settling) = (url("rpc", &rpc), settling(&raw));
            let keys = match (raw.key_env, raw.key_file) {
                (Some(names), None) => Vec::from(names).into_iter().map(KeySource::Env).collect(),
                (None, Some(files)) => {
                    Vec::from(files).into_iter().map(|file| KeySource::File(base.join(file))).collect()
                }
                (None, None) => vec![KeySource::Env("COINSLOT_GAS_KEY".to_owned())],
                (Some(_), Some(_)) => return Err(vec![": name key_env or key_file, not both".to_owned()]),
            };
            if keys.is_empty() {
                return Err(vec![": name at least one key in key_env or key_file".to_owned()]);
            }
            if poll < MIN_POLL {
                return Err(vec![format!(".poll_ms: at least {}", MIN_POLL.as_millis())]);
            }
            match (url, settling) {
                (Ok(rpc), Ok(settling)) => Ok(FacilitatorConfig::Local { rpc, keys, poll, settling }),
                (url, settling) => Err([url.err(), settling.err()].into_iter().flatten().flatten().collect()),
            }
        }
        (None, None) => Err(vec![": name `url` (a remote facilitator) or `rpc` (settle here)".to_owned()]),
    }
}

fn settling(raw: &RawFacilitator) -> Result<Settling, Vec<String>> {
    let mut problems = Vec::new();
    let mut units = |key: &str, text: &Option<String>, unit: &str, decimals: u8| {
        let parsed = parse_units(text.as_deref()?, decimals);
        if parsed.is_none() {
            problems.push(format!(
                ".{key}: `{}` is not a decimal number of {unit} with at most {decimals} digits after the point",
                text.as_deref().unwrap_or_default()
            ));
        }
        parsed
    };
    let max_gas_price = units("max_gas_price_gwei", &raw.max_gas_price_gwei, "gwei", 9);
    let gas_budget_per_day = units("gas_budget_per_day", &raw.gas_budget_per_day, "ether", 18);
    let low_balance = units("low_balance", &raw.low_balance, "ether", 18);
    if raw.confirmations == Some(0) {
        problems.push(".confirmations: at least 1, which is the payment's own block".to_owned());
    }
    if raw.batch_payments.is_some_and(|most| !(1..=200).contains(&most)) {
        problems.push(".batch_payments: from 1 to 200".to_owned());
    }
    if raw.batch_delay_ms.is_some_and(|delay| delay > 5_000) {
        problems.push(".batch_delay_ms: at most 5000".to_owned());
    }
    if max_gas_price.is_some_and(|price| price.is_zero() || price > U256::from(u64::MAX)) {
        problems.push(".max_gas_price_gwei: more than 0, and less than eighteen billion".to_owned());
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(Settling {
        confirmations: raw.confirmations,
        batch_delay: raw.batch_delay_ms.map(Duration::from_millis),
        batch_payments: raw.batch_payments,
        max_gas_price: max_gas_price.map(|price| price.saturating_to()),
        gas_budget_per_day,
        low_balance,
    })
}

/// `0.05` with 18 decimals: five hundredths of 10^18, without a sign, an exponent, or rounding.
pub fn parse_units(text: &str, decimals: u8) -> Option<U256> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || text.ends_with('.') || !digits(whole) || !digits(part) || part.len() > decimals.into() {
        return None;
    }
    format!("{whole}{part:0<width$}", width = usize::from(decimals)).parse().ok()
}

fn accept(
    raw: RawAccept,
    facilitators: &BTreeMap<String, FacilitatorConfig>,
) -> Result<(Accept, Vec<String>), Vec<String>> {
    let mut problems = Vec::new();
    let network = Network::parse_v1(&raw.network).map_err(|error| problems.push(format!(".network: {error}"))).ok();
    if let Some(network) = &network
        && network.chain_id().is_none()
    {
        problems.push(format!(".network: {network} is not an EVM network; this version settles on eip155 networks"));
    }
    let pay_to = evm_receiver(&raw.pay_to).map_err(|error| problems.push(format!(".pay_to: {error}"))).ok();
    let asset =
        network.as_ref().and_then(|network| asset(network, &raw).map_err(|problem| problems.push(problem)).ok());
    if !(60..=86_400).contains(&raw.max_timeout_seconds) {
        problems.push(".max_timeout_seconds: from 60 to 86400".to_owned());
    }
    let by = match (&raw.facilitator, facilitators.len()) {
        (Some(Names::One(name)), _) => vec![name.clone()],
        (Some(Names::Several(names)), _) => names.clone(),
        (None, 1) => facilitators.keys().cloned().collect(),
        (None, 0) => {
            problems.push(": there is no [facilitator.NAME] to settle it".to_owned());
            Vec::new()
        }
        (None, _) => {
            problems.push(".facilitator: there are several: name one, or a list with the preferred first".to_owned());
            Vec::new()
        }
    };
    if let (Some(asset), Some(pay_to)) = (&asset, &pay_to)
        && asset.address.eq_ignore_ascii_case(pay_to)
    {
        problems.push(
            ".pay_to: this is the contract of the asset, and nobody could take out what is paid to it".to_owned(),
        );
    }
    let max_unsettled = asset.as_ref().and_then(|asset| {
        let amount = Decimal::parse(&raw.max_unsettled).and_then(|decimal| Amount::of(&decimal, asset));
        amount.map_err(|error| problems.push(format!(".max_unsettled: {error}"))).ok()
    });
    if raw.facilitator.is_some() && by.is_empty() {
        problems.push(".facilitator: the list is empty".to_owned());
    }
    for (index, name) in by.iter().enumerate() {
        if !facilitators.contains_key(name) {
            problems.push(format!(".facilitator: there is no [facilitator.{name}]"));
        }
        if by[..index].contains(name) {
            problems.push(format!(".facilitator: {name} is named twice"));
        }
    }
    match (asset, pay_to, max_unsettled) {
        (Some(asset), Some(pay_to), Some(max_unsettled)) if problems.is_empty() => Ok((
            Accept {
                asset: Arc::new(asset),
                pay_to: pay_to.into(),
                max_timeout_seconds: raw.max_timeout_seconds,
                max_unsettled,
                versions: Versions::Both,
            },
            by,
        )),
        _ => Err(problems),
    }
}

/// A symbol of the table, or a contract with everything that the table would say of it.
fn asset(network: &Network, raw: &RawAccept) -> Result<Asset, String> {
    if !raw.asset.starts_with("0x") {
        if raw.decimals.is_some() || raw.eip712_name.is_some() || raw.eip712_version.is_some() {
            return Err(
                ": decimals, eip712_name and eip712_version describe an asset that is named by its contract".to_owned()
            );
        }
        return Asset::known(network, Some(&raw.asset)).ok_or_else(|| {
            format!(
                ".asset: no `{}` is known on {network}: name the contract, with decimals, eip712_name and eip712_version",
                raw.asset
            )
        });
    }
    let address = evm_receiver(&raw.asset).map_err(|error| format!(".asset: {error}"))?;
    match (raw.decimals, &raw.eip712_name, &raw.eip712_version) {
        (Some(decimals), Some(name), Some(version)) if decimals <= 36 => Ok(Asset {
            network: network.clone(),
            address,
            symbol: name.to_ascii_uppercase(),
            decimals,
            eip712: Some(Eip712 { name: name.clone(), version: version.clone() }),
            testnet: Asset::known(network, None).is_none_or(|known| known.testnet),
        }),
        _ => Err(".asset: an asset named by its contract needs decimals (at most 36), eip712_name and eip712_version"
            .to_owned()),
    }
}

#[cfg(test)]
mod tests;
