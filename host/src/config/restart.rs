//! Finds the settings that a running host cannot change.
//!
//! Every struct is destructured without `..`: a new setting does not compile until it is listed here, as one that
//! needs a restart, or bound to `_` as one that a reload applies.

use coinslot_x402::price::{Accept, Amount};

use super::settlement::AcceptConfig;
use super::types::{Config, PaymentConfig, PluginsConfig, ServerConfig, StateConfig, WebhookConfig};
use crate::operate::WebhookEvent;

/// A key, and whether its value has changed.
type Change = (&'static str, bool);

/// The keys whose values differ and that take effect at a start only.
pub fn needs_restart(now: &Config, next: &Config) -> Vec<&'static str> {
    let Config { server, plugins, payment, state, admin, webhooks, allowances: _, refunds, log: _, telemetry } = now;
    let changes = server_changes(server, &next.server).into_iter().chain(plugin_changes(plugins, &next.plugins));
    let changes = changes.chain(payment_changes(payment, &next.payment)).chain(state_changes(state, &next.state));
    let changes = changes.chain([
        ("[admin]", *admin != next.admin),
        ("[[webhook]]: an address or its events", told(webhooks) != told(&next.webhooks)),
        ("[refunds]", *refunds != next.refunds),
    ]);
    let changes = changes.chain([("[telemetry]", *telemetry != next.telemetry)]);
    changes.filter_map(|(key, differs)| differs.then_some(key)).collect()
}

/// The addresses and the events of webhooks. A reload reads their secrets.
fn told(webhooks: &[WebhookConfig]) -> Vec<(&str, &[WebhookEvent])> {
    webhooks.iter().map(|WebhookConfig { url, events, secret: _ }| (url.as_str(), &**events)).collect()
}

fn server_changes(now: &ServerConfig, next: &ServerConfig) -> Vec<Change> {
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
    } = now;
    vec![
        ("listen", *listen != next.listen),
        ("public_url", *public_url != next.public_url),
        ("hosts", *hosts != next.hosts),
        ("[tls]", *tls != next.tls),
        ("server.max_connections", *max_connections != next.max_connections),
        ("server.max_connections_per_client", *max_connections_per_client != next.max_connections_per_client),
        ("server.private_network_access", *private_network_access != next.private_network_access),
        ("server.keep_alive", *keep_alive != next.keep_alive),
        ("server.max_held_bytes", *max_held_bytes != next.max_held_bytes),
        ("server.min_body_rate", *min_body_rate != next.min_body_rate),
        ("server.drain_timeout", *drain_timeout != next.drain_timeout),
        ("server.shutdown_delay", *shutdown_delay != next.shutdown_delay),
        ("server.trusted_proxies", *trusted_proxies != next.trusted_proxies),
    ]
}

fn plugin_changes(now: &PluginsConfig, next: &PluginsConfig) -> Vec<Change> {
    let PluginsConfig { folder, max_instances, limits: _, by_name: _ } = now;
    vec![("plugins", *folder != next.folder), ("limits.max_instances", *max_instances != next.max_instances)]
}

fn payment_changes(now: &PaymentConfig, next: &PaymentConfig) -> Vec<Change> {
    let PaymentConfig { accepts, facilitators, receiver_shared, flows: _, rate_limits, receipts } = now;
    // A reload stops taking an asset that is not named any more; its facilitator may stay connected.
    let known: Vec<_> = accepts.iter().map(connected).collect();
    let is_new = next.accepts.iter().any(|accept| !known.contains(&connected(accept)));
    vec![
        ("[[accept]]: an asset, its facilitator or max_unsettled", is_new),
        ("[facilitator]", *facilitators != next.facilitators),
        ("receiver_shared", *receiver_shared != next.receiver_shared),
        ("[rate_limits]", *rate_limits != next.rate_limits),
        ("[receipts]", *receipts != next.receipts),
    ]
}

fn state_changes(now: &StateConfig, next: &StateConfig) -> Vec<Change> {
    let StateConfig { folder, keep_answers_for, max_kept_answer, max_kept_answers, keep_payments_for, reconcile_every } =
        now;
    vec![
        ("state", *folder != next.folder),
        ("answers.keep_for", *keep_answers_for != next.keep_answers_for),
        ("answers.max_size", *max_kept_answer != next.max_kept_answer),
        ("answers.max_total", *max_kept_answers != next.max_kept_answers),
        ("ledger.keep_for", *keep_payments_for != next.keep_payments_for),
        ("ledger.reconcile_every", *reconcile_every != next.reconcile_every),
    ]
}

/// The part of an entry that facilitators are connected for and payments are set up with. A reload changes the
/// receiver, the timeout and the versions.
fn connected(accept: &AcceptConfig) -> (String, String, Amount, &[String]) {
    let AcceptConfig { accept, facilitators } = accept;
    let Accept { asset, max_unsettled, pay_to: _, max_timeout_seconds: _, versions: _ } = accept;
    (asset.network.to_string(), asset.address.to_ascii_lowercase(), *max_unsettled, facilitators)
}
