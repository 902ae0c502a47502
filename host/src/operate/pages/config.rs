//! `/config`: the settings that are active, what waits for a restart, and problems; without a secret.

use std::sync::Arc;

use axum::extract::State;
use maud::{Markup, html};

use super::chain::receiver;
use super::frame::{Frame, table};
use super::payments::network;
use super::write::{ago, bytes, name, names, sentence};
use crate::operate::access::Visitor;
use crate::operate::admin::HostView;
use crate::operate::api::config::{ConfigReport, config};

pub(super) async fn page(State(host): State<Arc<HostView>>, visitor: Visitor) -> Markup {
    let report = config(State(Arc::clone(&host))).await.0;
    let frame = Frame::of(&host, visitor).await;
    let settings = [
        ("Listens on", name(&report.listen)),
        ("Known to clients as", name(&frame.status.public_url)),
        ("Admin listener", report.admin.as_deref().map_or_else(|| "none".to_owned(), name)),
        ("Plugin folder", name(&report.plugins)),
        ("State folder", name(&report.state)),
        ("Ledger", format!("{} ({})", name(&frame.status.ledger.file), bytes(frame.status.ledger.bytes))),
        ("Facilitators", names(&report.facilitators)),
        ("Plugins with settings of their own", or_none(&report.plugin_tables)),
        ("Webhooks", or_none(&report.webhooks)),
    ];
    let columns = [("Asset", ""), ("Network", ""), ("Receiver", ""), ("Facilitators", "wide")];
    let live = html! {
        section aria-labelledby="file" {
            h2 #file { "The file" }
            (file(&report, &frame))
        }
        section aria-labelledby="settings" {
            h2 #settings { "Settings" }
            dl.rows { @for (term, value) in &settings { div { dt { (term) } dd { code.whole { (value) } } } } }
        }
        section aria-labelledby="accept" {
            h2 #accept { "What is taken, and who receives it" }
            (table("What is taken", &columns, html! {
                @for accept in &report.accept {
                    tr {
                        th scope="row" { (name(&accept.symbol)) }
                        td { (network(&accept.network, false)) }
                        td { (receiver(&accept.network, &accept.pay_to)) }
                        td.wide { (names(&accept.facilitators)) }
                    }
                }
            }))
        }
        section aria-labelledby="overrides" {
            h2 #overrides { "What it changes of plugins" }
            (overrides(&host))
        }
    };
    frame.page("/config", "Configuration", html! {}, live)
}

/// The state of the file: refused, waiting for a restart, or active.
fn file(report: &ConfigReport, frame: &Frame) -> Markup {
    html! {
        @if let Some(reason) = &report.refused {
            p.note.bad { strong { "The changed file is not used: " } (sentence(reason)) }
        }
        @if !report.waiting_for_restart.is_empty() {
            p.note { strong { "Waits for a restart: " } (names(&report.waiting_for_restart)) "." }
        }
        @for warning in &report.warnings { p.note { (sentence(warning)) } }
        p.quiet {
            "Read without a mistake " (ago(&report.read_at, frame.now)) ". "
            code { "coinslot check" } " tells problems before the host reads a change."
        }
    }
}

/// The facts that plugins declare and the configuration changes.
fn overrides(host: &HostView) -> Markup {
    let catalog = host.catalog.load();
    let changes: Vec<_> = catalog
        .installed()
        .iter()
        .flat_map(|one| one.changes.iter().map(move |change| (&one.plugin.info().name, change)))
        .collect();
    if changes.is_empty() {
        return html! { p.quiet { "Nothing: plugins are sold as they declare themselves." } };
    }
    let columns = [("Plugin", ""), ("Route", ""), ("Setting", ""), ("Declared", "wide"), ("Effective", "wide")];
    table(
        "Declared and effective values",
        &columns,
        html! {
            @for (plugin, change) in changes {
                tr {
                    th scope="row" { (name(plugin)) }
                    td { (name(&change.route)) }
                    td { (name(&change.key)) }
                    td.wide { (sentence(&change.declared)) }
                    td.wide { (sentence(&change.effective)) }
                }
            }
        },
    )
}

fn or_none(texts: &[String]) -> String {
    if texts.is_empty() { "none".to_owned() } else { names(texts) }
}
