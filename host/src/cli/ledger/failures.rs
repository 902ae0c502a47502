//! `coinslot ledger failed`: lists payments that were given back because their plugin failed.

use clap::Args;
use coinslot_ledger::reports::FailedPayment;
use serde_json::{Value, json};

use super::output::{Output, RecordWriter};
use super::source::{Source, failed};
use super::time;
use super::units::{Units, network_label};
use crate::cli::Failure;

/// List payments that were given back because their plugin failed, the newest first.
///
/// Nothing was charged, and each can be used again: it is among `payments` only if that has happened. The ledger keeps
/// the newest ten thousand.
#[derive(Args, Clone, Debug)]
pub(super) struct FailedArgs {
    #[command(flatten)]
    source: Source,
    /// At most so many.
    #[arg(long, default_value_t = 100)]
    limit: u32,
}

/// The columns for programs, in their order.
const COLUMNS: &[&str] = &[
    "paymentId",
    "at",
    "network",
    "testnet",
    "asset",
    "symbol",
    "amount",
    "atomicAmount",
    "payer",
    "endpoint",
    "plugin",
    "reason",
];

pub(super) fn run(args: &FailedArgs, out: &mut Output<'_>) -> Result<(), Failure> {
    let (reader, units) = args.source.open()?;
    let headings = &["TIME", "AMOUNT", "NETWORK", "PAYER", "ENDPOINT", "REASON", "PAYMENT"];
    let mut records = RecordWriter::new(args.source.format(), COLUMNS, headings);
    for row in reader.failures(args.limit) {
        let row = row.map_err(failed)?;
        records.add(out, || values(&row, &units), || cells(&row, &units))?;
    }
    records.end(out, "no payment was given back")
}

fn values(row: &FailedPayment, units: &Units) -> Vec<Value> {
    let amount = units.written(&row.network, &row.asset, row.amount);
    vec![
        json!(row.payment_id),
        json!(time::shown(row.at)),
        json!(row.network),
        json!(row.testnet),
        json!(row.asset),
        json!(amount.symbol),
        json!(amount.decimal),
        json!(amount.atomic),
        json!(row.payer),
        json!(row.endpoint),
        json!(row.plugin),
        json!(row.reason),
    ]
}

fn cells(row: &FailedPayment, units: &Units) -> Vec<String> {
    vec![
        time::shown(row.at),
        units.shown(&row.network, &row.asset, row.amount),
        network_label(&row.network, row.testnet),
        row.payer.clone(),
        row.endpoint.clone(),
        row.reason.clone(),
        row.payment_id.clone(),
    ]
}
