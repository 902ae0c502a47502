//! The records of reports: what the API answers with, and what the commands print for programs.
//!
//! Fields are never renamed or moved; new ones come last.

use coinslot_ledger::RecordedChange;
use coinslot_ledger::reports::{Earnings, FailedPayment, GroupKey, MoneyKind, PaymentRow};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

mod free;
mod funnel;

pub use self::free::{FreeTotalRecord, FreeUseRecord, KeyRecord};
pub use self::funnel::{FunnelRecord, FunnelReport};
pub(crate) use super::api::changes::{PauseReport, PluginChange, RollbackReport};
pub(crate) use super::api::logs::{LevelChange, LevelReport, LineRecord};
pub(crate) use super::api::plugins::{BuildRecord, PluginRecord};
pub(crate) use super::api::refunds::{RefundGasRecord, RefundOrderRequest, RefundRecord, RefundReport, RefundsReport};
pub(crate) use super::api::settle::{SettleReport, SettleRequest};
pub(crate) use super::api::webhooks::{Resend, ResendReport};
pub use super::story::{StepName, StepRecord, StoryRecord};
use super::time;
use super::units::Units;
pub(crate) use super::webhooks::AttemptRecord;

/// A payment. Amounts are texts, because JSON's numbers lose digits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PaymentRecord {
    pub payment_id: String,
    /// `reserved`, `executing`, `settling`, `unknown`, `settled`, `delivered`, `owed`, `refunding`, `refunded` or
    /// `refused`.
    pub state: String,
    /// `authorization`: settled after the work, or `upfront`: before it.
    pub flow: String,
    /// In UTC: `2026-01-31T12:00:00Z`.
    pub created_at: String,
    pub updated_at: String,
    /// The time from which the payment cannot be settled.
    pub valid_before: String,
    /// CAIP-2: `eip155:8453`.
    pub network: String,
    /// The money is worth nothing.
    pub testnet: bool,
    /// The address of the token.
    pub asset: String,
    /// None if the token is not known.
    pub symbol: Option<String>,
    /// In units of the asset. None if its decimals are not known.
    pub amount: Option<String>,
    pub atomic_amount: String,
    pub payer: String,
    pub pay_to: String,
    pub nonce: String,
    pub transaction: Option<String>,
    pub reason: Option<String>,
    /// The method and the path template.
    pub endpoint: String,
    pub plugin: String,
    pub generation: u64,
    /// The client's own name for the purchase.
    pub identifier: Option<String>,
    /// SHA-256 of the signed payment, in hex.
    pub payment_digest: String,
    /// SHA-256 of the request, in hex.
    pub request_digest: String,
    pub verify_microseconds: Option<u64>,
    pub run_microseconds: Option<u64>,
    pub settle_microseconds: Option<u64>,
    /// The `x-request-id` of the answer to the request that claimed it. None of a row of an older host.
    #[serde(default)]
    pub request_id: Option<String>,
    /// The transaction that paid the money back, of a refunded payment.
    #[serde(default)]
    pub refund_transaction: Option<String>,
}

impl PaymentRecord {
    pub(crate) fn of(row: &PaymentRow, units: &Units) -> Self {
        let amount = units.written(&row.network, &row.asset, row.amount);
        Self {
            payment_id: row.payment_id.clone(),
            state: row.state.as_str().to_owned(),
            flow: row.flow.clone(),
            created_at: time::shown(row.created_at),
            updated_at: time::shown(row.updated_at),
            valid_before: time::shown(row.valid_before),
            network: row.network.to_string(),
            testnet: row.testnet,
            asset: row.asset.clone(),
            symbol: amount.symbol,
            amount: amount.decimal,
            atomic_amount: amount.atomic,
            payer: row.payer.clone(),
            pay_to: row.pay_to.clone(),
            nonce: row.nonce.clone(),
            transaction: row.transaction.clone(),
            reason: row.reason.clone(),
            endpoint: row.endpoint.clone(),
            plugin: row.plugin.clone(),
            generation: row.generation,
            identifier: row.identifier.clone(),
            payment_digest: row.payment_digest.clone(),
            request_digest: row.request_digest.clone(),
            verify_microseconds: row.verify_us,
            run_microseconds: row.run_us,
            settle_microseconds: row.settle_us,
            request_id: row.request_id.clone(),
            refund_transaction: row.refund_transaction.clone(),
        }
    }
}

