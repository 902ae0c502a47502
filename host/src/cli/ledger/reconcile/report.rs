//! Writes the comparison of ledger and chain.

use coinslot_ledger::reports::reconcile::{Difference, PaymentSum, TokenReceiver, Totals};
use coinslot_x402::Network;
use coinslot_x402::price::Amount;
use serde_json::{Value, json};

use crate::cli::Failure;
use crate::cli::output::{Output, OutputFormat, RecordWriter, short};
use crate::operate::time;
use crate::operate::units::{Units, network_label};
use crate::reconcile::NetworkComparison;

/// The exit code when ledger and chain differ.
const DIFFERENT: u8 = 3;

/// The columns of a difference for programs.
const COLUMNS: &[&str] = &[
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

/// Writes the report of every network. Fails with the exit code 3 if there are differences.
pub(super) fn write(
    out: &mut Output<'_>,
    format: OutputFormat,
    reports: &[NetworkComparison],
    units: &Units,
) -> Result<(), Failure> {
    let differences: usize = reports.iter().map(|report| report.comparison.differences.len()).sum();
    match format {
        OutputFormat::Table => tables(out, reports, units)?,
        OutputFormat::Json => {
            let networks: Vec<Value> = reports.iter().map(|report| json_of(report, units)).collect();
            out.json(&json!({ "agrees": differences == 0, "networks": networks }))?;
            out.flush()?;
        }
        OutputFormat::Csv => {
            let mut records = RecordWriter::new(format, COLUMNS, &[]);
            for report in reports {
                for difference in &report.comparison.differences {
                    records.add(out, || values(difference, report.testnet, units), Vec::new)?;
                }
            }
            records.end(out, "")?;
        }
    }
    match differences {
        0 => Ok(()),
        1 => Err(Failure { code: DIFFERENT, message: "1 difference between ledger and chain".to_owned() }),
        many => Err(Failure { code: DIFFERENT, message: format!("{many} differences between ledger and chain") }),
    }
}

/// Writes a table of receivers, the notes to it, and a table of differences.
fn tables(out: &mut Output<'_>, reports: &[NetworkComparison], units: &Units) -> Result<(), Failure> {
    // Real money first.
    let mut reports: Vec<&NetworkComparison> = reports.iter().collect();
    reports.sort_by_key(|report| report.testnet);
    receivers_table(out, &reports, units)?;
    for report in &reports {
        for (group, totals) in &report.comparison.totals {
            notes(out, &report.network, *group, totals, units)?;
        }
    }
    differences_table(out, &reports, units)
}

fn receivers_table(out: &mut Output<'_>, reports: &[&NetworkComparison], units: &Units) -> Result<(), Failure> {
    let headings = &["NETWORK", "RECEIVER", "SINCE", "LEDGER", "CHAIN"];
    let mut records = RecordWriter::new(OutputFormat::Table, &[], headings);
    for report in reports {
        for ((asset, pay_to), totals) in &report.comparison.totals {
            records.add(out, Vec::new, || {
                vec![
                    network_label(&report.network, report.testnet),
                    pay_to.to_string(),
                    time::shown(report.since),
                    sum_text(units, &report.network, &asset.to_string(), totals.ledger),
                    sum_text(units, &report.network, &asset.to_string(), totals.chain),
                ]
            })?;
        }
    }
    records.end(out, "nothing to compare: neither side has payments")
}

fn differences_table(out: &mut Output<'_>, reports: &[&NetworkComparison], units: &Units) -> Result<(), Failure> {
    let headings = &["DIFFERENCE", "NETWORK", "LEDGER", "CHAIN", "PAYER", "TRANSACTION", "PAYMENT"];
    let mut records = RecordWriter::new(OutputFormat::Table, COLUMNS, headings);
    for report in reports {
        for difference in &report.comparison.differences {
            records.add(out, Vec::new, || {
                let amount = |amount: Option<Amount>| match amount {
                    Some(amount) => units.shown(&difference.network, &difference.asset, amount),
                    None => "-".to_owned(),
                };
                let ledger = match difference.state {
                    Some(state) => format!("{} {}", state.as_str(), amount(difference.ledger_amount)),
                    None => amount(difference.ledger_amount),
                };
                let on_chain = difference.chain_transaction.map(|hash| hash.to_string());
                let transaction = on_chain.or_else(|| difference.ledger_transaction.clone());
                vec![
                    difference.kind.as_str().to_owned(),
                    network_label(&difference.network, report.testnet),
                    ledger,
                    amount(difference.chain_amount),
                    difference.payer.as_deref().map_or_else(|| "-".to_owned(), short),
                    transaction.unwrap_or_else(|| "-".to_owned()),
                    difference.payment_id.clone().unwrap_or_else(|| "-".to_owned()),
                ]
            })?;
        }
    }
    out.line("")?;
    records.end(out, "ledger and chain agree")
}

/// Writes what does not fit into a row of the table of receivers.
fn notes(
    out: &mut Output<'_>,
    network: &Network,
    group: TokenReceiver,
    totals: &Totals,
    units: &Units,
) -> Result<(), Failure> {
    let (asset, pay_to) = group;
    let shown = |sum: PaymentSum| sum_text(units, network, &asset.to_string(), sum);
    if totals.at_work > 0 {
        out.line(&format!("{} to {pay_to} still at work, not counted", count_text(totals.at_work)))?;
    }
    match totals.pruned_ledger {
        Some(ledger) => out.line(&format!(
            "pruned rows to {pay_to}: {} in the ledger's totals, {} on chain",
            shown(ledger),
            shown(totals.pruned_chain)
        )),
        None if totals.pruned_chain.payments > 0 => out.line(&format!(
            "{} to {pay_to} on chain from days with pruned rows, not compared: an earlier --since compares their totals",
            shown(totals.pruned_chain)
        )),
        None => Ok(()),
    }
}

/// `0.02 USDC in 2 payments`.
fn sum_text(units: &Units, network: &Network, asset: &str, sum: PaymentSum) -> String {
    format!("{} in {}", units.shown(network, asset, sum.amount), count_text(sum.payments))
}

fn count_text(payments: u64) -> String {
    if payments == 1 { "1 payment".to_owned() } else { format!("{payments} payments") }
}

fn json_of(report: &NetworkComparison, units: &Units) -> Value {
    let receivers = report.comparison.totals.iter().map(|((asset, pay_to), totals)| {
        let asset = asset.to_string();
        let sum = |sum: PaymentSum| {
            let amount = units.written(&report.network, &asset, sum.amount);
            json!({ "payments": sum.payments, "amount": amount.decimal, "atomicAmount": amount.atomic })
        };
        json!({
            "asset": asset,
            "symbol": units.asset(&report.network, &asset).map(|asset| asset.symbol),
            "payTo": pay_to.to_string(),
            "ledger": sum(totals.ledger),
            "chain": sum(totals.chain),
            "prunedLedger": totals.pruned_ledger.map(sum),
            "prunedChain": sum(totals.pruned_chain),
            "atWork": totals.at_work,
        })
    });
    let differences = report.comparison.differences.iter().map(|difference| {
        let names = COLUMNS.iter().map(|name| (*name).to_owned());
        Value::Object(names.zip(values(difference, report.testnet, units)).collect())
    });
    json!({
        "network": report.network,
        "testnet": report.testnet,
        "since": time::shown(report.since),
        "receivers": receivers.collect::<Vec<_>>(),
        "differences": differences.collect::<Vec<_>>(),
    })
}

/// The values of [`COLUMNS`].
fn values(difference: &Difference, testnet: bool, units: &Units) -> Vec<Value> {
    let atomic = |amount: Option<Amount>| json!(amount.map(|amount| amount.to_string()));
    vec![
        json!(difference.kind.as_str()),
        json!(difference.network),
        json!(testnet),
        json!(difference.asset),
        json!(units.asset(&difference.network, &difference.asset).map(|asset| asset.symbol)),
        json!(difference.pay_to),
        json!(difference.payer),
        json!(difference.nonce),
        json!(difference.payment_id),
        json!(difference.state.map(|state| state.as_str())),
        atomic(difference.ledger_amount),
        atomic(difference.chain_amount),
        json!(difference.ledger_transaction),
        json!(difference.chain_transaction.map(|hash| hash.to_string())),
    ]
}
