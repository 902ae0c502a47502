//! `/config`: the settings that the host was started with, without a secret.

use std::sync::Arc;

use axum::extract::State;
use maud::{Markup, html};

use super::chain::receiver;
use super::frame::{Frame, table};
use super::payments::network;
use super::write::{bytes, name, names};
use crate::operate::access::Visitor;
use crate::operate::admin::HostView;
use crate::operate::api::config::config;

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
    ];
    let columns = [("Asset", ""), ("Network", ""), ("Receiver", ""), ("Facilitators", "wide")];
    let live = html! {
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
        p.quiet {
            "As the host was started. What has changed in the file since then, and what of it waits for a restart, is in "
            "the log. "
            code { "coinslot check" } " tells problems before a restart does."
        }
    };
    frame.page("/config", "Configuration", html! {}, live)
}
