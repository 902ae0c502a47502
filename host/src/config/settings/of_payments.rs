//! Lists the settings of what is sold for which money, of who settles it, and of who need not or may not pay.

use std::collections::BTreeSet;

use coinslot_evm::{GasLimits, SequencerSettings, default_confirmations};
use coinslot_ledger::FreeQuota;
use coinslot_x402::price::{Accept, Asset};

use super::TakesEffect::{Reload, Restart};
use super::of_host::source;
use super::written::{Entries, GasPrice, Wei, decimal};
use super::{Rule, Setting, Table};
use crate::allowance::Allowance;
use crate::catalog::AcceptName;
use crate::config::accept::{DEFAULT_MAX_TIMEOUT, DEFAULT_MAX_UNSETTLED};
use crate::config::allow::FOREVER;
use crate::config::settlement::{
    AcceptConfig, CredentialSource, FacilitatorConfig, KeySource, LocalFacilitator, RemoteFacilitator, SettlementConfig,
};
use crate::config::types::{AllowanceConfig, PayerSource, PaymentConfig, RateLimitConfig, RefundConfig};

/// `receiver_shared`, `flows` and `[[accept]]`.
pub(super) fn terms(list: &mut Vec<Setting>, payment: &PaymentConfig, started: &PaymentConfig) {
    let PaymentConfig { accepts, facilitators, receiver_shared, flows, rate_limits: _, receipts: _ } = payment;
    let default = PaymentConfig::default();
    let mut top = Table::new(list, "", Restart);
    top.put("receiver_shared", receiver_shared, &default.receiver_shared);
    let flow_names = |flows: &[coinslot_x402::Flow]| Entries(flows.iter().map(|flow| flow.as_str()).collect());
    top.at(Reload).put("flows", &flow_names(flows), &flow_names(&default.flows));
    let is_connected = |asset: &Asset| started.accepts.iter().any(|entry| entry.accept.asset.is_same_token(asset));
    let taken = accepts.iter().map(|entry| &entry.accept.asset).filter(|asset| is_connected(asset));
    top.at(Reload).set("accept", &Entries(taken.map(|asset| AcceptName::of(asset).to_string()).collect()));
    let only = if facilitators.len() == 1 { facilitators.keys().cloned().collect() } else { Vec::new() };
    let mut names = BTreeSet::new();
    for entry in accepts {
        // Two contracts may have one symbol.
        let name = AcceptName::of(&entry.accept.asset).to_string();
        let is_first = names.insert(name.clone());
        let name =
            if is_first { name } else { format!("{}/{}", entry.accept.asset.network, entry.accept.asset.address) };
        let mut table = Table::new(list, format!("accept[{name}]"), Restart);
        table.rule = Rule { removed: Reload, ..table.rule };
        accept(&mut table, entry, &only);
    }
}

fn accept(table: &mut Table<'_>, AcceptConfig { accept, facilitators }: &AcceptConfig, only: &[String]) {
    let Accept { asset, pay_to, max_timeout_seconds, max_unsettled, versions: _ } = accept;
    let known = Asset::known(&asset.network, Some(&asset.symbol)).filter(|known| known == &**asset);
    let known = known.as_ref();
    table.set("network", asset.network.as_str());
    let name = if known.is_some() { &asset.symbol } else { &asset.address };
    table.put("asset", name, "USDC");
    table.put("decimals", &asset.decimals, &known.map(|known| known.decimals));
    let domain = |asset: &Asset| asset.eip712.clone().map(|domain| (domain.name, domain.version));
    let (own, default) = (domain(asset), known.and_then(domain));
    let part = |domain: &Option<(String, String)>, second: bool| {
        domain.clone().map(|(name, version)| if second { version } else { name })
    };
    table.put("eip712_name", &part(&own, false), &part(&default, false));
    table.put("eip712_version", &part(&own, true), &part(&default, true));
    table.put("symbol", &asset.symbol, &known.map(|known| known.symbol.clone()));
    table.put("usd", &asset.dollar, &known.map(|known| known.dollar));
    table.put("max_unsettled", &max_unsettled.decimal(asset.decimals), DEFAULT_MAX_UNSETTLED);
    let default = if only.is_empty() { None } else { Some(Entries(only.to_vec())) };
    table.put("facilitator", &Entries(facilitators.clone()), &default);
    table.at(Reload).set("pay_to", &**pay_to);
    let seconds = std::time::Duration::from_secs;
    table.at(Reload).put("max_timeout", &seconds(*max_timeout_seconds), &DEFAULT_MAX_TIMEOUT);
}

/// `[facilitator.NAME]`.
pub(super) fn facilitators(list: &mut Vec<Setting>, payment: &PaymentConfig) {
    for (name, facilitator) in &payment.facilitators {
        let settles = |entry: &&AcceptConfig| entry.facilitators.contains(name);
        let chain = payment.accepts.iter().find(settles).and_then(|entry| entry.accept.asset.network.chain_id());
        let depth = chain.map(default_confirmations);
        let mut table = Table::new(list, format!("facilitator.{name}"), Restart);
        match facilitator {
            FacilitatorConfig::Local(facilitator) => local(&mut table, facilitator, depth),
            FacilitatorConfig::Remote(facilitator) => remote(&mut table, facilitator, depth),
        }
    }
}

