//! `[facilitator.NAME]`: who settles, and with which keys and limits.

use std::path::{Path, PathBuf};
use std::time::Duration;

use alloy::primitives::U256;
use serde::Deserialize;
use url::Url;

/// How often a local facilitator looks for a receipt unless configured.
const DEFAULT_POLL: Duration = Duration::from_millis(250);
/// Nodes refuse clients that ask more often.
const MIN_POLL: Duration = Duration::from_millis(20);

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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFacilitator {
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

/// One table, or every problem with it: a key with its dot, and what to do.
pub(super) fn facilitator(mut raw: RawFacilitator, base: &Path) -> Result<FacilitatorConfig, Vec<String>> {
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
