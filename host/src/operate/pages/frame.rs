//! Puts the content of a page into its frame: navigation, the state of the host, and who is signed in.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use coinslot_x402::UnixTime;
use maud::{DOCTYPE, Markup, html};

use super::write::{ago, counted, name};
use crate::operate::access::Visitor;
use crate::operate::admin::HostView;
use crate::operate::api::ApiError;
use crate::operate::api::status::{StatusReport, status};

/// The pages, in the order of the navigation.
pub(super) const PAGES: [(&str, &str); 8] = [
    ("/", "Now"),
    ("/payments", "Payments"),
    ("/money", "Money"),
    ("/plugins", "Plugins"),
    ("/chain", "Chain"),
    ("/webhooks", "Webhooks"),
    ("/config", "Config"),
    ("/changes", "Changes"),
];

/// The surroundings of the content of every page.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) visitor: Visitor,
    pub(super) status: StatusReport,
    pub(super) now: UnixTime,
}

impl Frame {
    pub(super) async fn of(host: &Arc<HostView>, visitor: Visitor) -> Self {
        let status = status(State(Arc::clone(host))).await.0;
        Self { visitor, status, now: crate::operate::time::now() }
    }

    /// A page. `fixed` stays as it is while the page is open; `live` is fetched anew every few seconds.
    pub(super) fn page(&self, path: &str, title: &str, fixed: Markup, live: Markup) -> Markup {
        document(
            title,
            html! {
                a.skip href="#main" { "Skip to the content" }
                header.bar {
                    a.brand href="/" { span.coin aria-hidden="true" {} "Coinslot" }
                    nav aria-label="Pages" {
                        ul {
                            @for (href, label) in PAGES {
                                li { a href=(href) aria-current=[(href == path).then_some("page")] { (label) } }
                            }
                        }
                    }
                    div.aside {
                        div #state data-live { (self.pill()) }
                        @if self.visitor.has_session {
                            form method="post" action="/logout" {
                                input type="hidden" name="proof" value=(self.visitor.form_proof);
                                button.plain type="submit" { "Sign out" }
                            }
                        }
                    }
                }
                p #stale .stale role="status" hidden {}
                main #main tabindex="-1" {
                    h1 { (title) }
                    (fixed)
                    div #live data-live { (live) }
                }
                footer {
                    p {
                        "Coinslot " (self.status.version) ", started " (ago(&self.status.started_at, self.now))
                        ". Clients know it as " code { (name(&self.status.public_url)) } ". Times are in UTC."
                    }
                }
            },
        )
    }

    fn pill(&self) -> Markup {
        let severe = self.status.alerts.iter().any(|alert| alert.severe);
        let number = u64::try_from(self.status.alerts.len()).unwrap_or(u64::MAX);
        let (tone, text) = match (self.status.ready, number) {
            (false, _) => ("bad", "Takes no payments".to_owned()),
            (true, 0) => ("good", "Taking payments".to_owned()),
            (true, _) => (if severe { "bad" } else { "warn" }, counted(number, "problem", "problems")),
        };
        html! { a href="/#trouble" class={ "pill " (tone) } { span.dot aria-hidden="true" {} (text) } }
    }
}

/// A whole document.
pub(super) fn document(title: &str, body: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · Coinslot" }
                link rel="icon" href="/assets/icon.svg" type="image/svg+xml";
                link rel="stylesheet" href="/assets/style.css";
                script src="/assets/live.js" defer {}
            }
            body { (body) }
        }
    }
}

/// A page without the frame, for who is not signed in and for errors.
pub(super) fn plain(title: &str, content: Markup) -> Markup {
    document(
        title,
        html! {
            main #main .narrow {
                p.brand { span.coin aria-hidden="true" {} "Coinslot" }
                h1 { (title) }
                (content)
            }
        },
    )
}

/// A table that scrolls by itself where the screen is narrower. A column is its title and its class.
pub(super) fn table(label: &str, columns: &[(&str, &str)], rows: Markup) -> Markup {
    html! {
        div.scroll role="region" aria-label=(label) tabindex="0" {
            table {
                thead { tr { @for (column, class) in columns { th scope="col" class=(class) { (column) } } } }
                tbody { (rows) }
            }
        }
    }
}

/// A table whose rows become cards where the screen is narrow, so that no column is hidden there.
///
/// A column is its title and its class. `head` names its row; `number` stands right; `text` and `text long` are as wide
/// as a card; `brief` stands beside the head of a card without a title, and `meter` is a bar below both. A cell without
/// content is left out of a card.
pub(super) fn records<const N: usize>(
    label: &str,
    columns: &[(&str, &str); N],
    rows: impl IntoIterator<Item = [Markup; N]>,
) -> Markup {
    // A table that is laid out as cards is still one to a screen reader, which some browsers have to be told.
    html! {
        div.scroll.cards role="region" aria-label=(label) tabindex="0" {
            table role="table" {
                thead role="rowgroup" {
                    tr role="row" {
                        @for (title, class) in columns { th scope="col" role="columnheader" class=(class) { (title) } }
                    }
                }
                tbody role="rowgroup" {
                    @for row in rows {
                        tr role="row" {
                            @for ((title, class), cell) in columns.iter().zip(row) {
                                @if *class == "head" { th.head scope="row" role="rowheader" { (cell) } }
                                @else { td role="cell" class=(class) data-label=(title) { (cell) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// An error as a page.
#[derive(Debug)]
pub(in crate::operate) struct PageError(pub(in crate::operate) ApiError);

impl From<ApiError> for PageError {
    fn from(error: ApiError) -> Self {
        Self(error)
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let title = match self.0.status {
            StatusCode::NOT_FOUND => "There is no such page",
            StatusCode::BAD_REQUEST => "That cannot be asked",
            StatusCode::TOO_MANY_REQUESTS => "Too many wrong tokens",
            StatusCode::FORBIDDEN => "That is not allowed",
            StatusCode::SERVICE_UNAVAILABLE => "This cannot be shown now",
            _ => "That did not work",
        };
        let page = plain(
            title,
            html! { p { (super::write::sentence(&self.0.message)) } p { a href="/" { "To the first page" } } },
        );
        (self.0.status, page).into_response()
    }
}
