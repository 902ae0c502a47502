//! Lists the settings of the server, of its state, and of what its operators ask and are told.

use std::path::Path;

use coinslot_plugin::Template;

use super::TakesEffect::{Reload, Restart};
use super::written::{Entries, Size};
use super::{Rule, Setting, Table, Value};
use crate::config::settlement::KeySource;
use crate::config::types::{
    Accent, AdminConfig, AdminTls, DiscoverConfig, PluginsConfig, ServerConfig, StateConfig, TelemetryConfig, TlsFiles,
    WebhookConfig,
};
use crate::operate::WebhookEvent;

/// `listen`, `public_url`, `hosts`, `[server]` and `[tls]`.
pub(super) fn server(list: &mut Vec<Setting>, server: &ServerConfig) {
    let ServerConfig {
        listen,
        public_url,
        hosts,
        tls,
        max_connections,
        max_connections_per_client,
        private_network_access,
        keep_alive,
        max_held_bytes,
        min_body_rate,
        drain_timeout,
        shutdown_delay,
        trusted_proxies,
    } = server;
    let default = ServerConfig::default();
    let mut top = Table::new(list, "", Restart);
    top.put("listen", listen, &default.listen);
    top.or("public_url", public_url, "the address of `listen`");
    top.put("hosts", &Entries(hosts.clone()), &Entries(default.hosts));
    let mut table = Table::new(list, "server", Restart);
    table.put("max_connections", max_connections, &default.max_connections);
    table.or("max_connections_per_client", max_connections_per_client, "1/32 of max_connections, and at least 64");
    table.put("private_network_access", private_network_access, &default.private_network_access);
    table.put("keep_alive", keep_alive, &default.keep_alive);
    table.put("max_held_bytes", &Size::of(*max_held_bytes), &Size::of(default.max_held_bytes));
    table.put("min_body_rate", &Size(*min_body_rate), &Size(default.min_body_rate));
    table.put("drain_timeout", drain_timeout, &default.drain_timeout);
    table.put("shutdown_delay", shutdown_delay, &default.shutdown_delay);
    table.set("trusted_proxies", &trusted_proxies.clone().map(Entries));
    let mut table = Table::new(list, "tls", Restart);
    let files = tls.as_ref().map(|TlsFiles { certificates, key, strict_for }| (certificates, key, strict_for));
    table.set("cert", &files.map(|(certificates, ..)| certificates));
    table.set("key", &files.map(|(_, key, _)| key));
    table.set("hsts", &files.and_then(|(.., strict_for)| *strict_for));
}

/// `plugins` and `state`.
pub(super) fn folders(list: &mut Vec<Setting>, base: &Path, plugins: &PluginsConfig, state: &StateConfig) {
    let mut top = Table::new(list, "", Restart);
    top.put("plugins", &plugins.folder, &base.join(PluginsConfig::default().folder));
    top.put("state", &state.folder, &base.join(StateConfig::default().folder));
}

/// `[answers]` and `[ledger]`.
pub(super) fn records(list: &mut Vec<Setting>, state: &StateConfig) {
    let StateConfig {
        folder: _,
        keep_answers_for,
        max_kept_answer,
        max_kept_answers,
        keep_payments_for,
        reconcile_every,
    } = state;
    let default = StateConfig::default();
    let mut answers = Table::new(list, "answers", Restart);
    answers.put("keep_for", keep_answers_for, &default.keep_answers_for);
    answers.put("max_size", &Size::of(*max_kept_answer), &Size::of(default.max_kept_answer));
    answers.put("max_total", &Size(*max_kept_answers), &Size(default.max_kept_answers));
    let mut ledger = Table::new(list, "ledger", Restart);
    ledger.put("keep_for", keep_payments_for, &default.keep_payments_for);
    ledger.put("reconcile_every", reconcile_every, &default.reconcile_every);
}

