//! `coinslot ledger`: reports on payments, read beside a running host or without one.
//!
//! Exit codes: 0 done, 1 the ledger or the chain cannot be read, 2 wrong usage; `reconcile` ends with 3 when ledger and
//! chain differ.

mod export;
mod failures;
mod free;
mod owed;
mod payments;
mod reconcile;
mod revenue;
pub(super) mod source;
#[cfg(test)]
mod tests;

use clap::{Args, Subcommand};

use super::Failure;
use super::output::Output;
use source::Source;

/// Report on payments: list them, revenue, what is owed, what failed, what was free, an export, and a comparison with the chain.
///
/// Reads the ledger without changing it, beside the host that writes it. On a terminal every report is a
/// table; into a pipe or a file it is JSON lines, and --format decides otherwise. Payments on test networks
/// stand apart and are never revenue.
///
/// Ends with 0 if it has reported, 1 if the ledger or the chain cannot be read, 2 for wrong usage or a wrong
/// configuration; `reconcile` ends with 3 if ledger and chain differ.
#[derive(Args, Clone, Debug)]
pub struct LedgerArgs {
    #[command(flatten)]
    source: Source,
    #[command(subcommand)]
    command: LedgerCommand,
}

#[derive(Subcommand, Clone, Debug)]
enum LedgerCommand {
    Payments(payments::PaymentsArgs),
    Revenue(revenue::RevenueArgs),
    Owed(owed::OwedArgs),
    Failed(failures::FailedArgs),
    Free(free::FreeArgs),
    Export(export::ExportArgs),
    Reconcile(reconcile::ReconcileArgs),
}

/// Makes the report and writes it to stdout.
pub async fn run(args: LedgerArgs) -> Result<(), Failure> {
    write(args, &mut Output::stdout()).await
}

async fn write(args: LedgerArgs, out: &mut Output<'_>) -> Result<(), Failure> {
    let LedgerArgs { source, command } = args;
    match command {
        LedgerCommand::Payments(args) => payments::run(&source, &args, out),
        LedgerCommand::Revenue(args) => revenue::run(&source, &args, out),
        LedgerCommand::Owed(owed::OwedArgs {}) => owed::run(&source, out),
        LedgerCommand::Failed(args) => failures::run(&source, &args, out),
        LedgerCommand::Free(args) => free::run(&source, &args, out),
        LedgerCommand::Export(args) => export::run(&source, &args, out),
        LedgerCommand::Reconcile(args) => reconcile::run(&source, args, out).await,
    }
}
