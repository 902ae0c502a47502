//! `coinslot ledger failed`: lists payments that were given back because their plugin failed.

use clap::Args;
use coinslot_ledger::reports::{FailedPayment, FailureFilter};

use super::source::{Source, failed};
use crate::cli::Failure;
use crate::cli::output::{Output, RecordWriter};
use crate::operate::records::{self, FailureRecord};
use crate::operate::time;
use crate::operate::units::{Units, network_label};

/// List payments that were given back because their plugin failed, the newest first.
///
/// Nothing was charged, and each can be used again: it is among `payments` only if that has happened. The ledger keeps
/// the newest ten thousand.
///
/// Ends with 0 if it has reported, 1 if the ledger cannot be read, 2 for wrong usage or a wrong configuration.
#[derive(Args, Clone, Debug)]
pub(super) struct FailedArgs {
    /// Only by this payer.
    #[arg(long, value_name = "ADDRESS")]
    payer: Option<String>,
    /// Only of the request with this `x-request-id`.
    #[arg(long, value_name = "REQUEST")]
    request: Option<String>,
    /// At most so many.
    #[arg(long, default_value_t = 100)]
    limit: u32,
}

pub(super) fn run(source: &Source, args: &FailedArgs, out: &mut Output<'_>) -> Result<(), Failure> {
    let (reader, units) = source.open()?;
    let headings = &["TIME", "AMOUNT", "NETWORK", "PAYER", "ENDPOINT", "REASON", "PAYMENT"];
    let names = records::names::<FailureRecord>();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut records = RecordWriter::new(source.format(), &names, headings);
    let filter =
        FailureFilter { payer: args.payer.clone(), request_id: args.request.clone(), ..FailureFilter::default() };
    for row in reader.failures_before(u64::MAX, filter, args.limit) {
        let row = row.map_err(failed)?;
        records.add(out, || records::values(&FailureRecord::of(&row, &units)), || cells(&row, &units))?;
    }
    records.end(out, "no payment was given back")
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
