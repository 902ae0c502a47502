//! Lists the limits of plugins, and what single ones are granted, held to and served as.

use coinslot_plugin::{Allowed, BreakerSettings, Limits, OutgoingTimeouts, Quota, Reuse, SecretPlace};

use super::TakesEffect::{Reload, Restart};
use super::of_host::source;
use super::written::{Entries, Size};
use super::{Setting, Table};
use crate::catalog::{PassOverride, PluginOverrides, PluginPins, PriceOverride, RouteOverrides, SaleTerms};
use crate::config::types::{PluginConfig, PluginsConfig, SecretSource};
use crate::endpoint::PluginPages;

/// `[limits]` and `[health]`.
pub(super) fn limits(list: &mut Vec<Setting>, plugins: &PluginsConfig) {
    let PluginsConfig { folder: _, max_instances, limits, by_name: _ } = plugins;
    let default = PluginsConfig::default();
    let mut table = Table::new(list, "limits", Reload);
    bounds(&mut table, limits, &default.limits);
    table.at(Restart).put("max_instances", max_instances, &default.max_instances);
    health(&mut Table::new(list, "health", Reload), limits, &default.limits);
}

fn bounds(table: &mut Table<'_>, limits: &Limits, default: &Limits) {
    let Limits {
        memory,
        plugin_memory,
        cpu,
        first_byte,
        total,
        request_body,
        response_body,
        instances,
        outgoing_requests,
        outgoing_timeouts,
        log,
        log_rate,
        breaker: _,
        rollback: _,
        reuse: _,
    } = limits;
    let OutgoingTimeouts { connect, first_byte: outgoing_first_byte, between_bytes } = outgoing_timeouts;
    table.put("memory", &Size::of(*memory), &Size::of(default.memory));
    table.put("max_memory_per_plugin", &Size::of(*plugin_memory), &Size::of(default.plugin_memory));
    table.put("cpu_time", cpu, &default.cpu);
    table.put("first_byte_timeout", first_byte, &default.first_byte);
    table.put("total_timeout", total, &default.total);
    table.put("request_body", &Size(*request_body), &Size(default.request_body));
    table.put("response_body", &Size(*response_body), &Size(default.response_body));
    table.put("max_instances_per_plugin", instances, &default.instances);
    table.put("outgoing_requests", outgoing_requests, &default.outgoing_requests);
    table.put("outgoing_connect_timeout", connect, &default.outgoing_timeouts.connect);
    table.put("outgoing_first_byte_timeout", outgoing_first_byte, &default.outgoing_timeouts.first_byte);
    table.put("outgoing_between_bytes_timeout", between_bytes, &default.outgoing_timeouts.between_bytes);
    table.put("log", &Size::of(*log), &Size::of(default.log));
    table.put("log_rate", &Size::of(*log_rate), &Size::of(default.log_rate));
}

fn health(table: &mut Table<'_>, limits: &Limits, default: &Limits) {
    let BreakerSettings { failures, pause, longest, jitter: _ } = limits.breaker;
    table.put("failures", &failures, &default.breaker.failures);
    table.put("pause", &pause, &default.breaker.pause);
    table.put("longest_pause", &longest, &default.breaker.longest);
    table.put("rollback", &limits.rollback, &default.rollback);
}

/// `[plugin.NAME]`, its limits and health as far as they differ from those of all plugins.
pub(super) fn each(list: &mut Vec<Setting>, plugins: &PluginsConfig) {
    for (name, plugin) in &plugins.by_name {
        one(list, &format!("plugin.{name}"), plugin, &plugins.limits);
    }
}