/// The money that one group earned in one asset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EarningsRecord {
    /// `revenue`; `self`: paid by its own receiver, no revenue; or `testnet`: worth nothing.
    pub kind: String,
    /// `day`, `endpoint`, `plugin`, `asset` or `payer`.
    pub by: String,
    /// The group: a day, a name, `all`, or `(pruned)` for payers that are forgotten.
    pub key: String,
    pub network: String,
    pub asset: String,
    pub symbol: Option<String>,
    pub payments: u64,
    pub amount: Option<String>,
    pub atomic_amount: String,
    /// The payments of these whose money went back to their payers, and their sum, which `amount` contains.
    #[serde(default)]
    pub refunds: u64,
    #[serde(default)]
    pub refunded: Option<String>,
    #[serde(default)]
    pub atomic_refunded: String,
}

impl EarningsRecord {
    pub(crate) fn of(earnings: &Earnings, by: &str, units: &Units) -> Self {
        let amount = units.written(&earnings.network, &earnings.asset, earnings.amount);
        let back = units.written(&earnings.network, &earnings.asset, earnings.refunded);
        let kind = match earnings.kind {
            MoneyKind::Revenue => "revenue",
            MoneyKind::SelfPaid => "self",
            MoneyKind::Testnet => "testnet",
        };
        Self {
            kind: kind.to_owned(),
            by: by.to_owned(),
            key: group_text(&earnings.key),
            network: earnings.network.to_string(),
            asset: earnings.asset.clone(),
            symbol: amount.symbol,
            payments: earnings.payments,
            amount: amount.decimal,
            atomic_amount: amount.atomic,
            refunds: earnings.refunds,
            refunded: back.decimal,
            atomic_refunded: back.atomic,
        }
    }
}

/// The name of a group of earnings.
pub(crate) fn group_text(key: &GroupKey) -> String {
    match key {
        GroupKey::All => "all".to_owned(),
        GroupKey::Day(day) => time::day(*day),
        GroupKey::Name(name) => name.clone(),
        GroupKey::Pruned => "(pruned)".to_owned(),
    }
}

/// A payment that was received and bought nothing yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OwedRecord {
    pub payment_id: String,
    pub payer: String,
    pub network: String,
    pub testnet: bool,
    pub asset: String,
    pub symbol: Option<String>,
    pub amount: Option<String>,
    pub atomic_amount: String,
    pub endpoint: String,
    pub since: String,
    pub reason: Option<String>,
    pub transaction: Option<String>,
    /// The remedy that ends the debt.
    pub make_good: String,
}

impl OwedRecord {
    /// `is_paid_back`: a wallet of `[refunds]` pays on its network.
    pub(crate) fn of(row: &PaymentRow, units: &Units, is_paid_back: bool) -> Self {
        let amount = units.written(&row.network, &row.asset, row.amount);
        Self {
            payment_id: row.payment_id.clone(),
            payer: row.payer.clone(),
            network: row.network.to_string(),
            testnet: row.testnet,
            asset: row.asset.clone(),
            symbol: amount.symbol,
            amount: amount.decimal,
            atomic_amount: amount.atomic,
            endpoint: row.endpoint.clone(),
            since: time::shown(row.updated_at),
            reason: row.reason.clone(),
            transaction: row.transaction.clone(),
            make_good: make_good(row, units, is_paid_back),
        }
    }
}

