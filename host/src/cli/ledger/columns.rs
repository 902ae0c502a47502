//! The columns of payments in reports for programs.

use coinslot_ledger::reports::PaymentRow;
use serde_json::{Value, json};

use super::time;
use super::units::{Units, WrittenAmount};

/// A name, and the value of a payment under it.
pub(super) type Column = (&'static str, fn(&PaymentRow, &WrittenAmount) -> Value);

/// The columns of an export, in their order: none is ever renamed or moved, new ones come last.
pub(super) const PAYMENT: &[Column] = &[
    ("paymentId", |row, _| json!(row.payment_id)),
    ("state", |row, _| json!(row.state.as_str())),
    ("flow", |row, _| json!(row.flow)),
    ("createdAt", |row, _| json!(time::shown(row.created_at))),
    ("updatedAt", |row, _| json!(time::shown(row.updated_at))),
    ("validBefore", |row, _| json!(time::shown(row.valid_before))),
    ("network", |row, _| json!(row.network)),
    ("testnet", |row, _| json!(row.testnet)),
    ("asset", |row, _| json!(row.asset)),
    ("symbol", |_, amount| json!(amount.symbol)),
    ("amount", |_, amount| json!(amount.decimal)),
    ("atomicAmount", |_, amount| json!(amount.atomic)),
    ("payer", |row, _| json!(row.payer)),
    ("payTo", |row, _| json!(row.pay_to)),
    ("nonce", |row, _| json!(row.nonce)),
    ("transaction", |row, _| json!(row.transaction)),
    ("reason", |row, _| json!(row.reason)),
    ("endpoint", |row, _| json!(row.endpoint)),
    ("plugin", |row, _| json!(row.plugin)),
    ("generation", |row, _| json!(row.generation)),
    ("identifier", |row, _| json!(row.identifier)),
    ("paymentDigest", |row, _| json!(row.payment_digest)),
    ("requestDigest", |row, _| json!(row.request_digest)),
    ("verifyMicroseconds", |row, _| json!(row.verify_us)),
    ("runMicroseconds", |row, _| json!(row.run_us)),
    ("settleMicroseconds", |row, _| json!(row.settle_us)),
];

pub(super) fn names(columns: &[Column]) -> Vec<&'static str> {
    columns.iter().map(|(name, _)| *name).collect()
}

/// The values of a payment, in the order of the columns.
pub(super) fn values(columns: &[Column], row: &PaymentRow, units: &Units) -> Vec<Value> {
    let amount = units.written(&row.network, &row.asset, row.amount);
    columns.iter().map(|(_, value)| value(row, &amount)).collect()
}
