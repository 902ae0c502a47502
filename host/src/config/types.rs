//! The configuration as types, with the default of every setting.

mod discover;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::U256;
use coinslot_plugin::{Allowed, Limits, Origin, OutputLevel, Quota, SecretPlace};
use coinslot_x402::price::{Asset, Decimal};
use coinslot_x402::{Flow, Network};
use ipnet::IpNet;
use url::Url;

pub use self::discover::{Accent, DiscoverConfig, Robots};
use super::settlement::{AcceptConfig, FacilitatorConfig, KeySource};
use crate::allowance::{Allowance, PayerList};
use crate::catalog::{PluginOverrides, PluginPins, SaleTerms};
use crate::endpoint::PluginPages;
use crate::operate::WebhookEvent;

/// Everything that an operator decides about a host.
///
/// The default is complete but for [`PaymentConfig`]: a host that sells something names an asset and a facilitator.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The directory that relative paths of the file start from. Empty without a file: the current one.
    pub base: PathBuf,
    pub server: ServerConfig,
    pub plugins: PluginsConfig,
    pub payment: PaymentConfig,
    pub state: StateConfig,
    /// None: there is no listener for operators.
    pub admin: Option<AdminConfig>,
    pub webhooks: Vec<WebhookConfig>,
    pub allowances: AllowanceConfig,
    /// None: nothing is paid back.
    pub refunds: Option<RefundConfig>,
    /// The filter of the log. None: the default.
    pub log: Option<String>,
    /// None: traces and metrics are not exported.
    pub telemetry: Option<TelemetryConfig>,
    pub discover: DiscoverConfig,
}

/// The rules of free requests and of payers: `[[allow]]` and `[payers]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowanceConfig {
    pub allowances: Vec<Allowance>,
    /// None: everybody may pay.
    pub allow: Option<PayerSource>,
    pub deny: Option<PayerSource>,
}

/// A list of payers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PayerSource {
    pub accounts: PayerList,
    /// A file with more of them, one in each line.
    pub file: Option<PathBuf>,
}

/// The wallet that pays owed answers back: `[refunds]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefundConfig {
    pub key: KeySource,
    /// The most that is paid back in 24 hours, of each money: without a symbol in all assets that are US dollars.
    pub daily_budget: Vec<Decimal>,
    /// The age of a debt at which the host pays it back by itself. None: operators do.
    pub after: Option<Duration>,
    /// In wei for each unit of gas. None: 50 gwei.
    pub max_gas_price: Option<u128>,
    /// The balance that the wallet should have for gas on each chain, in wei. None: enough for twenty refunds.
    pub low_balance: Option<U256>,
}

/// An address that is told what happens: `[[webhook]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookConfig {
    pub url: Url,
    /// The secret that signs its messages.
    pub secret: KeySource,
    pub events: Vec<WebhookEvent>,
}

/// The listener for operators: `[admin]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminConfig {
    pub listen: SocketAddr,
    /// Names by which browsers may call it, lower case, beside addresses and `localhost`.
    pub hosts: Vec<String>,
    /// The token that every request carries. None on a loopback address, where every user of the machine may ask, and
    /// where certificates of clients are asked for.
    pub token: Option<KeySource>,
    /// None: it speaks plain HTTP.
    pub tls: Option<AdminTls>,
}

/// The certificate of the listener for operators: `[admin.tls]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminTls {
    pub certificates: PathBuf,
    pub key: PathBuf,
    /// The authorities that sign the certificates of clients. None: no certificate is asked for.
    pub client_ca: Option<PathBuf>,
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 8405)), hosts: Vec::new(), token: None, tls: None }
    }
}

/// The export of traces and metrics: `[telemetry]`.
#[derive(Clone, Debug, PartialEq)]
pub struct TelemetryConfig {
    /// The collector, without the path of a signal. None: as `OTEL_EXPORTER_OTLP_*` say, or this machine's.
    pub endpoint: Option<Url>,
    /// The share of requests whose traces are exported, from 0 to 1.
    pub sample: f64,
    /// Set if metrics are exported, too.
    pub metrics: bool,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self { endpoint: None, sample: 0.01, metrics: true }
    }
}

impl TelemetryConfig {
    /// The address that takes a signal.
    pub fn endpoint_of(&self, signal: &str) -> Option<String> {
        self.endpoint.as_ref().map(|base| format!("{}/{signal}", base.as_str().trim_end_matches('/')))
    }
}

