//! `coinslot ledger reconcile`: asks the chains, and says where they and the ledger differ.
//!
//! The chain is read up to the block that was the newest before the ledger was read, so a payment that
//! settles meanwhile is on both sides or on the ledger's alone, where its own receipt proves it. What is
//! told of a chain comes from logs: a used authorisation and, right behind it, its transfer.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::time::Duration;

use alloy::primitives::{Address, B256, U64, U256};
use alloy::rpc::client::RpcClient;
use alloy::rpc::types::{Filter as LogFilter, Log};
use alloy::sol_types::SolEvent;
use clap::Args;
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use super::show::{self, Format, Lines, Out};
use super::{Source, Units, books, failed, now, place, time};
use crate::cli::Failure;
use crate::config::{AcceptConfig, Config};
use coinslot_evm::abi::IEip3009::{AuthorizationUsed, Transfer};
use coinslot_evm::{CallError, Chain, ChainSettings};
use coinslot_ledger::reports::reconcile::{
    ChainPayment, Comparison, Coverage, LOOK_BACK, LedgerDifference, LedgerSide, PaymentSum, Totals, TxOutcome,
};
use coinslot_ledger::reports::{DAY, Filter, LedgerReader, PaymentRow, PrunedTotal};
use coinslot_x402::price::Amount;
use coinslot_x402::{Network, UnixTime};

/// How `reconcile` ends when ledger and chain differ.
const DIFFERENT: u8 = 3;

/// Clocks differ: so much earlier the chain is read, to find a payment whose row is of the period.
const SKEW: u64 = 600;

/// Payers in one question for logs.
const PAYERS: usize = 200;

/// Compare the ledger with the chain, payment by payment.
///
/// Each payment that the ledger calls settled, delivered or owed must be on chain: its authorisation
/// used, its exact amount moved to the receiver by the transaction that the ledger names. Each payment
/// by authorisation that the chain shows to a receiver of the ledger or the configuration must be in
/// the ledger, and be booked.
///
/// Ends with 0 when everything agrees, 3 when something differs, 1 when it could not be compared.
#[derive(Args, Clone, Debug)]
pub(super) struct ReconcileArgs {
    #[command(flatten)]
    source: Source,
    /// From this time on. Otherwise from the ledger's oldest payment, or the day after the last pruned one.
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    since: Option<UnixTime>,
    /// A chain's JSON-RPC, instead of the one that the configuration names for its network; repeatable.
    #[arg(long, value_name = "URL")]
    rpc: Vec<Url>,
    /// Blocks in one question for logs, at most. Halved while a node refuses.
    #[arg(long, value_name = "COUNT", default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..))]
    blocks: u64,
}

/// What is asked of one network.
#[derive(Debug, Default)]
struct Scope {
    /// Token and receivers.
    receivers: BTreeMap<Address, BTreeSet<Address>>,
    testnet: bool,
}

/// A chain and where it ends for this comparison.
struct Asked {
    chain: Chain,
    url: Url,
    head: u64,
}

/// One network, compared.
struct Compared {
    network: Network,
    since: UnixTime,
    testnet: bool,
    comparison: Comparison,
}

/// Compares, and shows.
pub(super) async fn run(args: ReconcileArgs, out: &mut Out<'_>) -> Result<(), Failure> {
    let (file, config) = args.source.find()?;
    let units = Units::of(config.as_ref());
    let (scopes, since) = scopes(&books(&file)?, config.as_ref(), args.since)?;
    let format = args.source.format();
    let Some(since) = since else {
        return show(out, format, &[], &units);
    };
    // First where each chain ends, then the ledger.
    let mut asked = Vec::new();
    for (network, scope) in scopes {
        let end = connect(&network, config.as_ref(), &args.rpc).await?;
        asked.push((network, scope, end));
    }
    let mut rows = rows(&file, since)?;
    let totals = books(&file)?.pruned().map_err(failed)?;
    let mut compared = Vec::new();
    for (network, mut scope, end) in asked {
        let rows = rows.remove(&network).unwrap_or_default();
        scope.testnet |= rows.iter().any(|row| row.testnet);
        let totals: Vec<&PrunedTotal> = totals.iter().filter(|total| total.network == network).collect();
        let (pruned, pruned_until) = pruned(&totals, since)?;
        let question = LedgerSide { network: network.clone(), since, now: now(), rows, pruned };
        let comparison = compare(&end, &scope, &question, pruned_until, args.blocks)
            .await
            .map_err(|failure| Failure { message: format!("{network}: {}", failure.message), ..failure })?;
        compared.push(Compared { network, since, testnet: scope.testnet, comparison });
    }
    show(out, format, &compared, &units)
}

