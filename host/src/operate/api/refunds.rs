//! Refunds of owed answers: what is and was paid back, and the order to pay one back.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy::primitives::U256;
use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use coinslot_ledger::Author;
use coinslot_ledger::reports::{RefundFee, RefundRow};
use coinslot_x402::price::Amount;
use coinslot_x402::{Network, UnixTime};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::ApiError;
use super::payments::PAGE;
use super::read::read;
use crate::explorer;
use crate::operate::access::Visitor;
use crate::operate::admin::HostView;
use crate::operate::time;
use crate::operate::units::Units;
use crate::refund::{RefundError, Refunds, UnderWay, WalletState};

/// A payment whose money is to go back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RefundOrderRequest {
    /// The payment's id, as headers and logs have it.
    pub payment: String,
    /// True: nothing is sent, and the answer says what would be.
    #[serde(default)]
    pub dry_run: bool,
}

/// A refund that has begun, or would.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RefundReport {
    pub payment: String,
    pub network: String,
    pub asset: String,
    /// In units of the asset, with its symbol.
    pub amount: String,
    pub atomic_amount: String,
    /// The address that is paid.
    pub payer: String,
    /// The address that received the payment.
    pub received_by: String,
    /// The wallet that pays.
    pub wallet: String,
    /// The transaction that is on its way. None of a dry run.
    pub transaction: Option<String>,
    /// False for a dry run.
    pub applied: bool,
}

/// An attempt to pay an owed answer back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RefundRecord {
    pub payment_id: String,
    /// `sent`: on its way; `paid`; or `failed`: the answer is owed again.
    pub state: String,
    pub begun_at: String,
    pub ended_at: Option<String>,
    pub network: String,
    pub testnet: bool,
    pub asset: String,
    pub symbol: Option<String>,
    pub amount: Option<String>,
    pub atomic_amount: String,
    pub payer: String,
    /// The account that pays: the wallet of refunds, or that of an operator.
    pub wallet: String,
    /// None: an operator paid it by hand.
    pub nonce: Option<u64>,
    /// The transaction that ended it, or the newest that was sent.
    pub transaction: Option<String>,
    /// The cost of its gas, in wei. None of what was paid by hand.
    pub fee_wei: Option<String>,
    /// `operator` or `policy`.
    pub ordered_by: String,
    pub reason: Option<String>,
}

/// A budget of refunds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RefundBudgetRecord {
    pub testnet: bool,
    /// Paid back in the last 24 hours, or on its way.
    pub spent: String,
    pub limit: String,
}

/// The wallet of refunds on one network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RefundWalletRecord {
    pub network: String,
    /// For gas. None if it could not be read yet.
    pub balance: Option<String>,
    /// The balance that it should have, while it has less.
    pub needed: Option<String>,
    /// The payment whose refund has had no end for long.
    pub stuck: Option<String>,
    /// The reason for `stuck`, or why what is due is not paid back.
    pub trouble: Option<String>,
    /// The tokens that it pays back, with what it has of each, as in `12.5 USDC`. Empty if they could not be read yet.
    #[serde(default)]
    pub tokens: Vec<String>,
    /// The refund that is under way.
    #[serde(default)]
    pub under_way: Option<PendingRefundRecord>,
}

/// A refund that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PendingRefundRecord {
    pub payment: String,
    /// In units of the asset, with its symbol.
    pub amount: String,
    pub payer: String,
    pub begun_at: String,
    pub nonce: u64,
    /// The newest transaction that was signed for it.
    pub hash: Option<String>,
    /// The page of the transaction at a block explorer, where one is known.
    pub explorer: Option<String>,
}

/// The cost of the gas of the refunds that ended on one day, failed ones included.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RefundGasRecord {
    /// As in `2026-01-31`, in UTC.
    pub day: String,
    pub network: String,
    /// In wei, as a text.
    pub wei: String,
    /// As in `0.0031 ether`.
    pub shown: String,
}