/// The address and the connections of the host: `listen`, `public_url`, `hosts`, `[server]` and `[tls]`.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    pub listen: SocketAddr,
    /// An origin, or an origin and the path that a proxy removes, without a slash at the end. None stands for the
    /// address that is listened on.
    pub public_url: Option<String>,
    /// Hosts that are served beside the public one, lower case.
    pub hosts: Vec<String>,
    /// None: connections are not encrypted.
    pub tls: Option<TlsFiles>,
    /// Connections at once.
    pub max_connections: usize,
    /// Connections of one client at once, where its address is known. None: 1/32 of all, and at least 64.
    pub max_connections_per_client: Option<usize>,
    /// Pages of the Internet may call a host in a private network, as far as browsers ask for leave.
    pub private_network_access: bool,
    /// The time for which an HTTP/1 connection waits for its next request.
    pub keep_alive: Duration,
    /// Bytes of request bodies, and of answers that wait for their settlement, that are held at once.
    pub max_held_bytes: usize,
    /// The least bytes per second at which a client sends the body of a paid request. Zero: none.
    pub min_body_rate: u64,
    /// The longest wait of a shutdown for connections and payments at work.
    pub drain_timeout: Duration,
    /// The time that the host serves on after the signal, and says that it is not ready.
    pub shutdown_delay: Duration,
    /// Proxies whose `X-Forwarded-For` is believed. None: the operator has not said which there are.
    pub trusted_proxies: Option<Vec<IpNet>>,
}

/// The plugin folder and the bounds of what runs from it: `plugins`, `[limits]`, `[health]` and `[plugin.NAME]`.
#[derive(Clone, Debug)]
pub struct PluginsConfig {
    pub folder: PathBuf,
    /// Instances at once, of all plugins together.
    pub max_instances: usize,
    /// Bounds of each plugin that has none of its own.
    pub limits: Limits,
    /// Single plugins, by the names in their manifests.
    pub by_name: BTreeMap<String, PluginConfig>,
}

/// The assets that are taken, and their facilitators: `[[accept]]`, `[facilitator.NAME]`, `receiver_shared`, `flows`,
/// `[rate_limits]` and `[receipts]`.
#[derive(Clone, Debug)]
pub struct PaymentConfig {
    /// The preferred first: clients take the first that they support.
    pub accepts: Vec<AcceptConfig>,
    pub facilitators: BTreeMap<String, FacilitatorConfig>,
    /// Others sell for the same receivers: a payment by a transaction that tells no seller may be theirs.
    pub receiver_shared: bool,
    /// The payment flows that plugins may choose from; the first is for plugins that do not choose.
    pub flows: Vec<Flow>,
    pub rate_limits: RateLimitConfig,
    /// The key that signs offers and receipts; none are signed without it.
    pub receipts: Option<KeySource>,
}

/// The state folder, and the time for which its records stay: `state`, `[answers]` and `[ledger]`.
#[derive(Clone, Debug)]
pub struct StateConfig {
    /// The folder of the ledger, of compiled plugins and of the builds that served before.
    pub folder: PathBuf,
    /// The time for which a paid answer can be fetched again.
    pub keep_answers_for: Duration,
    /// The largest answer that is kept, in bytes.
    pub max_kept_answer: usize,
    /// The bytes of all kept answers together; the oldest go first.
    pub max_kept_answers: u64,
    /// The time for which finished payments stay in the ledger; their sums stay for ever.
    pub keep_payments_for: Duration,
    /// The time between two comparisons of the ledger with the chains. Zero: the host makes none.
    pub reconcile_every: Duration,
}

/// A certificate with its chain, and its private key. Both files are PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    pub certificates: PathBuf,
    pub key: PathBuf,
    /// The time for which browsers come back over TLS only. None: they are not told to.
    pub strict_for: Option<Duration>,
}

/// Rates per second. Zero disables a limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateLimitConfig {
    /// Payments of one payer.
    pub payments_per_second: f64,
    /// Bad payments from one address. None: 5, from addresses that tell one client from another.
    pub failures_per_second: Option<f64>,
}

/// The grants and bounds of one plugin.
#[derive(Clone, Debug)]
pub struct PluginConfig {
    /// Origins that its requests may go to.
    pub http: Vec<Allowed>,
    /// Header fields and parameters that the host adds to some of them.
    pub secrets: Vec<SecretSource>,
    /// Keys and values that `wasi:config` gives to it.
    pub config: Vec<(String, String)>,
    /// The quota of `wasi:keyvalue`; without one nothing is kept.
    pub keyvalue: Option<Quota>,
    /// Its own limits, if they differ from the limits of all plugins.
    pub limits: Option<Limits>,
    /// The conditions for a component of this name.
    pub pins: PluginPins,
    /// The changes of what it declares.
    pub overrides: PluginOverrides,
    /// Requests are checked against the schemas that it declares.
    pub validate: bool,
    /// The origin of its pages in a browser.
    pub pages: PluginPages,
    /// The lines of it that get into the log.
    pub log: OutputLevel,
}