/// Which receivers are looked at on which network, and from when on: none if there is nothing to compare.
fn scopes(
    books: &LedgerReader,
    config: Option<&Config>,
    since: Option<UnixTime>,
) -> Result<(BTreeMap<Network, Scope>, Option<UnixTime>), Failure> {
    let mut scopes: BTreeMap<Network, Scope> = BTreeMap::new();
    let mut add = |network: &Network, asset: &str, pay_to: &str, testnet: bool| -> Result<(), Failure> {
        let parsed = network.chain_id().zip(asset.parse().ok()).zip(pay_to.parse().ok());
        let ((_, asset), pay_to) = parsed.ok_or_else(|| {
            failed(format!("payments in {asset} to {pay_to} on {network} cannot be compared: it is no EVM network"))
        })?;
        let scope = scopes.entry(network.clone()).or_default();
        scope.receivers.entry(asset).or_default().insert(pay_to);
        scope.testnet |= testnet;
        Ok(())
    };
    for AcceptConfig { accept, .. } in config.iter().flat_map(|config| &config.payment.accepts) {
        add(&accept.asset.network, &accept.asset.address, &accept.pay_to, accept.asset.testnet)?;
    }
    let mut selection = books.select(&Filter::default()).map_err(failed)?;
    let mut known = HashSet::new();
    for row in selection.rows().map_err(failed)? {
        let row = row.map_err(failed)?;
        if known.insert((row.network.clone(), row.asset.clone(), row.pay_to.clone())) {
            add(&row.network, &row.asset, &row.pay_to, row.testnet)?;
        }
    }
    let totals = books.pruned().map_err(failed)?;
    for total in &totals {
        add(&total.network, &total.asset, &total.pay_to, total.testnet)?;
    }
    let after_pruned = totals.last().map(|total| UnixTime((total.day + 1) * DAY + SKEW));
    let since = match since {
        Some(since) => Some(since),
        None => after_pruned.or(books.oldest().map_err(failed)?),
    };
    Ok((scopes, since))
}

/// Rows of the period and of the days before it, by network.
fn rows(file: &Path, since: UnixTime) -> Result<HashMap<Network, Vec<PaymentRow>>, Failure> {
    let books = books(file)?;
    let filter = Filter { since: Some(UnixTime(since.0.saturating_sub(LOOK_BACK))), ..Filter::default() };
    let mut rows: HashMap<Network, Vec<PaymentRow>> = HashMap::new();
    for row in books.select(&filter).map_err(failed)?.rows().map_err(failed)? {
        let row = row.map_err(failed)?;
        rows.entry(row.network.clone()).or_default().push(row);
    }
    Ok(rows)
}

/// Totals by token and receiver, and until when rows may have been pruned.
type PrunedTotals = (Vec<((Address, Address), PaymentSum)>, Option<UnixTime>);

/// The totals to compare with: only if the period covers all of them, because they are kept by the day
/// of a row's last change, and the chain knows another time.
fn pruned(totals: &[&PrunedTotal], since: UnixTime) -> Result<PrunedTotals, Failure> {
    let until = totals.last().map(|total| UnixTime((total.day + 1) * DAY + SKEW)).filter(|until| *until > since);
    let mut sums: BTreeMap<(Address, Address), PaymentSum> = BTreeMap::new();
    if totals.first().is_some_and(|total| total.day * DAY >= since.0 + LOOK_BACK) {
        for total in totals {
            if let (Ok(asset), Ok(pay_to)) = (total.asset.parse(), total.pay_to.parse()) {
                let sum = sums.entry((asset, pay_to)).or_default();
                sum.add(total.payments, total.amount).map_err(failed)?;
            }
        }
    }
    Ok((sums.into_iter().collect(), until))
}

