//! `coinslot ledger reconcile`: compares the ledger with the chains, and reports where they differ.
//!
//! The chain is read up to the block that was the newest before the ledger was read. So a payment that settles
//! meanwhile is on both sides, or on the ledger's alone, where the receipt of its transaction proves it.

mod report;

use std::collections::HashMap;
use std::time::Duration;

use alloy::primitives::{Address, B256};
use clap::Args;
use coinslot_evm::eip3009::{self, Eip3009Payment};
use coinslot_evm::{Chain, ChainSettings, scan};
use coinslot_ledger::reports::LedgerReader;
use coinslot_ledger::reports::reconcile::{
    ChainPayment, Comparison, Coverage, LedgerSide, SKEW, Scope, Scopes, TxOutcome,
};
use coinslot_x402::price::Amount;
use coinslot_x402::{Network, UnixTime};
use url::Url;

use super::source::{self, Source, failed};
use crate::cli::Failure;
use crate::cli::output::Output;
use crate::config::{AcceptConfig, Config};
use crate::operate::time;
use crate::operate::units::Units;
use report::NetworkReport;

/// The longest wait for one answer of a node. Reports ask for more at once than the server does.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

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
    #[arg(long, value_name = "COUNT", default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..))]
    blocks: u64,
}

/// A chain, and the last block that is read of it.
struct ChainView {
    chain: Chain,
    head: u64,
}

/// Compares every network, and writes the report. Fails with the exit code 3 if there are differences.
pub(super) async fn run(source: &Source, args: ReconcileArgs, out: &mut Output<'_>) -> Result<(), Failure> {
    let (file, config) = source.find()?;
    let units = Units::of(config.as_ref());
    let format = source.format();
    let (scopes, since) = scopes(&source::open(&file)?, config.as_ref(), args.since)?;
    let Some(since) = since else {
        return report::write(out, format, &[], &units);
    };
    // The heads of the chains first, and then the ledger: see the module.
    let given = if args.rpc.is_empty() { Vec::from_iter(source.rpc_of_dev()) } else { args.rpc };
    let mut views = Vec::new();
    for (network, scope) in scopes.0 {
        let view = connect(&network, config.as_ref(), &given).await?;
        views.push((network, scope, view));
    }
    let mut sides = LedgerSide::read_all(&source::open(&file)?, since, time::now()).map_err(failed)?;
    let mut reports = Vec::new();
    for (network, scope, view) in views {
        let side = sides.remove(&network).unwrap_or_else(|| LedgerSide::empty(network.clone(), since, time::now()));
        let testnet = scope.testnet || side.rows.iter().any(|row| row.testnet);
        let comparison = compare(&view, &scope, &side, args.blocks)
            .await
            .map_err(|failure| Failure { message: format!("{network}: {}", failure.message), ..failure })?;
        reports.push(NetworkReport { network, since, testnet, comparison });
    }
    report::write(out, format, &reports, &units)
}

/// The receivers of the configuration and of the ledger, and the beginning of the period: `None` if there is nothing
/// to compare.
fn scopes(
    reader: &LedgerReader,
    config: Option<&Config>,
    since: Option<UnixTime>,
) -> Result<(Scopes, Option<UnixTime>), Failure> {
    let mut scopes = Scopes::default();
    for (config, AcceptConfig { accept, .. }) in
        config.iter().flat_map(|config| config.payment.accepts.iter().map(move |entry| (config, entry)))
    {
        let asset = &accept.asset;
        for pay_to in std::iter::once(&accept.pay_to).chain(config.plugins.receivers(asset)) {
            scopes.add(&asset.network, &asset.address, pay_to, asset.testnet).map_err(failed)?;
        }
    }
    scopes.add_ledger(reader).map_err(failed)?;
    let since = match since {
        Some(since) => Some(since),
        None => LedgerSide::default_period(reader).map_err(failed)?,
    };
    Ok((scopes, since))
}