/// `[admin]` and `[admin.tls]`.
pub(super) fn admin(list: &mut Vec<Setting>, admin: Option<&AdminConfig>) {
    let mut table = Table::new(list, "admin", Restart);
    table.set("", &admin.map(|_| "present"));
    let Some(AdminConfig { listen, hosts, token, tls }) = admin else { return };
    let default = AdminConfig::default();
    table.put("listen", listen, &default.listen);
    table.put("hosts", &Entries(hosts.clone()), &Entries(default.hosts));
    source(&mut table, ["token_env", "token_file"], token.as_ref());
    let mut table = Table::new(list, "admin.tls", Restart);
    let files = tls.as_ref().map(|AdminTls { certificates, key, client_ca }| (certificates, key, client_ca));
    table.set("cert", &files.map(|(certificates, ..)| certificates));
    table.set("key", &files.map(|(_, key, _)| key));
    table.set("client_ca", &files.and_then(|(.., client_ca)| client_ca.as_ref()));
}

/// `[[webhook]]`: a reload reads the secrets.
pub(super) fn webhooks(list: &mut Vec<Setting>, webhooks: &[WebhookConfig]) {
    for webhook in webhooks {
        let WebhookConfig { url, secret, events } = webhook;
        let mut table = Table::new(list, format!("webhook[{}]", webhook.name()), Restart);
        table.set("url", url);
        table.put("events", &events_of(events), &events_of(&WebhookEvent::all().collect::<Vec<_>>()));
        table.rule = Rule { changed: Reload, ..table.rule };
        source(&mut table, ["secret_env", "secret_file"], Some(secret));
    }
}

fn events_of(events: &[WebhookEvent]) -> Entries<&'static str> {
    Entries(events.iter().map(|event| event.as_str()).collect())
}

/// `[log]`.
pub(super) fn log(list: &mut Vec<Setting>, level: Option<&str>) {
    Table::new(list, "log", Reload).or("level", &level, crate::logging::DEFAULT_LEVEL);
}

/// `[telemetry]`.
pub(super) fn telemetry(list: &mut Vec<Setting>, telemetry: Option<&TelemetryConfig>) {
    let mut table = Table::new(list, "telemetry", Restart);
    table.set("", &telemetry.map(|_| "present"));
    let Some(TelemetryConfig { endpoint, sample, metrics }) = telemetry else { return };
    let default = TelemetryConfig::default();
    table.or("otlp_endpoint", endpoint, "as OTEL_EXPORTER_OTLP_* say, or this machine's");
    table.put("sample", sample, &default.sample);
    table.put("metrics", metrics, &default.metrics);
}

/// `[discover]`: a reload publishes anew.
pub(super) fn discover(list: &mut Vec<Setting>, discover: &DiscoverConfig) {
    let DiscoverConfig {
        name,
        description,
        email,
        website,
        terms,
        accent,
        logo,
        ownership_proofs,
        index,
        openapi,
        well_known,
        catalog,
        llms,
        robots,
        bazaar,
        paywall,
        mcp,
    } = discover;
    let default = DiscoverConfig::default();
    let path = |mcp: &Option<Template>| mcp.as_ref().map_or("off", Template::as_str).to_owned();
    let mut table = Table::new(list, "discover", Reload);
    table.or("name", name, "the host of public_url");
    table.set("description", description);
    table.set("email", email);
    table.set("website", website);
    table.set("terms", terms);
    table.or("accent", &accent.as_ref().map(Accent::as_str), "Coinslot's own");
    table.or("logo", logo, "Coinslot's own");
    table.put("ownership_proofs", &Entries(ownership_proofs.clone()), &Entries(default.ownership_proofs));
    table.put("index", index, &default.index);
    table.put("openapi", openapi, &default.openapi);
    table.put("well_known", well_known, &default.well_known);
    table.put("catalog", catalog, &default.catalog);
    table.put("llms", llms, &default.llms);
    table.put("robots", robots.as_str(), default.robots.as_str());
    table.put("bazaar", bazaar, &default.bazaar);
    table.put("paywall", paywall, &default.paywall);
    table.put("mcp", &path(mcp), &path(&default.mcp));
}

/// The place of a secret, under the key for a variable or the one for a file.
pub(super) fn source(table: &mut Table<'_>, [env, file]: [&'static str; 2], source: Option<&KeySource>) {
    match source {
        Some(KeySource::Env(name)) => table.set(env, name),
        Some(KeySource::File(path)) => table.set(file, path),
        None => table.push(env, None::<Value>, None),
    }
}
