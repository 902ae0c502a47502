//! `coinslot ledger export`: writes every payment with all its columns.

use clap::Args;
use coinslot_ledger::reports::{ClaimOrder, Filter};
use coinslot_x402::UnixTime;

use super::source::{Source, failed};
use crate::cli::Failure;
use crate::cli::output::{Output, OutputFormat, RecordWriter, plain};
use crate::operate::records::{self, PaymentRecord};
use crate::operate::time;

/// Write every payment with all its columns, the oldest first: JSON lines unless --format says otherwise.
///
/// The signed payments and the answers stay in the ledger; of both only digests go out.
///
/// Ends with 0 if it has reported, 1 if the ledger cannot be read, 2 for wrong usage or a wrong configuration.
#[derive(Args, Clone, Debug)]
pub(super) struct ExportArgs {
    /// Only from this time on.
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    since: Option<UnixTime>,
    /// Only before this time.
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    until: Option<UnixTime>,
}

pub(super) fn run(source: &Source, args: &ExportArgs, out: &mut Output<'_>) -> Result<(), Failure> {
    let (reader, units) = source.open()?;
    let filter = Filter { since: args.since, until: args.until, order: ClaimOrder::OldestFirst, ..Filter::default() };
    let mut selection = reader.select(&filter).map_err(failed)?;
    // JSON on a terminal, too: an export is for programs.
    let format = source.chosen_format().unwrap_or(OutputFormat::Json);
    let names = records::names::<PaymentRecord>();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut records = RecordWriter::new(format, &names, &names);
    for row in selection.rows().map_err(failed)? {
        let row = row.map_err(failed)?;
        let values = || records::values(&PaymentRecord::of(&row, &units));
        records.add(out, values, || values().iter().map(plain).collect())?;
    }
    records.end(out, "no payments")
}