/// The ways to end a debt.
fn make_good(row: &PaymentRow, units: &Units, is_paid_back: bool) -> String {
    let id = &row.payment_id;
    let (amount, payer) = (units.shown(&row.network, &row.asset, row.amount), &row.payer);
    let refund = match is_paid_back {
        true => format!("`coinslot owed refund {id}` sends {amount} on {} to {payer}; or ", row.network),
        false => String::new(),
    };
    format!(
        "the payer sends the same request with the same payment again, and it runs without another charge; or {refund}you \
         send {amount} on {} to {payer} by hand, and `coinslot owed settle {id} --by TX` ends the debt",
        row.network
    )
}

/// A payment that was given back because its plugin failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FailureRecord {
    pub payment_id: String,
    pub at: String,
    pub network: String,
    pub testnet: bool,
    pub asset: String,
    pub symbol: Option<String>,
    pub amount: Option<String>,
    pub atomic_amount: String,
    pub payer: String,
    pub endpoint: String,
    pub plugin: String,
    pub reason: String,
    /// The `x-request-id` of its answer. None of a row of an older host.
    #[serde(default)]
    pub request_id: Option<String>,
    /// The time of the claim that was given back.
    #[serde(default)]
    pub claimed_at: Option<String>,
}

impl FailureRecord {
    pub(crate) fn of(row: &FailedPayment, units: &Units) -> Self {
        let amount = units.written(&row.network, &row.asset, row.amount);
        Self {
            payment_id: row.payment_id.clone(),
            at: time::shown(row.at),
            network: row.network.to_string(),
            testnet: row.testnet,
            asset: row.asset.clone(),
            symbol: amount.symbol,
            amount: amount.decimal,
            atomic_amount: amount.atomic,
            payer: row.payer.clone(),
            endpoint: row.endpoint.clone(),
            plugin: row.plugin.clone(),
            reason: row.reason.clone(),
            request_id: row.request_id.clone(),
            claimed_at: row.claimed_at.map(time::shown),
        }
    }
}

/// A line of the audit log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChangeRecord {
    /// Grows in the order of the changes.
    pub number: u64,
    /// In UTC: `2026-01-31T12:00:00Z`.
    pub at: String,
    /// `operator by token from 192.0.2.1`, `command line (user NAME)`, `folder`, `configuration file`, `signal`, `policy`
    /// or `start`.
    pub who: String,
    /// `plugin_loaded`, `plugin_replaced`, `plugin_removed`, `plugin_rejected`, `plugin_rolled_back`, `plugin_paused`,
    /// `plugin_resumed`, `route`, `configuration`, `setting`, `restart_needed`, `configuration_rejected`, `webhook_resent`,
    /// `backup`, `log_level`, `key` or `refund`.
    pub kind: String,
    /// The file, route, setting or payment that was changed.
    pub subject: String,
    pub before: Option<String>,
    pub after: Option<String>,
}

impl ChangeRecord {
    pub(crate) fn of(change: &RecordedChange) -> Self {
        Self {
            number: change.number,
            at: time::shown(change.at),
            who: change.who.clone(),
            kind: change.kind.as_str().to_owned(),
            subject: change.subject.clone(),
            before: change.before.clone(),
            after: change.after.clone(),
        }
    }
}

/// The names of the fields of a kind of record, in their order.
pub(crate) fn names<T: Default + Serialize>() -> Vec<String> {
    fields(&T::default()).map(|(name, _)| name).collect()
}

/// The values of a record, in the order of its names.
pub(crate) fn values(record: &impl Serialize) -> Vec<Value> {
    fields(record).map(|(_, value)| value).collect()
}

fn fields(record: &impl Serialize) -> impl Iterator<Item = (String, Value)> {
    let value = serde_json::to_value(record).unwrap_or_default();
    let Value::Object(fields) = value else { return serde_json::Map::new().into_iter() };
    fields.into_iter()
}
