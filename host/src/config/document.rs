//! Reads the document: its tables in the order in which they depend on each other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use coinslot_x402::Flow;

use super::reader::Section;
use super::settlement::{FacilitatorConfig, KeySource};
use super::types::{Config, PaymentConfig, PluginsConfig, RateLimitConfig, StateConfig};
use super::values::ByteSize;
use super::{
    accept, admin, allow, discover, facilitator, limits, overrides, plugin, refunds, server, telemetry, webhook,
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Reads the whole document. What it gives is of use only if no problem was reported.
pub(super) fn config(root: &mut Section<'_, '_>, base: &Path) -> Config {
    let server = server::read(root, base);
    let plugins = plugins(root, base);
    let payment = payment(root, base, &plugins);
    let (admin, webhooks) = (admin::read(root, base), webhook::read(root, base));
    let allowances = allow::read(root, base);
    let telemetry = telemetry::read(root);
    let refunds = refunds::read(root, base);
    let log = log(&mut root.section("log"));
    Config {
        base: base.to_owned(),
        server,
        plugins,
        payment,
        state: state(root, base),
        admin,
        webhooks,
        allowances,
        refunds,
        log,
        telemetry,
        discover: discover::read(root, base),
    }
}

/// Reads the filter of the log.
fn log(section: &mut Section<'_, '_>) -> Option<String> {
    let level = section.read::<String>("level")?;
    if let Err(problem) = crate::logging::check_level(&level) {
        section.key_problem("level", problem);
    }
    Some(level)
}

/// Reads the folder, the bounds of all plugins, and the tables of single ones.
pub(super) fn plugins(root: &mut Section<'_, '_>, base: &Path) -> PluginsConfig {
    let default = PluginsConfig::default();
    let folder = root.read::<String>("plugins").map_or(default.folder, Into::into);
    let mut section = root.section("limits");
    let max_instances = limits::max_instances(&mut section, default.max_instances);
    let all = limits::limits(&mut section, &default.limits);
    let all = limits::health(&mut root.section("health"), all);
    let tables = root.named_sections("plugin").into_iter();
    let by_name = tables.map(|(name, section)| (name.clone(), plugin::read(&name, section, base, &all))).collect();
    PluginsConfig { folder: base.join(folder), max_instances, limits: all, by_name }
}

/// The longest time that any plugin may take to begin its answer.
fn slowest(plugins: &PluginsConfig) -> Duration {
    let own = plugins.by_name.values().filter_map(|plugin| plugin.limits.as_ref());
    own.chain([&plugins.limits]).map(|limits| limits.first_byte).max().unwrap_or_default()
}

fn payment(root: &mut Section<'_, '_>, base: &Path, plugins: &PluginsConfig) -> PaymentConfig {
    let mut facilitators: BTreeMap<String, FacilitatorConfig> = BTreeMap::new();
    // With the names of tables that are wrong: an entry that names one has no problem of its own.
    let mut names = BTreeSet::new();
    for (name, section) in root.named_sections("facilitator") {
        names.insert(name.clone());
        facilitators.extend(facilitator::read(section, base).map(|facilitator| (name, facilitator)));
    }
    let entries = root.sections("accept");
    if entries.is_empty() {
        root.key_problem("accept", "name at least one asset that is taken, in an [[accept]] table");
    }
    let slowest = slowest(plugins);
    let accepts: Vec<_> = entries.into_iter().map(|section| accept::read(section, &names, slowest)).collect();
    let mut seen = BTreeSet::new();
    for (index, entry) in accepts.iter().enumerate() {
        let asset = entry.as_ref().map(|entry| &entry.accept.asset);
        let same = asset.map(|asset| (asset.network.clone(), asset.address.to_ascii_lowercase()));
        if same.is_some_and(|same| !seen.insert(same)) {
            root.key_problem(&format!("accept[{index}]"), "the same asset is named twice");
        }
    }
    // An entry that is wrong is reported already, and not by the tables that name it, too.
    if accepts.iter().all(Option::is_some) {
        let all: Vec<_> = accepts.iter().flatten().map(|entry| &entry.accept).collect();
        overrides::check(root, plugins, &all);
    }
    PaymentConfig {
        accepts: accepts.into_iter().flatten().collect(),
        facilitators,
        receiver_shared: root.read("receiver_shared").unwrap_or(PaymentConfig::default().receiver_shared),
        flows: flows(root),
        rate_limits: rate_limits(&mut root.section("rate_limits")),
        receipts: receipts(root, base),
    }
}

fn flows(root: &mut Section<'_, '_>) -> Vec<Flow> {
    let Some(names) = root.read::<Vec<String>>("flows") else { return PaymentConfig::default().flows };
    if names.is_empty() {
        root.key_problem("flows", "name `authorization`, `upfront` or both");
    }
    let flow = |name: &String| {
        let flow = Flow::parse(name);
        if flow.is_none() {
            root.key_problem("flows", format!("`{name}` is neither `authorization` nor `upfront`"));
        }
        flow
    };
    names.iter().filter_map(flow).collect()
}

fn rate_limits(section: &mut Section<'_, '_>) -> RateLimitConfig {
    let default = PaymentConfig::default().rate_limits;
    let mut rate = |key: &'static str| {
        let rate: f64 = section.read(key)?;
        let is_rate = rate == 0.0 || (0.001..=1_000_000.0).contains(&rate);
        if !is_rate {
            section.key_problem(key, "from 0.001 to 1000000, or 0 for no limit");
        }
        is_rate.then_some(rate)
    };
    RateLimitConfig {
        payments_per_second: rate("payments_per_second").unwrap_or(default.payments_per_second),
        failures_per_second: rate("failures_per_second"),
    }
}

fn receipts(root: &mut Section<'_, '_>, base: &Path) -> Option<KeySource> {
    let mut section = root.optional_section("receipts")?;
    match (section.read("key_env"), section.read::<String>("key_file")) {
        (Some(name), None) => Some(KeySource::Env(name)),
        (None, Some(file)) => Some(KeySource::File(base.join(file))),
        (None, None) | (Some(_), Some(_)) => {
            section.problem("name the key that signs them, with key_env or key_file");
            None
        }
    }
}

/// The folder of the state.
pub(super) fn state_folder(root: &mut Section<'_, '_>, base: &Path) -> PathBuf {
    base.join(root.read::<String>("state").map_or(StateConfig::default().folder, Into::into))
}

fn state(root: &mut Section<'_, '_>, base: &Path) -> StateConfig {
    let (default, folder) = (StateConfig::default(), state_folder(root, base));
    let mut answers = root.section("answers");
    let keep_answers_for = answers.read("keep_for").unwrap_or(default.keep_answers_for);
    let max_kept_answer = answers.read("max_size").map_or(default.max_kept_answer, ByteSize::bytes);
    let max_kept_answers = answers.read("max_total").map_or(default.max_kept_answers, |size: ByteSize| size.0);
    let mut ledger = root.section("ledger");
    let keep_payments_for = ledger.at_least("keep_for", DAY, default.keep_payments_for);
    let reconcile_every = ledger.within("reconcile_every", Duration::ZERO..=7 * DAY, default.reconcile_every);
    StateConfig { folder, keep_answers_for, max_kept_answer, max_kept_answers, keep_payments_for, reconcile_every }
}
