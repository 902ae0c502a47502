//! `/plugins`: the files of the plugin folder, what they serve and use, and the forms that change them.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use coinslot_base::units::measured;
use coinslot_x402::UnixTime;
use maud::{Markup, html};

use super::frame::{Frame, records};
use super::payments::encoded;
use super::plugin_changes::{pause, rollback};
use super::write::{ago, bytes, count, digest, duration, name, names, sentence, state};
use crate::operate::access::Visitor;
use crate::operate::admin::HostView;
use crate::operate::api::plugins::{LimitsRecord, PluginRecord, StoreRecord, UsageRecord, plugins};
use crate::operate::time;

/// The lines of each plugin that are shown.
const SHOWN_LINES: usize = 40;

pub(super) async fn page(State(host): State<Arc<HostView>>, visitor: Visitor) -> Markup {
    let records = plugins(State(Arc::clone(&host))).await.0;
    let loading = host.catalog.load().loading();
    let frame = Frame::of(&host, visitor).await;
    let live = html! {
        @if !loading.is_empty() {
            p.note { "Being compiled: " (names(&loading)) "." }
        }
        @if records.is_empty() && loading.is_empty() {
            p.empty {
                "The plugin folder is empty. Put a component into "
                code { (name(&host.config.plugins.folder.display().to_string())) }
                ": it is served within a second."
            }
        }
        @for record in &records { (plugin(record, &host, &frame)) }
    };
    frame.page("/plugins", "Plugins", html! {}, live)
}

fn plugin(record: &PluginRecord, host: &HostView, frame: &Frame) -> Markup {
    let id = format!("file-{}", encoded(&record.file));
    let title = record.active.as_ref().map_or(&record.file, |build| &build.name);
    html! {
        section.card aria-labelledby=(id) {
            header {
                h2 id=(id) { (name(title)) }
                @if *title != record.file { p.quiet { code { (name(&record.file)) } } }
                (badges(record))
                div.actions {
                    @if record.paused || record.active.is_some() { (pause(record, frame)) }
                    @if let Some(previous) = &record.previous { (rollback(record, previous, frame)) }
                }
            }
            @if let Some(failure) = &record.failure {
                p.note.bad { strong { "The file is not loaded: " } (sentence(failure)) }
            }
            @if !record.endpoints.is_empty() { (routes(record)) }
            (builds(record, frame.now))
            @if !record.changes.is_empty() { (changes(record)) }
            @if let (Some(most), Some(used)) = (&record.limits, &record.usage) {
                (limits(most, used, record.store.as_ref(), &id))
                (grants(record, &id))
            }
            (lines(record, host, &id))
        }
    }
}

fn badges(record: &PluginRecord) -> Markup {
    let serving = match (&record.active, &record.failure) {
        (Some(_), _) if record.paused => "paused",
        (Some(_), None) => "active",
        (Some(_), Some(_)) => "not loaded",
        (None, Some(_)) => "nothing serves",
        (None, None) => "removed",
    };
    let refuses = |circuit: &Option<String>, what: &str| {
        html! {
            @match circuit.as_deref() {
                Some("open") => { (state("open")) " " span.quiet { (what) " are refused for a while" } }
                Some("half_open") => { (state("half_open")) " " span.quiet { (what) " have failed; none has succeeded since" } }
                _ => {}
            }
        }
    };
    html! {
        p.badges {
            (state(serving)) " "
            (refuses(&record.paid_circuit, "paid requests")) " "
            (refuses(&record.free_circuit, "free requests"))
        }
    }
}

fn routes(record: &PluginRecord) -> Markup {
    let columns = [("Route", "head"), ("Price", "number"), ("Pass", ""), ("What it sells", "text")];
    let rows = record.endpoints.iter().map(|route| {
        let label = format!("{} {}", route.method, route.path);
        [
            html! { a href={ "/payments?q=" (encoded(&label)) } { (name(&label)) } },
            html! { (name(&route.price)) },
            html! { (route.pass.as_deref().map_or_else(|| "none".to_owned(), name)) },
            html! { (sentence(&route.summary)) },
        ]
    });
    records(&format!("Routes of {}", name(&record.file)), &columns, rows)
}