fn one(list: &mut Vec<Setting>, path: &str, plugin: &PluginConfig, all: &Limits) {
    let PluginConfig { http, secrets, config, keyvalue, limits, pins, overrides, validate, pages, log } = plugin;
    let default = PluginConfig::default();
    let mut table = Table::new(list, path, Reload);
    table.put("http", &Entries(http.iter().map(origin).collect()), &Entries(Vec::<String>::new()));
    conditions(&mut table, pins);
    let check = |validates: bool| if validates { "input" } else { "off" };
    table.put("validate", check(*validate), check(default.validate));
    let origin = |pages| match pages {
        PluginPages::Sandboxed => "sandboxed",
        PluginPages::SameOrigin => "same-origin",
    };
    table.put("pages", origin(*pages), origin(default.pages));
    table.put("log", log.as_str(), default.log.as_str());
    store(&mut table, keyvalue.as_ref());
    reuse(&mut table, limits.as_ref().and_then(|limits| limits.reuse));
    let PluginOverrides { mount, terms: of_all, routes } = overrides;
    table.set("mount", &mount.as_ref().map(ToString::to_string));
    terms(&mut table, of_all);
    for (label, route) in routes {
        let mut table = Table::new(list, format!("{path}.routes.{label:?}"), Reload);
        changed_route(&mut table, route);
    }
    for (index, secret) in secrets.iter().enumerate() {
        let SecretSource { origin, place, prefix, value } = secret;
        // Each is known by its place. A second one for the same place is added beside the first.
        let same = secrets[..index].iter().filter(|other| other.origin == *origin && other.place == *place).count();
        let name = if same == 0 { format!("{origin} {place}") } else { format!("{origin} {place} {}", same + 1) };
        let mut table = Table::new(list, format!("{path}.secrets[{name}]"), Reload);
        table.set("origin", &origin.to_string());
        match place {
            SecretPlace::Header(name) => table.set("header", name.as_str()),
            SecretPlace::Query(name) => table.set("query", name),
        }
        table.put("prefix", prefix, "");
        source(&mut table, ["value_env", "value_file"], Some(value));
    }
    let mut table = Table::new(list, format!("{path}.config"), Reload);
    for (key, value) in config {
        table.hidden(key.clone(), value);
    }
    if let Some(own) = limits {
        let first = list.len();
        bounds(&mut Table::new(list, format!("{path}.limits"), Reload), own, all);
        health(&mut Table::new(list, format!("{path}.health"), Reload), own, all);
        let own: Vec<Setting> = list.drain(first..).filter(|setting| !setting.is_default()).collect();
        list.extend(own);
    }
}

fn origin(Allowed { origin, private }: &Allowed) -> String {
    if *private { format!("{origin} (private)") } else { origin.to_string() }
}

fn conditions(table: &mut Table<'_>, pins: &PluginPins) {
    let PluginPins { file, sha256, prefix, min_price, max_price } = pins;
    table.or("file", file, "any");
    let builds = Some(Entries(sha256.clone())).filter(|_| !sha256.is_empty());
    table.or("sha256", &builds, "any");
    table.or("prefix", prefix, "any");
    table.set("min_price", min_price);
    table.set("max_price", max_price);
}

fn store(table: &mut Table<'_>, quota: Option<&Quota>) {
    let Some(Quota { bytes, keys, value }) = quota else {
        return table.or("keyvalue", &None::<String>, "nothing is kept");
    };
    let default = Quota::default();
    table.or("keyvalue", "true", "nothing is kept");
    table.put("keyvalue.total_size", &Size(*bytes), &Size(default.bytes));
    table.put("keyvalue.keys", keys, &default.keys);
    table.put("keyvalue.value_size", &Size::of(*value), &Size::of(default.value));
}

fn reuse(table: &mut Table<'_>, reuse: Option<Reuse>) {
    let Some(Reuse { total, concurrent }) = reuse else {
        return table.or("reuse", &None::<String>, "a fresh instance for each request");
    };
    table.or("reuse", "true", "a fresh instance for each request");
    table.set("reuse.total", &total);
    table.put("reuse.concurrent", &concurrent, &1_u32);
}

fn terms(table: &mut Table<'_>, SaleTerms { accept, pay_to }: &SaleTerms) {
    let names = accept.as_ref().map(|names| Entries(names.iter().map(ToString::to_string).collect()));
    table.or("accept", &names, "as in [[accept]]");
    let receivers = (!pay_to.is_empty()).then(|| Entries(pay_to.iter().map(ToString::to_string).collect()));
    table.or("pay_to", &receivers, "as in [[accept]]");
}

fn changed_route(table: &mut Table<'_>, route: &RouteOverrides) {
    let RouteOverrides { is_off, price, summary, description, pass, terms: own } = route;
    table.put("enabled", &!is_off, &true);
    let declared = "as declared";
    match price {
        None => table.or("price", &None::<String>, declared),
        Some(PriceOverride::Free) => table.or("price", "free", declared),
        Some(PriceOverride::Exact(amount)) => table.or("price", amount, declared),
        Some(PriceOverride::AtMost(amount)) => table.or("max_price", amount, declared),
    }
    table.or("summary", summary, declared);
    table.or("description", description, declared);
    match pass {
        None => table.or("pass", &None::<String>, declared),
        Some(PassOverride::Off) => table.or("pass", "off", declared),
        Some(PassOverride::Terms(pass)) => {
            table.or("pass.seconds", &pass.seconds(), declared);
            table.or("pass.requests", &pass.requests(), declared);
        }
    }
    terms(table, own);
}