/// The refunds of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RefundsReport {
    /// The wallet that pays. None: the configuration has no `[refunds]`.
    pub wallet: Option<String>,
    /// `by command`, or the age of a debt at which it is paid back: `after 24h`.
    pub policy: Option<String>,
    pub budgets: Vec<RefundBudgetRecord>,
    pub wallets: Vec<RefundWalletRecord>,
    /// The last attempts, the newest first, a hundred at most.
    pub refunds: Vec<RefundRecord>,
    /// The cost of the gas of refunds by day, also of those whose rows are pruned, the newest day first.
    #[serde(default)]
    pub gas: Vec<RefundGasRecord>,
}

impl RefundGasRecord {
    fn of(((day, network), wei): (&(u64, String), &U256)) -> Self {
        Self {
            day: time::day(*day),
            network: network.clone(),
            wei: wei.to_string(),
            shown: coinslot_evm::Ether(*wei).to_string(),
        }
    }

    /// The sums by day and network.
    fn sums(fees: &[RefundFee]) -> Vec<Self> {
        let mut sums: BTreeMap<(u64, String), U256> = BTreeMap::new();
        for fee in fees {
            let sum = sums.entry((fee.day, fee.network.to_string())).or_default();
            *sum = sum.saturating_add(fee.fee.0);
        }
        sums.iter().rev().map(Self::of).collect()
    }
}

impl RefundRecord {
    pub(crate) fn of(row: &RefundRow, units: &Units) -> Self {
        let amount = units.written(&row.network, &row.asset, row.amount);
        Self {
            payment_id: row.payment_id.clone(),
            state: row.state.as_str().to_owned(),
            begun_at: time::shown(row.begun_at),
            ended_at: row.ended_at.map(time::shown),
            network: row.network.to_string(),
            testnet: row.testnet,
            asset: row.asset.clone(),
            symbol: amount.symbol,
            amount: amount.decimal,
            atomic_amount: amount.atomic,
            payer: row.payer.clone(),
            wallet: row.sender.clone(),
            nonce: row.nonce,
            transaction: row.transaction.clone(),
            fee_wei: row.fee.map(|fee: Amount| fee.to_string()),
            ordered_by: row.ordered_by.as_str().to_owned(),
            reason: row.reason.clone(),
        }
    }
}

/// The refunds of owed answers, the wallet that pays them, and its budgets.
#[utoipa::path(get, path = "/api/v1/refunds",
    responses((status = 200, body = RefundsReport), (status = 503, body = ApiError)))]
pub(crate) async fn refunds(State(host): State<Arc<HostView>>) -> Result<Json<RefundsReport>, ApiError> {
    let rows = read(&host, |reader, units| {
        let rows = reader.refunds(UnixTime(0), PAGE)?;
        let refunds = rows.iter().map(|row| RefundRecord::of(row, units)).collect();
        let gas = RefundGasRecord::sums(&reader.refund_fees()?);
        Ok(RefundsReport { refunds, gas, ..RefundsReport::default() })
    });
    let report = rows.await?;
    let Some(ours) = &host.refunds else { return Ok(Json(report)) };
    let budgets = ours.budgets().await?.into_iter();
    Ok(Json(RefundsReport {
        wallet: Some(ours.address().to_string()),
        policy: Some(ours.policy()),
        budgets: budgets.map(|(testnet, spent, limit)| RefundBudgetRecord { testnet, spent, limit }).collect(),
        wallets: wallets(ours, &host.units()),
        ..report
    }))
}

