//! The form that pays an owed answer back, behind a confirmation that needs no script.

use std::sync::Arc;

use axum::extract::{Form, Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};

use super::frame::{Frame, PageError};
use super::login::check_proof;
use super::payments::encoded;
use super::plugin_changes::Proof;
use super::write::{money, name};
use crate::operate::access::Visitor;
use crate::operate::admin::HostView;
use crate::operate::api::refunds::{RefundOrderRequest, pay_back};
use crate::operate::records::PaymentRecord;

/// The button for an owed payment. `wallet`: the wallet that pays; without one the way to name it.
pub(super) fn form(record: &PaymentRecord, wallet: Option<&str>, frame: &Frame) -> Markup {
    let Some(wallet) = wallet else {
        return html! {
            p.quiet {
                "Its payer may fetch the answer with the same payment. To pay it back, name a wallet and a budget in "
                code { "[refunds]" } " of the configuration."
            }
        };
    };
    html! {
        details.confirm id="refund" {
            summary { "Pay back…" }
            p {
                (money(record.amount.as_deref(), record.symbol.as_deref(), &record.atomic_amount))
                " goes to the payer " code.whole { (name(&record.payer)) } ", from the wallet "
                code.whole { (name(wallet)) }
                ". From then on the answer cannot be fetched any more. A transfer cannot be taken back."
            }
            form method="post" action={ "/payments/" (encoded(&record.payment_id)) "/refund" } {
                input type="hidden" name="proof" value=(frame.visitor.form_proof);
                button.danger type="submit" { "Pay it back" }
            }
        }
    }
}

/// Pays the answer back.
pub(super) async fn pay(
    State(host): State<Arc<HostView>>,
    visitor: Visitor,
    Path(id): Path<String>,
    Form(asked): Form<Proof>,
) -> Result<Response, PageError> {
    check_proof(&visitor, asked.proof())?;
    let order = RefundOrderRequest { payment: id.clone(), dry_run: false };
    pay_back(&host, visitor.author, order).await.map_err(PageError)?;
    Ok(Redirect::to(&format!("/payments/{}", encoded(&id))).into_response())
}