/// Connects to the network's chain: by one of the given URLs, or, if none is given, by that of a facilitator which
/// settles on it.
async fn connect(network: &Network, config: Option<&Config>, given: &[Url]) -> Result<ChainView, Failure> {
    let chain_id = network.chain_id().ok_or_else(|| failed(format!("{network} is no EVM network")))?;
    // A given URL that does not answer is no reason to ask another node than the one that was asked for.
    let configured = config.filter(|_| given.is_empty()).and_then(|config| config.payment.rpc_of(network));
    let settings = ChainSettings { request_timeout: REQUEST_TIMEOUT, ..ChainSettings::default() };
    let mut problem = None;
    // The given URLs are of any network: the first that answers with this chain id is the one.
    for url in given.iter().chain(configured) {
        match Chain::connect(url, chain_id, settings).await {
            Ok(chain) => {
                let head = chain.block_number().await.map_err(failed)?;
                return Ok(ChainView { chain, head });
            }
            Err(error) => problem = Some(error.to_string()),
        }
    }
    Err(match problem {
        Some(problem) => failed(format!("{network}: {problem}")),
        None => Failure::usage(format!("no JSON-RPC of {network} is configured: name one with --rpc")),
    })
}

/// Compares one network: scans the chain from the beginning of the period on, looks up the transactions that the ledger
/// names beyond that, and compares both sides.
async fn compare(view: &ChainView, scope: &Scope, side: &LedgerSide, window: u64) -> Result<Comparison, Failure> {
    let ChainView { chain, head } = view;
    let first_block = async |time: UnixTime| scan::first_block_since(chain, time.0, *head).await.map_err(failed);
    let from = first_block(UnixTime(side.since.0.saturating_sub(SKEW))).await?;
    let within = first_block(side.since).await?;
    let unpruned = match side.pruned_until {
        Some(until) => first_block(until).await?.max(within),
        None => within,
    };
    let mut on_chain = Vec::new();
    for (token, receivers) in &scope.receivers {
        let receivers: Vec<Address> = receivers.iter().copied().collect();
        let mined = scan::scan(chain, *token, &receivers, from..=*head, window).await.map_err(failed)?;
        on_chain.extend(mined.into_iter().map(|mined| {
            chain_payment(&mined.payment, mined.transaction, Coverage::of(mined.block, within, unpruned))
        }));
    }
    let outcomes = look_up(chain, side, &mut on_chain).await?;
    Comparison::of(side, &on_chain, &outcomes).map_err(failed)
}

/// Looks up the transactions that the ledger names for payments which the scan did not find. Payments that are there
/// join those on chain; the outcomes of the other transactions are returned.
async fn look_up(
    chain: &Chain,
    side: &LedgerSide,
    on_chain: &mut Vec<ChainPayment>,
) -> Result<HashMap<B256, TxOutcome>, Failure> {
    let mut outcomes = HashMap::new();
    let mut receipts: HashMap<B256, Vec<Eip3009Payment>> = HashMap::new();
    for (spend, pay_to, hash) in side.unseen(on_chain) {
        // One transaction may settle many payments: each is asked for once.
        if !outcomes.contains_key(&hash) && !receipts.contains_key(&hash) {
            match chain.receipt(hash).await.map_err(failed)? {
                None => drop(outcomes.insert(hash, TxOutcome::Missing)),
                Some(receipt) if !receipt.succeeded() => drop(outcomes.insert(hash, TxOutcome::Reverted)),
                Some(receipt) => drop(receipts.insert(hash, eip3009::payments_in(&receipt.logs))),
            }
        }
        let Some(payments) = receipts.get(&hash) else { continue };
        let is_it = |paid: &&Eip3009Payment| (paid.token, paid.payer, paid.nonce) == spend && paid.pay_to == pay_to;
        match payments.iter().find(is_it) {
            Some(payment) => on_chain.push(chain_payment(payment, hash, Coverage::Row)),
            None => drop(outcomes.insert(hash, TxOutcome::Other)),
        }
    }
    Ok(outcomes)
}

fn chain_payment(payment: &Eip3009Payment, transaction: B256, coverage: Coverage) -> ChainPayment {
    ChainPayment {
        asset: payment.token,
        payer: payment.payer,
        nonce: payment.nonce,
        pay_to: payment.pay_to,
        amount: Amount(payment.amount),
        transaction,
        coverage,
    }
}
