//! `coinslot ledger reconcile`: compares the ledger with the chains, and reports where they differ.

mod report;

use clap::Args;
use coinslot_x402::UnixTime;
use url::Url;

use super::source::Source;
use crate::cli::Failure;
use crate::cli::output::Output;
use crate::operate::time;
use crate::operate::units::Units;
use crate::reconcile::{ReconcileError, Reconciliation, USUAL_BLOCKS, reconcile};

/// Compare the ledger with the chain, payment by payment.
///
/// Each payment that the ledger calls settled, delivered or owed must be on chain: its authorisation
/// used, its exact amount moved to the receiver by the transaction that the ledger names. Each payment
/// by authorisation that the chain shows to a receiver of the ledger or the configuration must be in
/// the ledger, and be booked.
///
/// Ends with 0 if everything agrees, 1 if it could not be compared, 2 for wrong usage or a wrong configuration, 3 if
/// something differs.
#[derive(Args, Clone, Debug)]
pub(super) struct ReconcileArgs {
    /// From this time on. Otherwise from the ledger's oldest payment, or the day after the last pruned one.
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    since: Option<UnixTime>,
    /// A chain's JSON-RPC, instead of those that the configuration names; repeatable, one for each network.
    #[arg(long, value_name = "URL")]
    rpc: Vec<Url>,
    /// Blocks in one request for logs, at most. Halved while a node refuses.
    #[arg(long, value_name = "COUNT", default_value_t = USUAL_BLOCKS, value_parser = clap::value_parser!(u64).range(1..))]
    blocks: u64,
}

/// Compares every network, and writes the report. Fails with the exit code 3 if there are differences.
pub(super) async fn run(source: &Source, args: ReconcileArgs, out: &mut Output<'_>) -> Result<(), Failure> {
    let (file, config) = source.find()?;
    let units = Units::of(config.as_ref());
    let nodes = if args.rpc.is_empty() { Vec::from_iter(source.rpc_of_dev()) } else { args.rpc };
    let asked = Reconciliation {
        ledger: &file,
        config: config.as_ref(),
        since: args.since,
        nodes: &nodes,
        blocks: args.blocks,
    };
    let compared = reconcile(&asked).await.and_then(|networks| networks.into_iter().collect::<Result<Vec<_>, _>>());
    let compared = compared.map_err(|error| match error {
        ReconcileError::NoNode(_) => Failure::usage(error.to_string()),
        ReconcileError::Failed(problem) => Failure::new(problem),
    })?;
    report::write(out, source.format(), &compared, &units)
}
