//! `/config`: the settings that are active, what waits for a restart, and problems; without a secret.

use std::sync::Arc;

use axum::extract::State;
use maud::{Markup, html};

use super::chain::receiver;
use super::frame::{Frame, records};
use super::payments::{encoded, network};
use super::write::{ago, counted, name, names, sentence, state};
use crate::operate::access::Visitor;
use crate::operate::admin::HostView;
use crate::operate::api::config::{ConfigReport, SettingRecord, config};

pub(super) async fn page(State(host): State<Arc<HostView>>, visitor: Visitor) -> Markup {
    let report = config(State(Arc::clone(&host))).await.0;
    let frame = Frame::of(&host, visitor).await;
    let columns = [("Asset", "head"), ("Network", ""), ("Receiver", "text"), ("Facilitators", "text")];
    let accepts = report.accept.iter().map(|accept| {
        [
            html! { (name(&accept.symbol)) },
            network(&accept.network, false),
            receiver(&accept.network, &accept.pay_to),
            html! { (names(&accept.facilitators)) },
        ]
    });
    let live = html! {
        section aria-labelledby="file" {
            h2 #file { "The file" }
            (file(&report, &frame))
        }
        section aria-labelledby="accept" {
            h2 #accept { "What is taken, and who receives it" }
            (records("What is taken", &columns, accepts))
        }
        section aria-labelledby="overrides" {
            h2 #overrides { "What it changes of plugins" }
            (overrides(&host))
        }
        section aria-labelledby="settings" {
            h2 #settings { "Settings" }
            (settings(&report))
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
    let columns = [("Plugin", "head"), ("Route", "text"), ("Setting", ""), ("Declared", "text"), ("Effective", "text")];
    let rows = changes.into_iter().map(|(plugin, change)| {
        let [route, key] = [&change.route, &change.key].map(|text| html! { (name(text)) });
        let [declared, effective] = [&change.declared, &change.effective].map(|text| html! { (sentence(text)) });
        [html! { (name(plugin)) }, route, key, declared, effective]
    });
    records("Declared and effective values", &columns, rows)
}

/// Every setting by its table. Tables with a value that is not the default come first, and so do such values in each.
fn settings(report: &ConfigReport) -> Markup {
    let mut sections: Vec<(&str, Vec<&SettingRecord>)> = Vec::new();
    for setting in &report.settings {
        match sections.iter_mut().find(|(section, _)| *section == setting.section) {
            Some((_, own)) => own.push(setting),
            None => sections.push((&setting.section, vec![setting])),
        }
    }
    let is_usual = |setting: &&SettingRecord| setting.is_default && setting.waiting.is_none();
    sections.iter_mut().for_each(|(_, own)| own.sort_by_key(is_usual));
    sections.sort_by_key(|(_, own)| own.iter().all(is_usual));
    html! {
        p.quiet {
            "Values as the file takes them, those that differ from the defaults first. Secrets are not shown. "
            code { "coinslot config --all" } " lists the same."
        }
        @for (section, own) in &sections { (section_of(section, own)) }
    }
}

fn section_of(section: &str, settings: &[&SettingRecord]) -> Markup {
    let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let changed = number(settings.iter().filter(|setting| !setting.is_default).count());
    let waiting = number(settings.iter().filter(|setting| setting.waiting.is_some()).count());
    let title = match section.split_once('[') {
        _ if section.is_empty() => "Top of the file".to_owned(),
        Some((list, entry)) => format!("[[{list}]] {}", name(entry.trim_end_matches(']'))),
        None => format!("[{}]", name(section)),
    };
    let columns = [("Key", "head"), ("In force", "text"), ("Default", "text"), ("A change takes effect", "text")];
    let rows = settings.iter().map(|setting| {
        [
            html! { code { (name(key_in(section, &setting.key))) } },
            in_force(setting),
            html! {
                @if setting.is_default { span.quiet { "the same" } }
                @else if let Some(default) = &setting.default { (sentence(default)) }
                @else { span.quiet { "none" } }
            },
            html! { "at a " (name(&setting.takes_effect)) },
        ]
    });
    html! {
        details id={ "settings-" (encoded(section)) } {
            summary {
                (title) " · "
                span.quiet {
                    @if changed == 0 { "all as by default" }
                    @else { (counted(changed, "value", "values")) " of its own" }
                    @if waiting > 0 { ", " (counted(waiting, "waits", "wait")) " for a restart" }
                }
            }
            (records(&format!("Settings of {title}"), &columns, rows))
        }
    }
}

/// The value of a setting, and the one that waits for a restart.
fn in_force(setting: &SettingRecord) -> Markup {
    html! {
        @if let Some(value) = &setting.value { code { (sentence(value)) } }
        @else { span.quiet { "not set" } }
        @if let Some(value) = &setting.waiting {
            " " (state("waiting")) " " span.quiet { "for a restart: " code { (sentence(value)) } }
        }
    }
}

/// The key without the name of the section above it.
fn key_in<'k>(section: &str, key: &'k str) -> &'k str {
    key.strip_prefix(section).and_then(|key| key.strip_prefix('.')).unwrap_or(key)
}