fn builds(record: &PluginRecord, now: UnixTime) -> Markup {
    let builds = [("Active", &record.active), ("Previous", &record.previous)];
    let columns = [("Build", "head"), ("Version", ""), ("Since", ""), ("SHA-256", "text")];
    let rows = builds.into_iter().filter_map(|(title, build)| {
        let build = build.as_ref()?;
        Some([
            html! { (title) },
            html! { (name(&build.name)) " " (name(&build.version)) },
            html! {
                @if let Some(since) = &build.since { (ago(since, now)) } @else { span.quiet { "unknown" } }
            },
            digest(&build.sha256),
        ])
    });
    html! {
        @if record.active.is_some() || record.previous.is_some() {
            (records(&format!("Builds of {}", name(&record.file)), &columns, rows))
        }
    }
}

/// The facts that the plugin declares and the configuration changes.
fn changes(record: &PluginRecord) -> Markup {
    let columns = [("Changed route", "head"), ("Setting", ""), ("Declared", "text"), ("Effective", "text")];
    let rows = record.changes.iter().map(|change| {
        [
            html! { (name(&change.route)) },
            html! { (name(&change.key)) },
            html! { (sentence(&change.declared)) },
            html! { (sentence(&change.effective)) },
        ]
    });
    records(&format!("What the configuration changes of {}", name(&record.file)), &columns, rows)
}

/// The use of the plugin now, beside its limits.
#[expect(clippy::cast_precision_loss, reason = "no limit comes near 2^52 milliseconds")]
fn limits(limits: &LimitsRecord, used: &UsageRecord, store: Option<&StoreRecord>, id: &str) -> Markup {
    let number = |number: usize| count(u64::try_from(number).unwrap_or(u64::MAX));
    let seconds = |milliseconds: u64| duration(milliseconds as f64 / 1e3);
    html! {
        dl.rows {
            div { dt { "Instances now" } dd { (used.instances) " of " (limits.instances) } }
            div { dt { "Requests that wait" } dd { (used.waiting) } }
            div { dt { "Memory now" } dd { (bytes(used.memory)) " of " (bytes(limits.plugin_memory)) } }
            div {
                dt { "Permits now" }
                dd {
                    (number(used.permits)) " of " (number(limits.permits)) ", and other plugins have "
                    (number(used.permits_of_all.saturating_sub(used.permits))) "; an instance takes "
                    (number(used.permits_of_instance))
                }
            }
            @if let Some(store) = store {
                div { dt { "Keys kept" } dd { (kept(store.keys, count)) " of " (count(store.max_keys)) } }
                div { dt { "Bytes kept" } dd { (kept(store.bytes, bytes)) " of " (bytes(store.max_bytes)) } }
            }
            div { dt { "CPU time of this build" } dd { (measured(Duration::from_micros(used.cpu_microseconds))) } }
        }
        details id={ "limits-" (id) } {
            summary { "Limits of a request" }
            dl.rows {
                div { dt { "Memory" } dd { (bytes(limits.memory)) } }
                div { dt { "CPU time" } dd { (seconds(limits.cpu_milliseconds)) } }
                div { dt { "Time" } dd { (seconds(limits.total_milliseconds)) } }
                div { dt { "Request body" } dd { (bytes(limits.request_body)) } }
                div { dt { "Response body" } dd { (bytes(limits.response_body)) } }
                div { dt { "Outgoing requests" } dd { (count(u64::from(limits.outgoing_requests))) } }
            }
        }
    }
}

/// A number of the key-value store, or that it cannot be read.
fn kept(number: Option<u64>, shown: fn(u64) -> String) -> String {
    number.map_or_else(|| "unknown".to_owned(), shown)
}

/// The last lines that the plugin has printed.
fn lines(record: &PluginRecord, host: &HostView, id: &str) -> Markup {
    let build = record.active.as_ref().or(record.previous.as_ref());
    let lines = build.map(|build| host.output.lines(&build.name, 0)).unwrap_or_default();
    let newest = &lines[lines.len().saturating_sub(SHOWN_LINES)..];
    html! {
        details id={ "lines-" (id) } {
            summary { "Last lines that it printed" }
            @if newest.is_empty() { p.quiet { "Nothing since the host was started." } }
            @else {
                ul.lines {
                    @for line in newest {
                        li {
                            (ago(&time::shown(UnixTime(line.at / 1_000)), host.payments.now())) " "
                            code { (sentence(&line.text)) }
                            @if line.is_warning { span.quiet { " stderr" } }
                        }
                    }
                }
            }
        }
    }
}

/// The grants of the plugin.
fn grants(record: &PluginRecord, id: &str) -> Markup {
    html! {
        details id={ "grants-" (id) } {
            summary { "Grants" }
            @if record.grants.is_empty() { p.quiet { "Nothing: it computes, and sees only its requests." } }
            @else { ul { @for grant in &record.grants { li { (sentence(grant)) } } } }
        }
    }
}
