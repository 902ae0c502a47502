//! The forms that end a debt by an operator's word: it was paid by hand, or its refund was not made.

use std::sync::Arc;

use axum::extract::{Form, Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;

use super::frame::{Frame, PageError};
use super::login::check_proof;
use super::payments::encoded;
use super::write::{money, name};
use crate::operate::access::Visitor;
use crate::operate::admin::HostView;
use crate::operate::api::settle::{SettleRequest, end_debt};
use crate::operate::records::PaymentRecord;

/// A form that was sent.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Settle {
    #[serde(default)]
    proof: String,
    /// The transaction that paid. Empty: the refund was not made.
    #[serde(default)]
    by: String,
    /// `yes`: the operator vouches for the sender.
    #[serde(default)]
    sender_is_mine: String,
}

/// The forms for a payment that is owed or whose refund is under way.
pub(super) fn forms(record: &PaymentRecord, frame: &Frame) -> Markup {
    let action = format!("/payments/{}/settle", encoded(&record.payment_id));
    let proof = html! { input type="hidden" name="proof" value=(frame.visitor.form_proof); };
    html! {
        details.confirm id="paid-by-hand" {
            summary { "It was paid by hand…" }
            p {
                "The host looks the transaction up: after the payment, it must have moved "
                (money(record.amount.as_deref(), record.symbol.as_deref(), &record.atomic_amount))
                " to the payer " code.whole { (name(&record.payer)) }
                ", who sent none of it back in the same transaction, and count for no other debt. From then on the answer cannot be fetched any more."
            }
            form method="post" action=(action) {
                (proof)
                label { "Transaction " input type="text" name="by" placeholder="0x…" maxlength="80" required; }
                p {
                    label {
                        input type="checkbox" name="sender_is_mine" value="yes";
                        " The account that sent it is mine, although it is no receiver and no wallet of this host"
                    }
                }
                " " button.danger type="submit" { "End the debt" }
            }
        }
        @if record.state == "refunding" {
            details.confirm id="not-paid" {
                summary { "It was not paid…" }
                p {
                    "The refund counts as failed, if the chain shows that it can move no money any more, and the answer is "
                    "owed again. Look at the balance of the payer first."
                }
                form method="post" action=(action) { (proof) button.danger type="submit" { "Have it owed again" } }
            }
        }
    }
}

/// Ends the debt.
pub(super) async fn settle(
    State(host): State<Arc<HostView>>,
    visitor: Visitor,
    Path(id): Path<String>,
    Form(asked): Form<Settle>,
) -> Result<Response, PageError> {
    check_proof(&visitor, &asked.proof)?;
    let by = Some(asked.by).filter(|by| !by.trim().is_empty());
    let sender_is_mine = asked.sender_is_mine == "yes";
    let request = SettleRequest { payment: id.clone(), not_paid: by.is_none(), by, sender_is_mine, dry_run: false };
    end_debt(&host, visitor.author, request).await.map_err(PageError)?;
    Ok(Redirect::to(&format!("/payments/{}", encoded(&id))).into_response())
}
