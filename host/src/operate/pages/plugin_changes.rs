//! The forms that change a plugin: to pause it, to resume it, and to roll it back. Each is behind a confirmation that
//! needs no script, and carries the proof that it is of a page of this listener.

use std::sync::Arc;

use axum::extract::{Form, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;

use super::frame::{Frame, PageError};
use super::login::check_proof;
use super::payments::encoded;
use super::write::{digest, name};
use crate::operate::access::Visitor;
use crate::operate::admin::HostView;
use crate::operate::api::ApiError;
use crate::operate::api::changes::{PluginChange, finish, set_paused};
use crate::operate::api::plugins::{BuildRecord, PluginRecord, files};
use crate::operate::rollback::plan;

/// The button that pauses a plugin, or resumes it.
pub(super) fn pause(record: &PluginRecord, frame: &Frame) -> Markup {
    let (verb, word, tone) = if record.paused { ("resume", "Resume", "main") } else { ("pause", "Pause", "danger") };
    html! {
        details.confirm name={ "change-" (encoded(&record.file)) } id={ "pause-" (encoded(&record.file)) } {
            summary { (word) "…" span.unseen { " " (name(&record.file)) } }
            div.sheet {
                @if record.paused {
                    p { "It gets requests again, and answers that are owed are tried again." }
                } @else {
                    p {
                        "Its requests are answered with 503, and nothing is charged, until you resume it: after a restart of \
                         the host, too. Requests at work end. Answers that were bought before can be fetched."
                    }
                }
                form method="post" action={ "/plugins/" (encoded(&record.file)) "/" (verb) } {
                    input type="hidden" name="proof" value=(frame.visitor.form_proof);
                    button class=(tone) type="submit" { (word) " it" }
                }
            }
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Proof {
    #[serde(default)]
    proof: String,
}

impl Proof {
    pub(super) fn proof(&self) -> &str {
        &self.proof
    }
}

/// Pauses a plugin.
pub(super) async fn pause_it(
    State(host): State<Arc<HostView>>,
    visitor: Visitor,
    Path(file): Path<String>,
    Form(asked): Form<Proof>,
) -> Result<Response, PageError> {
    changed(&host, &visitor, &asked, file, true).await
}

/// Resumes a plugin.
pub(super) async fn resume_it(
    State(host): State<Arc<HostView>>,
    visitor: Visitor,
    Path(file): Path<String>,
    Form(asked): Form<Proof>,
) -> Result<Response, PageError> {
    changed(&host, &visitor, &asked, file, false).await
}

async fn changed(
    host: &HostView,
    visitor: &Visitor,
    asked: &Proof,
    file: String,
    is_paused: bool,
) -> Result<Response, PageError> {
    check_proof(visitor, &asked.proof)?;
    let change = PluginChange { plugin: file, dry_run: false };
    set_paused(host, &visitor.author, &change, is_paused).await.map_err(PageError)?;
    Ok(Redirect::to("/plugins").into_response())
}

/// The button of the rollback, behind a confirmation that needs no script.
pub(super) fn rollback(record: &PluginRecord, previous: &BuildRecord, frame: &Frame) -> Markup {
    let target = format!("{} {}", name(&previous.name), name(&previous.version));
    html! {
        details.confirm name={ "change-" (encoded(&record.file)) } id={ "rollback-" (encoded(&record.file)) } {
            summary { "Roll back…" span.unseen { " " (name(&record.file)) } }
            div.sheet {
                p {
                    (name(&record.file)) " gets the component of " b { (target) } " (" (digest(&previous.sha256))
                    ") again. Requests at work end with the present one. What was offered before is honoured for as long as \
                     it said."
                }
                @if record.previous_has_failed {
                    p.note.bad {
                        "That build failed again and again and was rolled back: replace the file with a mended build instead."
                    }
                }
                form method="post" action={ "/plugins/" (encoded(&record.file)) "/rollback" } {
                    input type="hidden" name="proof" value=(frame.visitor.form_proof);
                    // A page that was open for long must not roll a newer build back.
                    input type="hidden" name="to" value=(previous.sha256);
                    // Two builds may have one version.
                    button.danger type="submit" {
                        "Roll back to " (name(&previous.version)) " ("
                        (previous.sha256.chars().take(8).collect::<String>()) ")"
                    }
                }
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
    let records = files(&host);
    let record = records.iter().find(|record| record.file == file);
    if record.and_then(|record| record.previous.as_ref()).is_none_or(|previous| previous.sha256 != asked.to) {
        let message = "The builds of this file have changed since the page was shown: look at it again.";
        return Err(PageError(ApiError::new(StatusCode::CONFLICT, "not_rolled_back", message)));
    }
    let plan = plan(&host.active_config(), &file).map_err(|error| PageError(error.into()))?;
    finish(&host, visitor.author, plan).await.map_err(PageError)?;
    Ok(Redirect::to("/plugins").into_response())
}
