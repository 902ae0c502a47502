//! Ends debts by what an operator says and the chain shows.

use std::sync::Arc;

use alloy::primitives::Address;
use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use coinslot_ledger::Author;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::ApiError;
use crate::host::all_receivers;
use crate::operate::access::Visitor;
use crate::operate::admin::HostView;
use crate::refund::{DebtClaim, DebtDesk, HandPayment, SettleError};

/// A debt that is to end: either `by` or `notPaid`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SettleRequest {
    /// The payment's id, as headers and logs have it.
    pub payment: String,
    /// The transaction that paid the debt by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// True: the transaction was sent by an account of yours, or for you, although it is none of the payment's receiver,
    /// the wallet of refunds and the other accounts that the configuration names.
    #[serde(default)]
    pub sender_is_mine: bool,
    /// True: the refund that is under way was not made, and the answer is owed again.
    #[serde(default)]
    pub not_paid: bool,
    /// True: nothing is changed, and the answer says what would be.
    #[serde(default)]
    pub dry_run: bool,
}

/// A debt that has ended, or would.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SettleReport {
    pub payment: String,
    /// `refunded`, or `owed` if its refund was not made.
    pub state: String,
    pub network: String,
    pub asset: String,
    /// The debt, in units of the asset, with its symbol.
    pub amount: String,
    pub atomic_amount: String,
    pub payer: String,
    /// The transaction that paid it by hand.
    pub transaction: Option<String>,
    /// The account that the transaction was paid from.
    #[serde(default)]
    pub sender: Option<String>,
    /// The amount that the payer received by it, less what the payer sent in it, in units of the asset, with its symbol.
    #[serde(default)]
    pub moved: Option<String>,
    /// False for a dry run.
    pub applied: bool,
}

/// Ends a debt that an operator has paid by hand, or has one owed again whose refund was not made. The chain has to agree:
/// the transaction came after the payment, left at least the debt with the payer, and counts for no other debt, and a refund was not made if its
/// transactions cannot move money any more.
#[utoipa::path(post, path = "/api/v1/owed/settle", request_body = SettleRequest,
    responses((status = 200, body = SettleReport), (status = 404, body = ApiError), (status = 409, body = ApiError),
        (status = 503, body = ApiError)))]
pub(crate) async fn settle(
    State(host): State<Arc<HostView>>,
    visitor: Visitor,
    asked: Result<Json<SettleRequest>, JsonRejection>,
) -> Result<Json<SettleReport>, ApiError> {
    let asked = asked.map(|Json(asked)| asked).map_err(|rejection| ApiError::invalid(rejection.body_text()))?;
    end_debt(&host, visitor.author, asked).await.map(Json)
}

/// Ends a debt for an operator.
pub(in crate::operate) async fn end_debt(
    host: &HostView,
    who: Author,
    asked: SettleRequest,
) -> Result<SettleReport, ApiError> {
    let SettleRequest { payment, by, sender_is_mine, not_paid, dry_run } = asked;
    let claim = match (by, not_paid) {
        (Some(transaction), false) => DebtClaim::PaidBy { transaction: transaction.trim().to_owned(), sender_is_mine },
        (None, true) => DebtClaim::NotPaid,
        (Some(_), true) | (None, false) => {
            return Err(ApiError::invalid("name either the transaction that paid it (`by`), or `notPaid`".to_owned()));
        }
    };
    let desk = DebtDesk {
        config: &host.config,
        ledger: &**host.payments.ledger(),
        refunds: host.refunds.as_deref(),
        wallets: &wallets(host),
        now: host.payments.now(),
    };
    let settled = desk.settle(&payment, &claim, who, dry_run).await?;
    let row = &settled.row;
    let shown = |amount| host.units().shown(&row.network, &row.asset, amount);
    let (transaction, sender, moved) = match settled.paid {
        Some(HandPayment { transaction, sender, moved }) => (Some(transaction), Some(sender), Some(shown(moved))),
        None => (None, None, None),
    };
    Ok(SettleReport {
        payment: row.payment_id.clone(),
        state: settled.state.as_str().to_owned(),
        network: row.network.to_string(),
        asset: row.asset.clone(),
        amount: shown(row.amount),
        atomic_amount: row.amount.to_string(),
        payer: row.payer.clone(),
        transaction,
        sender,
        moved,
        applied: !dry_run,
    })
}

/// The accounts that the configuration names: receivers, the wallet of refunds, and those that pay for gas.
fn wallets(host: &HostView) -> Vec<Address> {
    let mut wallets = all_receivers(&host.active_config());
    wallets.extend(host.refunds.as_ref().map(|refunds| refunds.address()));
    let statuses = host.payments.facilitators().into_iter().flat_map(|facilitator| facilitator.statuses());
    wallets.extend(statuses.flat_map(|status| status.wallets).map(|wallet| wallet.address));
    wallets
}

impl From<SettleError> for ApiError {
    fn from(error: SettleError) -> Self {
        let (status, code) = match &error {
            SettleError::NoPayment => (StatusCode::NOT_FOUND, "not_found"),
            SettleError::NotOwed { .. } => (StatusCode::CONFLICT, "not_owed"),
            SettleError::ForeignSender { .. } => (StatusCode::CONFLICT, "sender_not_confirmed"),
            error if error.passes() => (StatusCode::SERVICE_UNAVAILABLE, "settle_unavailable"),
            _ => (StatusCode::CONFLICT, "not_settled"),
        };
        Self::new(status, code, error.to_string())
    }
}