/// The network's chain: by a URL that was given, or the one of the facilitator that settles on it.
async fn connect(network: &Network, config: Option<&Config>, given: &[Url]) -> Result<Asked, Failure> {
    let chain_id = network.chain_id().ok_or_else(|| failed(format!("{network} is no EVM network")))?;
    let configured = config.and_then(|config| config.payment.rpc_of(network));
    let settings = ChainSettings { request_timeout: Duration::from_secs(30), ..ChainSettings::default() };
    let mut problem = None;
    for url in given.iter().chain(configured) {
        match Chain::connect(url, chain_id, settings).await {
            Ok(chain) => {
                let head = chain.block_number().await.map_err(failed)?;
                return Ok(Asked { chain, url: url.clone(), head });
            }
            Err(error) => problem = Some(error.to_string()),
        }
    }
    Err(match problem {
        Some(problem) => failed(format!("{network}: {problem}")),
        None => Failure::usage(format!("no JSON-RPC of {network} is configured: name one with --rpc")),
    })
}

async fn compare(
    asked: &Asked,
    scope: &Scope,
    question: &LedgerSide,
    pruned_until: Option<UnixTime>,
    blocks: u64,
) -> Result<Comparison, Failure> {
    let clock = BlockClock { client: RpcClient::new_http(asked.url.clone()), head: asked.head };
    let from = clock.first(UnixTime(question.since.0.saturating_sub(SKEW))).await?;
    let within = clock.first(question.since).await?;
    let unpruned = match pruned_until {
        Some(until) => clock.first(until).await?.max(within),
        None => within,
    };
    let when = |block: u64| match block {
        block if block < within => Coverage::Before,
        block if block < unpruned => Coverage::Pruned,
        _ => Coverage::Within,
    };
    let mut seen = Vec::new();
    for (token, receivers) in &scope.receivers {
        let receivers: Vec<Address> = receivers.iter().copied().collect();
        let found = scan(&asked.chain, *token, &receivers, from, asked.head, blocks).await?;
        seen.extend(found.into_iter().map(|(block, seen)| ChainPayment { when: when(block), ..seen }));
    }
    let mut fates = HashMap::new();
    let mut read: HashMap<B256, Vec<ChainPayment>> = HashMap::new();
    for (spend, pay_to, hash) in question.unseen(&seen) {
        if !fates.contains_key(&hash) && !read.contains_key(&hash) {
            let fate = match asked.chain.receipt(hash).await.map_err(failed)? {
                None => Some(TxOutcome::Missing),
                Some(receipt) if !receipt.succeeded() => Some(TxOutcome::Reverted),
                Some(receipt) => {
                    read.insert(hash, payments(&receipt.logs));
                    None
                }
            };
            fates.extend(fate.map(|fate| (hash, fate)));
        }
        let Some(payments) = read.get(&hash) else {
            continue;
        };
        match payments.iter().find(|seen| seen.spend() == spend && seen.pay_to == pay_to) {
            Some(payment) => seen.push(payment.clone()),
            None => {
                fates.insert(hash, TxOutcome::Other);
            }
        }
    }
    question.compare(&seen, &fates).map_err(failed)
}

