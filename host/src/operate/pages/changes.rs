//! `/changes`: the audit log, the newest change first.

use std::sync::Arc;

use axum::extract::State;
use coinslot_ledger::ChangeKind;
use maud::{Markup, html};

use super::frame::{Frame, PageError, records};
use super::write::{ago, name, sentence};
use crate::operate::access::Visitor;
use crate::operate::admin::HostView;
use crate::operate::api::audit::{AuditQuery, audit};
use crate::operate::api::page::Page;
use crate::operate::api::payments::Query;
use crate::operate::records::ChangeRecord;

pub(super) async fn page(
    State(host): State<Arc<HostView>>,
    visitor: Visitor,
    Query(query): Query<AuditQuery>,
) -> Result<Markup, PageError> {
    // The form sends what is not chosen as an empty text.
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let (kind, since) = (given(&query.kind), given(&query.since));
    let asked = AuditQuery { kind: kind.clone(), since: since.clone(), ..query };
    let found = audit(State(Arc::clone(&host)), Query(asked)).await.map_err(PageError)?;
    let frame = Frame::of(&host, visitor).await;
    let fixed = html! {
        form.filter method="get" action="/changes" {
            label { "Kind "
                select name="kind" {
                    option value="" selected[kind.is_none()] { "every kind" }
                    @for one in ChangeKind::ALL {
                        option value=(one.as_str()) selected[kind.as_deref() == Some(one.as_str())] {
                            (one.as_str().replace('_', " "))
                        }
                    }
                }
            }
            label { "Since " input type="text" name="since" value=[since.as_deref()] placeholder="24h"; }
            button.plain type="submit" { "Show" }
        }
    };
    Ok(frame.page("/changes", "Changes", fixed, rows(&found, &frame, kind.as_deref(), since.as_deref())))
}

fn rows(
    Page { records: changes, next }: &Page<ChangeRecord>,
    frame: &Frame,
    kind: Option<&str>,
    since: Option<&str>,
) -> Markup {
    if changes.is_empty() {
        return html! { p.empty { "Nothing of this kind was changed in this time." } };
    }
    let columns =
        [("Change", "head"), ("Time", ""), ("Of", "text"), ("Before", "text"), ("After", "text"), ("By", "text")];
    let text = |text: &Option<String>| html! { @if let Some(text) = text { (sentence(text)) } };
    let rows = changes.iter().map(|change| {
        [
            html! { (change.kind.replace('_', " ")) },
            ago(&change.at, frame.now),
            html! { (name(&change.subject)) },
            text(&change.before),
            text(&change.after),
            html! { (name(&change.who)) },
        ]
    });
    let older = next.as_ref().map(|next| {
        let mut older = url::form_urlencoded::Serializer::new(String::new());
        older.append_pair("kind", kind.unwrap_or_default()).append_pair("since", since.unwrap_or_default());
        older.append_pair(next.parameter, &next.value).finish()
    });
    html! {
        (records("Changes", &columns, rows))
        @if let Some(older) = older { p { a href={ "/changes?" (older) } rel="next" { "Older changes" } } }
    }
}