fn local(table: &mut Table<'_>, facilitator: &LocalFacilitator, depth: Option<u64>) {
    let LocalFacilitator { rpc, keys, poll_interval, settlement } = facilitator;
    let SettlementConfig { confirmations, batch_delay, batch_payments, max_gas_price, gas_budget_per_day, low_balance } =
        settlement;
    let default = LocalFacilitator::new(rpc.clone());
    let (sequencer, gas) = (SequencerSettings::default(), GasLimits::default());
    table.set("rpc", rpc);
    let place = |key: &KeySource| match key {
        KeySource::Env(name) => name.clone(),
        KeySource::File(path) => path.display().to_string(),
    };
    let places = |keys: &[KeySource]| Entries(keys.iter().map(place).collect());
    match keys.first() {
        Some(KeySource::File(_)) => table.set("key_file", &places(keys)),
        Some(KeySource::Env(_)) | None => table.put("key_env", &places(keys), &places(&default.keys)),
    }
    table.put("poll_interval", poll_interval, &default.poll_interval);
    table.put("confirmations", &confirmations.or(depth), &depth);
    table.put("batch_delay", &batch_delay.unwrap_or(sequencer.batch_delay), &sequencer.batch_delay);
    table.put("batch_payments", &batch_payments.unwrap_or(sequencer.max_batch), &sequencer.max_batch);
    let price = max_gas_price.unwrap_or(gas.max_fee_per_gas);
    table.put("max_gas_price", &GasPrice(price), &GasPrice(gas.max_fee_per_gas));
    table.or("gas_budget_per_day", &gas_budget_per_day.map(Wei), "no bound");
    table.or("low_balance", &low_balance.map(Wei), "the cost of 200 settlements");
}

fn remote(table: &mut Table<'_>, facilitator: &RemoteFacilitator, depth: Option<u64>) {
    let RemoteFacilitator { url, credential, strip_query, verify_timeout, settle_timeout, rpc, confirmations } =
        facilitator;
    let default = RemoteFacilitator::new(url.clone());
    table.set("url", url);
    match credential {
        CredentialSource::None => table.set("bearer_env", &None::<String>),
        CredentialSource::Bearer { env } => table.set("bearer_env", env),
        CredentialSource::Cdp { id_env, secret_env } => {
            table.set("cdp_key_id_env", id_env);
            table.set("cdp_key_secret_env", secret_env);
        }
    }
    table.put("strip_query", strip_query, &default.strip_query);
    table.put("verify_timeout", verify_timeout, &default.verify_timeout);
    table.put("settle_timeout", settle_timeout, &default.settle_timeout);
    table.or("rpc", rpc, "the facilitator's word alone counts");
    table.put("confirmations", &confirmations.or(depth), &depth);
}

/// `[rate_limits]` and `[receipts]`.
pub(super) fn rates_and_receipts(list: &mut Vec<Setting>, payment: &PaymentConfig) {
    let RateLimitConfig { payments_per_second, failures_per_second } = &payment.rate_limits;
    let default = PaymentConfig::default().rate_limits;
    let mut table = Table::new(list, "rate_limits", Restart);
    table.put("payments_per_second", payments_per_second, &default.payments_per_second);
    table.or("failures_per_second", failures_per_second, "5 from public addresses, and any from private ones");
    let mut table = Table::new(list, "receipts", Restart);
    source(&mut table, ["key_env", "key_file"], payment.receipts.as_ref());
}

/// `[[allow]]` and `[payers]`.
pub(super) fn allowances(list: &mut Vec<Setting>, allowances: &AllowanceConfig) {
    let AllowanceConfig { allowances, allow, deny } = allowances;
    for Allowance { plugin, route, per, quota: FreeQuota { requests, every }, total } in allowances {
        let (of_plugin, of_route) = (plugin.as_deref().unwrap_or("every plugin"), route.as_deref());
        let name = format!("{of_plugin}, {}, per {}", of_route.unwrap_or("every route"), per.as_str());
        let mut table = Table::new(list, format!("allow[{name}]"), Reload);
        table.or("plugin", plugin, "every plugin");
        table.or("route", route, "every route");
        table.set("per", per.as_str());
        table.set("requests", requests);
        match every {
            Some(every) => table.set("every", every),
            None => table.set("every", FOREVER),
        }
        table.or("total", total, "no bound");
    }
    let mut table = Table::new(list, "payers", Reload);
    payers(&mut table, ["allow", "allow_file"], allow.as_ref());
    payers(&mut table, ["deny", "deny_file"], deny.as_ref());
}

fn payers(table: &mut Table<'_>, [key, file_key]: [&'static str; 2], source: Option<&PayerSource>) {
    let accounts = source.map(|source| source.accounts.shown()).filter(|accounts| !accounts.is_empty());
    table.set(key, &accounts.map(Entries));
    table.set(file_key, &source.and_then(|source| source.file.clone()));
}

/// `[refunds]`.
pub(super) fn refunds(list: &mut Vec<Setting>, refunds: Option<&RefundConfig>) {
    let mut table = Table::new(list, "refunds", Restart);
    let Some(RefundConfig { key, daily_budget, after, max_gas_price, low_balance }) = refunds else {
        return table.set("daily_budget", &None::<String>);
    };
    source(&mut table, ["key_env", "key_file"], Some(key));
    table.set("daily_budget", &Entries(daily_budget.iter().map(decimal).collect()));
    let policy = after.map(|after| format!("after {}", coinslot_base::units::shown_duration(after)));
    table.or("policy", &policy, "by command");
    let default = GasLimits::default().max_fee_per_gas;
    table.put("max_gas_price", &GasPrice(max_gas_price.unwrap_or(default)), &GasPrice(default));
    table.or("low_balance", &low_balance.map(Wei), "enough for twenty refunds");
}
