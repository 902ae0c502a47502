//! `/plugins`: the files of the plugin folder, what they serve, and the way back to the build before.

use std::sync::Arc;

use axum::extract::{Form, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use coinslot_x402::UnixTime;
use maud::{Markup, html};
use serde::Deserialize;

use super::frame::{Frame, PageError, table};
use super::login::check_proof;
use super::payments::encoded;
use super::write::{ago, bytes, count, digest, duration, name, names, sentence, state};
use crate::operate::access::Visitor;
use crate::operate::admin::HostView;
use crate::operate::api::ApiError;
use crate::operate::api::plugins::{BuildRecord, LimitsRecord, PluginRecord, plugins};
use crate::operate::rollback::roll_back as put_back;

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
        @for record in &records { (plugin(record, &frame)) }
    };
    frame.page("/plugins", "Plugins", html! {}, live)
}

fn plugin(record: &PluginRecord, frame: &Frame) -> Markup {
    let id = format!("file-{}", encoded(&record.file));
    let title = record.active.as_ref().map_or(&record.file, |build| &build.name);
    html! {
        section.card aria-labelledby=(id) {
            header {
                h2 id=(id) { (name(title)) }
                @if *title != record.file { p.quiet { code { (name(&record.file)) } } }
                (badges(record))
            }
            @if let Some(failure) = &record.failure {
                p.note.bad { strong { "The file is not loaded: " } (sentence(failure)) }
            }
            @if !record.endpoints.is_empty() { (routes(record)) }
            (builds(record, frame.now))
            @if let Some(limits) = &record.limits { (bounds(limits, &id)) }
            @if let Some(previous) = &record.previous { (rollback(record, previous, frame)) }
        }
    }
}

fn badges(record: &PluginRecord) -> Markup {
    let serving = match (&record.active, &record.failure) {
        (Some(_), None) => "active",
        (Some(_), Some(_)) => "not loaded",
        (None, Some(_)) => "nothing serves",
        (None, None) => "removed",
    };
    let refuses = |circuit: &Option<String>, what: &str| {
        html! {
            @if circuit.as_deref() == Some("open") {
                (state("open")) " " span.quiet { (what) " are refused for a while" }
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
    let columns = [("Route", ""), ("Price", "number"), ("What it sells", "wide")];
    table(
        &format!("Routes of {}", name(&record.file)),
        &columns,
        html! {
            @for route in &record.endpoints {
                @let label = format!("{} {}", route.method, route.path);
                tr {
                    th.text scope="row" { a href={ "/payments?q=" (encoded(&label)) } { (name(&label)) } }
                    td.number { (name(&route.price)) }
                    td.wide { (sentence(&route.summary)) }
                }
            }
        },
    )
}

fn builds(record: &PluginRecord, now: UnixTime) -> Markup {
    let builds = [("Active", &record.active), ("Previous", &record.previous)];
    let columns = [("Build", ""), ("Version", ""), ("SHA-256", "wide"), ("Since", "")];
    html! {
        @if record.active.is_some() || record.previous.is_some() {
            (table(&format!("Builds of {}", name(&record.file)), &columns, html! {
                @for (title, build) in builds {
                    @if let Some(build) = build {
                        tr {
                            th scope="row" { (title) }
                            td { (name(&build.name)) " " (name(&build.version)) }
                            td.wide { (digest(&build.sha256)) }
                            td {
                                @if let Some(since) = &build.since { (ago(since, now)) }
                                @else { span.quiet { "unknown" } }
                            }
                        }
                    }
                }
            }))
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "no limit comes near 2^52 milliseconds")]
fn bounds(limits: &LimitsRecord, id: &str) -> Markup {
    let seconds = |milliseconds: u64| duration(milliseconds as f64 / 1e3);
    html! {
        details id={ "limits-" (id) } {
            summary { "Limits" }
            dl.rows {
                div { dt { "Instances at once" } dd { (limits.instances) } }
                div { dt { "Memory of an instance" } dd { (bytes(limits.memory)) } }
                div { dt { "CPU time of a request" } dd { (seconds(limits.cpu_milliseconds)) } }
                div { dt { "Time of a request" } dd { (seconds(limits.total_milliseconds)) } }
                div { dt { "Request body" } dd { (bytes(limits.request_body)) } }
                div { dt { "Response body" } dd { (bytes(limits.response_body)) } }
                div { dt { "Outgoing requests" } dd { (count(u64::from(limits.outgoing_requests))) } }
            }
        }
    }
}

/// The button of the rollback, behind a confirmation that needs no script.
fn rollback(record: &PluginRecord, previous: &BuildRecord, frame: &Frame) -> Markup {
    let target = format!("{} {}", name(&previous.name), name(&previous.version));
    html! {
        details.confirm id={ "rollback-" (encoded(&record.file)) } {
            summary { "Roll back…" span.unseen { " " (name(&record.file)) } }
            p {
                (name(&record.file)) " gets the component of " b { (target) } " (" (digest(&previous.sha256))
                ") again. Requests at work end with the present one. What was offered before is honoured for as long as it said."
            }
            form method="post" action={ "/plugins/" (encoded(&record.file)) "/rollback" } {
                input type="hidden" name="proof" value=(frame.visitor.form_proof);
                // A page that was open for long must not roll a newer build back.
                input type="hidden" name="to" value=(previous.sha256);
                button.danger type="submit" { "Roll back to " (name(&previous.version)) }
            }
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Rollback {
    #[serde(default)]
    proof: String,
    /// The build that the operator saw as the target.
    #[serde(default)]
    to: String,
}

/// Rolls a plugin back.
pub(super) async fn roll_back(
    State(host): State<Arc<HostView>>,
    visitor: Visitor,
    Path(file): Path<String>,
    Form(asked): Form<Rollback>,
) -> Result<Response, PageError> {
    check_proof(&visitor, &asked.proof)?;
    let conflict = |message: String| PageError(ApiError::new(StatusCode::CONFLICT, "not_rolled_back", message));
    let records = plugins(State(Arc::clone(&host))).await.0;
    let record = records.iter().find(|record| record.file == file);
    if record.and_then(|record| record.previous.as_ref()).is_none_or(|previous| previous.sha256 != asked.to) {
        return Err(conflict(
            "The builds of this file have changed since the page was shown: look at it again.".to_owned(),
        ));
    }
    let done = put_back(&host.config, &file).await.map_err(|error| conflict(error.to_string()))?;
    tracing::info!(file = %done.file, version = %done.build.version, active = done.is_active, "rolled back from the dashboard");
    Ok(Redirect::to("/plugins").into_response())
}
