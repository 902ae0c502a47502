//! `coinslot ledger free`: lists the requests that were served free of charge, or sums them up.

use clap::Args;
use coinslot_ledger::reports::FreeUseFilter;

use super::source::{Source, failed};
use crate::cli::Failure;
use crate::cli::operator::records;
use crate::cli::output::Output;
use crate::operate::records::{FreeTotalRecord, FreeUseRecord};
use crate::operate::time;

/// List the requests that were served free of charge, by an allowance, a key or a pass, the newest first.
///
/// They earn nothing and are no revenue. The ledger keeps the newest hundred thousand, and their numbers for ever.
///
/// Ends with 0 if it has reported, 1 if the ledger cannot be read, 2 for wrong usage or a wrong configuration.
#[derive(Args, Clone, Debug)]
pub(super) struct FreeArgs {
    /// Their numbers by day, endpoint, kind and outcome instead.
    #[arg(long)]
    totals: bool,
    /// Only from this time on: `2026-01-31`, `2026-01-31T12:00:00Z`, Unix seconds, or `24h` ago (s, m, h, d, w).
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    since: Option<coinslot_x402::UnixTime>,
    /// Only by this account, of this network of a client, or with the key of this name.
    #[arg(long, conflicts_with = "totals")]
    who: Option<String>,
    /// Only the request with this `x-request-id`.
    #[arg(long, value_name = "REQUEST", conflicts_with = "totals")]
    request: Option<String>,
    /// At most so many.
    #[arg(long, default_value_t = 100, conflicts_with = "totals")]
    limit: u32,
}

pub(super) fn run(source: &Source, args: &FreeArgs, out: &mut Output<'_>) -> Result<(), Failure> {
    let (reader, _) = source.open()?;
    let nothing = "no request was served free of charge";
    if args.totals {
        let found: Vec<_> = reader.free_totals(args.since).map_err(failed)?.iter().map(FreeTotalRecord::of).collect();
        return records::write(out, source.format(), &found, nothing);
    }
    let filter = FreeUseFilter { who: args.who.clone(), request_id: args.request.clone(), since: args.since };
    let found = reader.free_uses(&filter, args.limit).map_err(failed)?;
    let found: Vec<_> = found.iter().map(FreeUseRecord::of).collect();
    records::write(out, source.format(), &found, nothing)
}