/// Payments by authorisation to these receivers, with their blocks.
async fn scan(
    chain: &Chain,
    token: Address,
    receivers: &[Address],
    from: u64,
    to: u64,
    most: u64,
) -> Result<Vec<(u64, ChainPayment)>, Failure> {
    /// A node that does not answer is asked so often.
    const ATTEMPTS: u32 = 4;
    let mut found = Vec::new();
    let (mut at, mut step, mut attempt) = (from, most, 1);
    while at <= to {
        let end = at.saturating_add(step - 1).min(to);
        match window(chain, token, receivers, at, end).await {
            Ok(payments) => {
                found.extend(payments);
                at = end + 1;
                attempt = 1;
                step = step.saturating_mul(2).min(most);
            }
            // Too many blocks, too many logs, or too many questions: nodes word it in many ways.
            Err(CallError::Refused(reason)) if end > at => {
                tracing::debug!(reason, from = at, to = end, "the node refused a range of blocks");
                step = (step / 2).max(1);
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(CallError::Unreachable(reason)) if attempt < ATTEMPTS => {
                tracing::warn!(reason, "asking the node again");
                tokio::time::sleep(Duration::from_secs(1) * attempt).await;
                attempt += 1;
            }
            Err(error) => return Err(failed(format!("logs of blocks {at} to {end}: {error}"))),
        }
    }
    Ok(found)
}

/// A transfer to a receiver counts if the log right before it says which authorisation it used.
async fn window(
    chain: &Chain,
    token: Address,
    receivers: &[Address],
    from: u64,
    to: u64,
) -> Result<Vec<(u64, ChainPayment)>, CallError> {
    let receivers: Vec<B256> = receivers.iter().map(Address::into_word).collect();
    let filter = LogFilter::new().address(token).from_block(from).to_block(to);
    let transfers = filter.clone().event_signature(Transfer::SIGNATURE_HASH).topic2(receivers);
    let transfers = chain.logs(&transfers).await?;
    let payers: BTreeSet<B256> = transfers.iter().filter_map(|log| log.topics().get(1).copied()).collect();
    let mut used: HashMap<(B256, u64), Log> = HashMap::new();
    for payers in payers.into_iter().collect::<Vec<_>>().chunks(PAYERS) {
        let filter = filter.clone().event_signature(AuthorizationUsed::SIGNATURE_HASH).topic1(payers.to_vec());
        let logs = chain.logs(&filter).await?;
        used.extend(logs.into_iter().filter_map(|log| Some((position(&log)?, log))));
    }
    let found = transfers.iter().filter_map(|transfer| {
        let (transaction, index) = position(transfer)?;
        let authorization = used.get(&(transaction, index.checked_sub(1)?))?;
        Some((transfer.block_number?, payment(authorization, transfer)?))
    });
    Ok(found.collect())
}

/// The payments in the logs of one transaction.
fn payments(logs: &[Log]) -> Vec<ChainPayment> {
    logs.windows(2).filter_map(|pair| payment(&pair[0], &pair[1])).collect()
}

/// A used authorisation and its transfer.
fn payment(authorization: &Log, transfer: &Log) -> Option<ChainPayment> {
    let ((transaction, at), (other, next)) = (position(authorization)?, position(transfer)?);
    let (&[used, payer, nonce], &[moved, from, to]) = (authorization.topics(), transfer.topics()) else {
        return None;
    };
    let together = transaction == other && at + 1 == next && authorization.address() == transfer.address();
    let right = used == AuthorizationUsed::SIGNATURE_HASH && moved == Transfer::SIGNATURE_HASH && payer == from;
    (together && right).then_some(())?;
    Some(ChainPayment {
        asset: transfer.address(),
        payer: Address::from_word(payer),
        nonce,
        pay_to: Address::from_word(to),
        amount: Amount(U256::try_from_be_slice(&transfer.data().data)?),
        transaction,
        when: Coverage::Within,
    })
}

fn position(log: &Log) -> Option<(B256, u64)> {
    (!log.removed).then_some(())?;
    log.transaction_hash.zip(log.log_index)
}

/// Which block was the first at or after a time.
struct BlockClock {
    client: RpcClient,
    head: u64,
}

impl BlockClock {
    /// The block after the newest if even that is older.
    async fn first(&self, time: UnixTime) -> Result<u64, Failure> {
        let (mut low, mut high) = (0, self.head + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            // What a node has forgotten is older than what it has.
            if self.timestamp(middle).await?.is_none_or(|at| at < time.0) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    async fn timestamp(&self, block: u64) -> Result<Option<u64>, Failure> {
        #[derive(Clone, Debug, Deserialize)]
        struct Header {
            timestamp: U64,
        }
        let asked: Result<Option<Header>, _> =
            self.client.request("eth_getBlockByNumber", (U64::from(block), false)).await;
        match asked {
            Ok(header) => Ok(header.map(|header| header.timestamp.to())),
            // The texts of transports hold the URL, which often holds a key.
            Err(error) => match error.as_error_resp() {
                Some(refusal) => Err(failed(format!("the node refused block {block}: {}", refusal.message))),
                None => Err(failed(format!("no answer from the node for block {block}"))),
            },
        }
    }
}

const DIFFERENCES: &[&str] = &[
    "difference",
    "network",
    "testnet",
    "asset",
    "symbol",
    "payTo",
    "payer",
    "nonce",
    "paymentId",
    "state",
    "ledgerAmount",
    "chainAmount",
    "ledgerTransaction",
    "chainTransaction",
];

fn show(out: &mut Out<'_>, format: Format, compared: &[Compared], units: &Units) -> Result<(), Failure> {
    let differences: usize = compared.iter().map(|compared| compared.comparison.findings.len()).sum();
    match format {
        Format::Table => tables(out, compared, units)?,
        Format::Json => {
            let networks: Vec<Value> = compared.iter().map(|compared| json_of(compared, units)).collect();
            out.line(&json!({ "agrees": differences == 0, "networks": networks }).to_string())?;
            out.flush()?;
        }
        Format::Csv => {
            let mut lines = Lines::new(format, DIFFERENCES, &[]);
            for compared in compared {
                for finding in &compared.comparison.findings {
                    lines.add(out, || finding_record(finding, compared.testnet, units), Vec::new)?;
                }
            }
            lines.end(out, "")?;
        }
    }
    match differences {
        0 => Ok(()),
        1 => Err(Failure { code: DIFFERENT, message: "1 difference between ledger and chain".to_owned() }),
        many => Err(Failure { code: DIFFERENT, message: format!("{many} differences between ledger and chain") }),
    }
}

fn tables(out: &mut Out<'_>, compared: &[Compared], units: &Units) -> Result<(), Failure> {
    // Real money first.
    let mut ordered: Vec<&Compared> = compared.iter().collect();
    ordered.sort_by_key(|compared| compared.testnet);
    let headings = &["NETWORK", "RECEIVER", "SINCE", "LEDGER", "CHAIN"];
    let mut lines = Lines::new(Format::Table, &[], headings);
    for compared in &ordered {
        for ((asset, pay_to), sides) in &compared.comparison.sides {
            let asset = asset.to_string();
            let tally = |tally: PaymentSum| {
                let amount = units.shown(&compared.network, &asset, tally.amount);
                format!("{} in {}", amount, payments_of(tally.payments))
            };
            lines.add(out, Vec::new, || {
                vec![
                    place(&compared.network, compared.testnet),
                    pay_to.to_string(),
                    time::shown(compared.since),
                    tally(sides.ledger),
                    tally(sides.chain),
                ]
            })?;
        }
    }
    lines.end(out, "nothing to compare: neither side has payments")?;
    for compared in &ordered {
        for ((asset, pay_to), sides) in &compared.comparison.sides {
            notes(out, compared, &asset.to_string(), &pay_to.to_string(), sides, units)?;
        }
    }
    let headings = &["DIFFERENCE", "NETWORK", "LEDGER", "CHAIN", "PAYER", "TRANSACTION", "PAYMENT"];
    let mut lines = Lines::new(Format::Table, DIFFERENCES, headings);
    for compared in &ordered {
        for finding in &compared.comparison.findings {
            lines.add(out, Vec::new, || {
                let amount = |amount: Option<Amount>| {
                    amount
                        .map_or_else(|| "-".to_owned(), |amount| units.shown(&finding.network, &finding.asset, amount))
                };
                let ledger = match finding.state {
                    Some(state) => format!("{} {}", state.as_str(), amount(finding.ledger_amount)),
                    None => amount(finding.ledger_amount),
                };
                let chain = finding.chain_transaction.map(|hash| hash.to_string());
                let transaction = chain.or_else(|| finding.ledger_transaction.clone());
                vec![
                    finding.difference.as_str().to_owned(),
                    place(&finding.network, compared.testnet),
                    ledger,
                    amount(finding.chain_amount),
                    finding.payer.as_deref().map_or_else(|| "-".to_owned(), show::short),
                    transaction.unwrap_or_else(|| "-".to_owned()),
                    finding.payment_id.clone().unwrap_or_else(|| "-".to_owned()),
                ]
            })?;
        }
    }
    out.line("")?;
    lines.end(out, "ledger and chain agree")
}

/// What does not fit into a row of the table.
fn notes(
    out: &mut Out<'_>,
    compared: &Compared,
    asset: &str,
    pay_to: &str,
    sides: &Totals,
    units: &Units,
) -> Result<(), Failure> {
    let shown = |tally: PaymentSum| {
        format!("{} in {}", units.shown(&compared.network, asset, tally.amount), payments_of(tally.payments))
    };
    if sides.at_work > 0 {
        out.line(&format!("{} to {pay_to} still at work, not counted", payments_of(sides.at_work)))?;
    }
    match sides.pruned_ledger {
        Some(ledger) => out.line(&format!(
            "pruned rows to {pay_to}: {} in the ledger's totals, {} on chain",
            shown(ledger),
            shown(sides.pruned_chain)
        )),
        None if sides.pruned_chain.payments > 0 => out.line(&format!(
            "{} to {pay_to} on chain from days with pruned rows, not compared: an earlier --since compares their totals",
            shown(sides.pruned_chain)
        )),
        None => Ok(()),
    }
}

fn payments_of(count: u64) -> String {
    if count == 1 { "1 payment".to_owned() } else { format!("{count} payments") }
}

fn json_of(compared: &Compared, units: &Units) -> Value {
    let receivers = compared.comparison.sides.iter().map(|((asset, pay_to), sides)| {
        let asset = asset.to_string();
        let tally = |tally: PaymentSum| {
            let [_, amount, atomic] = units.values(&compared.network, &asset, tally.amount);
            json!({ "payments": tally.payments, "amount": amount, "atomicAmount": atomic })
        };
        json!({
            "asset": asset,
            "symbol": units.asset(&compared.network, &asset).map(|asset| asset.symbol),
            "payTo": pay_to.to_string(),
            "ledger": tally(sides.ledger),
            "chain": tally(sides.chain),
            "prunedLedger": sides.pruned_ledger.map(tally),
            "prunedChain": tally(sides.pruned_chain),
            "atWork": sides.at_work,
        })
    });
    let differences = compared.comparison.findings.iter().map(|finding| {
        let names = DIFFERENCES.iter().map(|name| (*name).to_owned());
        Value::Object(names.zip(finding_record(finding, compared.testnet, units)).collect())
    });
    json!({
        "network": compared.network,
        "testnet": compared.testnet,
        "since": time::shown(compared.since),
        "receivers": receivers.collect::<Vec<_>>(),
        "differences": differences.collect::<Vec<_>>(),
    })
}

fn finding_record(finding: &LedgerDifference, testnet: bool, units: &Units) -> Vec<Value> {
    let atomic = |amount: Option<Amount>| json!(amount.map(|amount| amount.to_string()));
    vec![
        json!(finding.difference.as_str()),
        json!(finding.network),
        json!(testnet),
        json!(finding.asset),
        json!(units.asset(&finding.network, &finding.asset).map(|asset| asset.symbol)),
        json!(finding.pay_to),
        json!(finding.payer),
        json!(finding.nonce),
        json!(finding.payment_id),
        json!(finding.state.map(|state| state.as_str())),
        atomic(finding.ledger_amount),
        atomic(finding.chain_amount),
        json!(finding.ledger_transaction),
        json!(finding.chain_transaction.map(|hash| hash.to_string())),
    ]
}
