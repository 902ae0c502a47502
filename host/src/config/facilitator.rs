//! Reads `[facilitator.NAME]`: a facilitator in this process with its keys and limits, or one over HTTP.

use std::path::Path;
use std::time::Duration;

use url::Url;

use super::reader::Section;
use super::settlement::{
    CredentialSource, FacilitatorConfig, KeySource, LocalFacilitator, RemoteFacilitator, SettlementConfig,
};
use super::values::{AmountText, OneOrMore, parse_ether, parse_gas_price};

/// Nodes refuse clients that ask more often.
const MIN_POLL_INTERVAL: Duration = Duration::from_millis(20);
const MAX_BATCH_DELAY: Duration = Duration::from_secs(5);
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(100);
const LONGEST_TIMEOUT: Duration = Duration::from_secs(300);

const OF_LOCAL: &str = "belongs to a local facilitator (with `rpc`)";
const OF_REMOTE: &str = "belongs to a remote facilitator (with `url`)";

/// Reads one table. None if it is neither kind, or its address is wrong, which is reported.
///
/// The keys of both kinds are read in any case, with a stand-in for an address that is wrong: so all problems are
/// found, and a key of the other kind is refused with the name of that kind.
pub(super) fn read(mut section: Section<'_, '_>, base: &Path) -> Option<FacilitatorConfig> {
    let (has_url, has_rpc) = (section.has("url"), section.has("rpc"));
    let (url, rpc) = (section.read::<Url>("url"), section.read::<Url>("rpc"));
    let confirmations = confirmations(&mut section);
    let no_url = Url::parse("https://facilitator.invalid").ok()?;
    let remote_defaults = RemoteFacilitator::new(url.clone().unwrap_or_else(|| no_url.clone()));
    let local_defaults = LocalFacilitator::new(rpc.clone().unwrap_or(no_url));
    if has_url {
        section.refusing(OF_LOCAL, |section| local(section, base, local_defaults));
        let remote = remote(&mut section, remote_defaults);
        url.map(|_| FacilitatorConfig::Remote(RemoteFacilitator { rpc, confirmations, ..remote }))
    } else if has_rpc {
        section.refusing(OF_REMOTE, |section| remote(section, remote_defaults));
        let mut local = local(&mut section, base, local_defaults);
        local.settlement.confirmations = confirmations;
        rpc.map(|_| FacilitatorConfig::Local(local))
    } else {
        section.problem("name `url` (a remote facilitator) or `rpc` (settle here)");
        section.ignore_the_rest();
        None
    }
}

/// Reads the keys of a remote facilitator into `facilitator`, which has the defaults.
fn remote(section: &mut Section<'_, '_>, facilitator: RemoteFacilitator) -> RemoteFacilitator {
    let mut timeout = |key, default| section.within(key, SHORTEST_TIMEOUT..=LONGEST_TIMEOUT, default);
    RemoteFacilitator {
        verify_timeout: timeout("verify_timeout", facilitator.verify_timeout),
        settle_timeout: timeout("settle_timeout", facilitator.settle_timeout),
        strip_query: section.read("strip_query").unwrap_or(facilitator.strip_query),
        credential: credential(section),
        ..facilitator
    }
}

fn credential(section: &mut Section<'_, '_>) -> CredentialSource {
    let bearer = section.read("bearer_env");
    let cdp = (section.read("cdp_key_id_env"), section.read("cdp_key_secret_env"));
    match (bearer, cdp) {
        (None, (None, None)) => CredentialSource::None,
        (Some(env), (None, None)) => CredentialSource::Bearer { env },
        (None, (Some(id_env), Some(secret_env))) => CredentialSource::Cdp { id_env, secret_env },
        (None, _) => {
            section.problem("cdp_key_id_env and cdp_key_secret_env belong together");
            CredentialSource::None
        }
        (Some(_), _) => {
            section.problem("name bearer_env or the two of cdp_key, not all");
            CredentialSource::None
        }
    }
}

/// Reads the keys of a local facilitator into `facilitator`, which has the defaults.
fn local(section: &mut Section<'_, '_>, base: &Path, facilitator: LocalFacilitator) -> LocalFacilitator {
    LocalFacilitator {
        poll_interval: section.at_least("poll_interval", MIN_POLL_INTERVAL, facilitator.poll_interval),
        keys: keys(section, base).unwrap_or(facilitator.keys),
        settlement: settlement(section),
        ..facilitator
    }
}

/// The keys that are named, if any are.
fn keys(section: &mut Section<'_, '_>, base: &Path) -> Option<Vec<KeySource>> {
    let (variables, files) = (section.read("key_env"), section.read("key_file"));
    let keys: Vec<KeySource> = match (variables, files) {
        (Some(OneOrMore(names)), None) => names.into_iter().map(KeySource::Env).collect(),
        (None, Some(OneOrMore(files))) => files.into_iter().map(|file| KeySource::File(base.join(file))).collect(),
        (None, None) => return None,
        (Some(_), Some(_)) => {
            section.problem("name key_env or key_file, not both");
            return None;
        }
    };
    if keys.is_empty() {
        section.problem("name at least one key in key_env or key_file");
    }
    Some(keys)
}

/// The depth of both kinds: settlements in this process wait for it, and so does the reader of a remote one's chain.
fn confirmations(section: &mut Section<'_, '_>) -> Option<u64> {
    let confirmations = section.read::<u64>("confirmations");
    if confirmations == Some(0) {
        section.key_problem("confirmations", "at least 1, which is the payment's own block");
    }
    confirmations
}

fn settlement(section: &mut Section<'_, '_>) -> SettlementConfig {
    let batch_payments = section.optional_within::<u64>("batch_payments", 1..=200);
    SettlementConfig {
        confirmations: None,
        batch_delay: section.optional_within("batch_delay", Duration::ZERO..=MAX_BATCH_DELAY),
        batch_payments: batch_payments.and_then(|payments| usize::try_from(payments).ok()),
        max_gas_price: amount(section, "max_gas_price", parse_gas_price),
        gas_budget_per_day: amount(section, "gas_budget_per_day", parse_ether),
        low_balance: amount(section, "low_balance", parse_ether),
    }
}

fn amount<T>(
    section: &mut Section<'_, '_>,
    key: &'static str,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Option<T> {
    let AmountText(text) = section.read(key)?;
    parse(&text).map_err(|problem| section.key_problem(key, problem)).ok()
}