/// The wallet on each network.
pub(in crate::operate) fn wallets(refunds: &Refunds, units: &Units) -> Vec<RefundWalletRecord> {
    let ether = |wei: U256| coinslot_evm::Ether(wei).to_string();
    let record = |(network, state): (Network, WalletState)| {
        let (stuck, reason) = state.stuck.map_or((None, None), |(payment, reason)| (Some(payment), Some(reason)));
        RefundWalletRecord {
            network: network.to_string(),
            balance: state.native.map(ether),
            needed: state.needed.map(ether),
            stuck,
            trouble: reason.or(state.waits),
            tokens: state
                .tokens
                .iter()
                .map(|(asset, amount)| format!("{} {}", amount.decimal(asset.decimals), asset.symbol))
                .collect(),
            under_way: state.under_way.map(|refund| PendingRefundRecord::of(refund, units)),
        }
    };
    refunds.wallets().into_iter().map(record).collect()
}

impl PendingRefundRecord {
    fn of(refund: UnderWay, units: &Units) -> Self {
        let hash = refund.hash;
        Self {
            amount: units.shown(&refund.network, &refund.asset, refund.amount),
            begun_at: time::shown(refund.begun_at),
            nonce: refund.nonce,
            explorer: hash.as_ref().and_then(|hash| explorer::link(refund.network.as_str(), "tx", hash)),
            hash,
            payment: refund.payment_id,
            payer: refund.payer,
        }
    }
}

/// Pays an owed answer back to its payer, once. The answer comes when the transaction is durable and about to be sent;
/// `/api/v1/refunds` says how it ends.
#[utoipa::path(post, path = "/api/v1/owed/refund", request_body = RefundOrderRequest,
    responses((status = 200, body = RefundReport), (status = 404, body = ApiError), (status = 409, body = ApiError),
        (status = 503, body = ApiError)))]
pub(crate) async fn refund(
    State(host): State<Arc<HostView>>,
    visitor: Visitor,
    asked: Result<Json<RefundOrderRequest>, JsonRejection>,
) -> Result<Json<RefundReport>, ApiError> {
    let asked = asked.map(|Json(asked)| asked).map_err(|rejection| ApiError::invalid(rejection.body_text()))?;
    pay_back(&host, visitor.author, asked).await.map(Json)
}

/// Pays an owed answer back for an operator. If the caller leaves before the refund has begun, it does not begin.
pub(in crate::operate) async fn pay_back(
    host: &HostView,
    who: Author,
    asked: RefundOrderRequest,
) -> Result<RefundReport, ApiError> {
    let refunds = host.refunds.as_ref().ok_or_else(|| {
        let message =
            "no wallet pays anything back: name its key and a daily budget in [refunds], and restart the host";
        ApiError::new(StatusCode::CONFLICT, "refunds_not_configured", message)
    })?;
    let RefundOrderRequest { payment, dry_run } = asked;
    let (prepared, transaction) = if dry_run {
        (refunds.prepare(&payment).await?, None)
    } else {
        let begun = refunds.refund(&payment, who).await?;
        (begun.prepared, Some(begun.transaction))
    };
    let row = &prepared.row;
    let amount = host.units().shown(&row.network, &row.asset, row.amount);
    Ok(RefundReport {
        payment: row.payment_id.clone(),
        network: row.network.to_string(),
        asset: row.asset.clone(),
        amount,
        atomic_amount: row.amount.to_string(),
        payer: row.payer.clone(),
        received_by: row.pay_to.clone(),
        wallet: refunds.address().to_string(),
        applied: transaction.is_some(),
        transaction,
    })
}

impl From<RefundError> for ApiError {
    fn from(error: RefundError) -> Self {
        let (status, code) = match &error {
            RefundError::NoPayment => (StatusCode::NOT_FOUND, "not_found"),
            RefundError::NotOwed { .. } => (StatusCode::CONFLICT, "not_owed"),
            RefundError::OverBudget { .. } => (StatusCode::CONFLICT, "over_budget"),
            error if error.passes() => (StatusCode::SERVICE_UNAVAILABLE, "refund_unavailable"),
            _ => (StatusCode::CONFLICT, "not_refunded"),
        };
        Self::new(status, code, error.to_string())
    }
}