/// A secret that is added to requests to one origin, and where its value is found.
#[derive(Clone, Debug)]
pub struct SecretSource {
    pub origin: Origin,
    pub place: SecretPlace,
    /// Text before the value, for example `Bearer `.
    pub prefix: String,
    pub value: KeySource,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8402)),
            public_url: None,
            hosts: Vec::new(),
            tls: None,
            max_connections: 10_000,
            max_connections_per_client: None,
            private_network_access: false,
            keep_alive: Duration::from_secs(75),
            max_held_bytes: 256 << 20,
            min_body_rate: 1 << 10,
            drain_timeout: Duration::from_secs(30),
            shutdown_delay: Duration::ZERO,
            trusted_proxies: None,
        }
    }
}

impl Default for PluginsConfig {
    fn default() -> Self {
        Self { folder: "plugins".into(), max_instances: 256, limits: Limits::default(), by_name: BTreeMap::new() }
    }
}

impl Default for PluginConfig {
    fn default() -> Self {
        Self {
            http: Vec::new(),
            secrets: Vec::new(),
            config: Vec::new(),
            keyvalue: None,
            limits: None,
            pins: PluginPins::default(),
            overrides: PluginOverrides::default(),
            validate: true,
            pages: PluginPages::default(),
            log: OutputLevel::default(),
        }
    }
}

impl Default for PaymentConfig {
    fn default() -> Self {
        Self {
            accepts: Vec::new(),
            facilitators: BTreeMap::new(),
            receiver_shared: false,
            flows: vec![Flow::Authorization, Flow::Upfront],
            rate_limits: RateLimitConfig { payments_per_second: 100.0, failures_per_second: None },
            receipts: None,
        }
    }
}

impl Default for StateConfig {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Self {
            folder: ".coinslot".into(),
            keep_answers_for: DAY,
            max_kept_answer: 1 << 20,
            max_kept_answers: 4 << 30,
            keep_payments_for: 400 * DAY,
            reconcile_every: DAY / 4,
        }
    }
}

impl Config {
    /// The origin by which clients reach a host that listens on this address, with the path before all routes, if there
    /// is one.
    pub fn origin(&self, address: SocketAddr) -> String {
        self.server.public_url.clone().unwrap_or_else(|| format!("{}://{address}", self.server.scheme()))
    }
}

impl PluginsConfig {
    /// The receivers that plugins and routes have in the place of that of an asset.
    pub fn receivers<'c>(&'c self, asset: &'c Asset) -> impl Iterator<Item = &'c Arc<str>> {
        let terms = self.by_name.values().flat_map(|plugin| plugin.overrides.all_terms());
        terms.filter_map(|terms: &SaleTerms| terms.receiver(asset))
    }
}

impl ServerConfig {
    /// `https`, if connections are encrypted here.
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// The reason why buyers would be told an address that they cannot use, if there is one.
    pub fn unusable_origin(&self, address: SocketAddr) -> Option<String> {
        let behind_proxy = self.trusted_proxies.as_ref().is_some_and(|proxies| !proxies.is_empty());
        let why = match &self.public_url {
            Some(_) => return None,
            None if address.ip().is_unspecified() => "stands for every address of this machine, and is none itself",
            None if behind_proxy => "is not the address of the proxy that `trusted_proxies` names",
            None if self.tls.is_some() => "is not a name of the certificate in [tls]",
            None => return None,
        };
        let origin = format!("{}://{address}", self.scheme());
        Some(format!("challenges tell buyers to pay for {origin}, which {why}: set `public_url` to what clients call"))
    }
}

impl PaymentConfig {
    /// A node of this network that a facilitator settles through, or reads.
    pub fn rpc_of(&self, network: &Network) -> Option<&Url> {
        self.node_of(network).map(|(rpc, _)| rpc)
    }

    /// Like [`Self::rpc_of`], with the depth at which its facilitator believes a payment: None leaves it to the chain.
    pub fn node_of(&self, network: &Network) -> Option<(&Url, Option<u64>)> {
        let of_network = self.accepts.iter().filter(|entry| entry.accept.asset.network == *network);
        of_network.flat_map(|entry| &entry.facilitators).find_map(|name| match self.facilitators.get(name)? {
            FacilitatorConfig::Local(local) => Some((&local.rpc, local.settlement.confirmations)),
            FacilitatorConfig::Remote(remote) => Some((remote.rpc.as_ref()?, remote.confirmations)),
        })
    }
}

impl StateConfig {
    /// The file of the ledger.
    pub fn ledger(&self) -> PathBuf {
        self.folder.join("ledger.db")
    }

    /// The directory of compiled components.
    pub fn artifacts(&self) -> PathBuf {
        self.folder.join("artifacts")
    }

    /// The folder of what plugins keep. It lies beside the compiled components, where the runtime puts it.
    pub fn stores(&self) -> PathBuf {
        self.artifacts().with_file_name("keyvalue")
    }

    /// The folder of the builds that serve, and of those that served before.
    pub fn history(&self) -> PathBuf {
        self.folder.join("served")
    }

    /// The file with the names of the plugins that are paused, beside the builds: a backup takes both.
    pub fn paused(&self) -> PathBuf {
        self.history().join(crate::operate::Pauses::FILE)
    }
}
