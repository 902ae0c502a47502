//! Compares the ledger with the chains, payment by payment: for `coinslot ledger reconcile` and, from time to time, for
//! a running host.
//!
//! The chain is read up to the block that was the newest before the ledger was read. So a payment that settles
//! meanwhile is on both sides, or on the ledger's alone, where the receipt of its transaction proves it.

use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

use alloy::primitives::{Address, B256};
use coinslot_evm::eip3009::{self, Eip3009Payment};
use coinslot_evm::{Chain, ChainSettings, TxReceipt, scan};
use coinslot_ledger::reports::LedgerReader;
use coinslot_ledger::reports::reconcile::{
    ChainPayment, Comparison, Coverage, LedgerSide, SKEW, Scope, Scopes, TxOutcome,
};
use coinslot_x402::price::Amount;
use coinslot_x402::{Network, UnixTime};
use url::Url;

use crate::config::{AcceptConfig, Config};
use crate::operate::time;

/// The longest wait for one answer of a node. Reports ask for more at once than the server does.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Blocks in one request for logs, unless it is said otherwise.
pub(crate) const USUAL_BLOCKS: u64 = 2_000;

/// A comparison that is to be made.
#[derive(Clone, Debug)]
pub(crate) struct Reconciliation<'r> {
    /// The file of the ledger.
    pub(crate) ledger: &'r Path,
    /// Its receivers are compared beside those that the ledger names, at its nodes.
    pub(crate) config: Option<&'r Config>,
    /// None: from the ledger's oldest payment on, or the day after the last pruned one.
    pub(crate) since: Option<UnixTime>,
    /// The nodes that are asked instead of those of the configuration, each for the network that it is of.
    pub(crate) nodes: &'r [Url],
    /// Blocks in one request for logs, at most.
    pub(crate) blocks: u64,
}

/// The comparison of one network.
#[derive(Debug)]
pub(crate) struct NetworkComparison {
    pub(crate) network: Network,
    pub(crate) since: UnixTime,
    pub(crate) testnet: bool,
    pub(crate) comparison: Comparison,
}

/// The comparison of a network, or the reason why there is none.
pub(crate) type NetworkResult = Result<NetworkComparison, ReconcileError>;

/// The reason why a network was not compared.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReconcileError {
    #[error("no JSON-RPC of {0} is configured: name one with --rpc")]
    NoNode(Network),
    #[error("{0}")]
    Failed(String),
}

/// A chain, and the last block that is read of it.
struct ChainView {
    chain: Chain,
    head: u64,
}

/// Compares every network that the ledger or the configuration names, each by itself. Empty if there is nothing to
/// compare.
pub(crate) async fn reconcile(asked: &Reconciliation<'_>) -> Result<Vec<NetworkResult>, ReconcileError> {
    let open = || LedgerReader::open(asked.ledger).map_err(failed);
    let (scopes, since) = scopes(&open()?, asked.config, asked.since)?;
    let Some(since) = since else { return Ok(Vec::new()) };
    // The heads of the chains first, and then the ledger: see the module.
    let mut views = Vec::new();
    for (network, scope) in scopes.0 {
        let view = connect(&network, asked.config, asked.nodes).await;
        views.push((network, scope, view));
    }
    let mut sides = LedgerSide::read_all(&open()?, since, time::now()).map_err(failed)?;
    let mut comparisons = Vec::new();
    for (network, scope, view) in views {
        let view = match view {
            Ok(view) => view,
            Err(error) => {
                comparisons.push(Err(error));
                continue;
            }
        };
        let side = sides.remove(&network).unwrap_or_else(|| LedgerSide::empty(network.clone(), since, time::now()));
        let testnet = scope.testnet || side.rows.iter().any(|row| row.testnet);
        let comparison = compare(&view, &scope, &side, asked.blocks).await;
        let compared = comparison.map_err(|error| failed(format!("{network}: {error}")));
        comparisons.push(compared.map(|comparison| NetworkComparison { network, since, testnet, comparison }));
    }
    Ok(comparisons)
}

fn failed(error: impl Display) -> ReconcileError {
    ReconcileError::Failed(error.to_string())
}

/// The receivers of the configuration and of the ledger, and the beginning of the period: `None` if there is nothing
/// to compare.
fn scopes(
    reader: &LedgerReader,
    config: Option<&Config>,
    since: Option<UnixTime>,
) -> Result<(Scopes, Option<UnixTime>), ReconcileError> {
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
async fn connect(network: &Network, config: Option<&Config>, given: &[Url]) -> Result<ChainView, ReconcileError> {
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
        None => ReconcileError::NoNode(network.clone()),
    })
}

/// Compares one network: scans the chain from the beginning of the period on, looks up the transactions that the ledger
/// names beyond that, and compares both sides.
async fn compare(
    view: &ChainView,
    scope: &Scope,
    side: &LedgerSide,
    window: u64,
) -> Result<Comparison, ReconcileError> {
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
    let not_made = refunds_not_made(chain, side).await?;
    Comparison::of(side, &on_chain, &outcomes, &not_made).map_err(failed)
}

/// The payments that the ledger calls paid back, and whose refund is not in the transaction that it names.
async fn refunds_not_made(chain: &Chain, side: &LedgerSide) -> Result<HashSet<String>, ReconcileError> {
    let mut not_made = HashSet::new();
    for refund in &side.refunds {
        let address = |text: &str| text.parse::<Address>().ok();
        let terms = (address(&refund.asset), address(&refund.sender), address(&refund.payer));
        let hash = refund.transaction.as_deref().and_then(|hash| hash.parse::<B256>().ok());
        let (Some(hash), (Some(token), Some(sender), Some(payer))) = (hash, terms) else {
            not_made.insert(refund.payment_id.clone());
            continue;
        };
        let receipt = chain.receipt(hash).await.map_err(failed)?;
        let is_made = receipt.filter(TxReceipt::succeeded).is_some_and(|receipt| {
            let sent = eip3009::transfers_in(&receipt.logs, token, sender);
            match refund.nonce {
                Some(_) => sent.contains(&(payer, refund.amount.0)),
                // What was paid by hand may be more, and end several debts.
                None => eip3009::moved_to(&receipt.logs, token, payer) >= refund.amount.0,
            }
        });
        if !is_made {
            not_made.insert(refund.payment_id.clone());
        }
    }
    Ok(not_made)
}

/// Looks up the transactions that the ledger names for payments which the scan did not find. Payments that are there
/// join those on chain; the outcomes of the other transactions are returned.
async fn look_up(
    chain: &Chain,
    side: &LedgerSide,
    on_chain: &mut Vec<ChainPayment>,
) -> Result<HashMap<B256, TxOutcome>, ReconcileError> {
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
