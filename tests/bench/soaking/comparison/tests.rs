use std::time::Duration;

use serde_json::json;

use super::*;
use crate::order::{Order, Version};

/// The records of clients, ledger and chain about three payments: one answered, one that a version 1 client did not get
/// again, and one refused.
struct Sources {
    records: Vec<Record>,
    ledger: Vec<Value>,
    seen: ChainRecords,
    open: Vec<Value>,
    reconciled: Option<Value>,
    runs: Vec<HostRun>,
    strangers: Vec<String>,
}

fn record(nonce: &str, end: End) -> Record {
    Record { payer: "0xa".to_owned(), nonce: nonce.to_owned(), amount: 10, end }
}

fn row(nonce: &str, state: &str) -> Value {
    json!({ "payer": "0xA", "nonce": nonce, "atomicAmount": "10", "state": state, "transaction": format!("0xt{nonce}") })
}

fn bought(transaction: &str) -> End {
    End::Bought { transaction: transaction.to_owned(), waited: Duration::ZERO, attempts: 1 }
}

fn on_chain(nonce: &str) -> (Spend, (u128, String)) {
    (("0xa".to_owned(), nonce.to_owned()), (10, format!("0xt{nonce}")))
}

fn agreed() -> Sources {
    let payments = [on_chain("1"), on_chain("2")].into_iter().collect();
    Sources {
        records: vec![
            record("1", bought("0xt1")),
            record("2", End::HandedOver),
            record("3", End::Refused("interrupted".to_owned())),
        ],
        ledger: vec![row("1", "delivered"), row("2", "delivered"), row("3", "refused")],
        seen: ChainRecords { payments, transfers: 2, transferred: 20, received: 20, ..ChainRecords::default() },
        open: Vec::new(),
        reconciled: Some(json!({ "agrees": true })),
        runs: Vec::new(),
        strangers: Vec::new(),
    }
}

fn gone() -> End {
    let order = Order { route: "/status", version: Version::Two, payment: String::new(), nonce: String::new() };
    End::Gone(order)
}

#[track_caller]
fn check(change: impl FnOnce(&mut Sources), expected: &[&str]) {
    let mut sources = agreed();
    change(&mut sources);
    let Sources { records, ledger, seen, open, reconciled, runs, strangers } = &sources;
    let verdict = compare(records, ledger, seen, open, reconciled, runs, strangers);
    let found: Vec<&str> = verdict.differences.iter().map(String::as_str).collect();
    let all = expected.iter().all(|what| found.iter().any(|difference| difference.starts_with(what)));
    assert!(all && found.is_empty() == expected.is_empty(), "{found:#?} has not {expected:#?}");
}

#[test]
fn consistent_records_agree() {
    check(|_| (), &[]);
}

#[test]
fn a_receipt_needs_its_transfer_and_its_row() {
    check(
        |sources| drop(sources.seen.payments.remove(&on_chain("1").0)),
        &["a receipt, and nothing on chain", "booked and not"],
    );
    check(|sources| sources.records[0].end = bought("0xother"), &["another transaction on chain than in the receipt"]);
    check(|sources| sources.records[0].amount = 9, &["another amount on chain", "clients have"]);
    check(|sources| sources.ledger[0] = row("1", "refused"), &["a receipt, and not booked", "on chain and not booked"]);
    check(
        |sources| sources.ledger[0]["transaction"] = json!("0xother"),
        &["another transaction on chain than in the ledger"],
    );
}

#[test]
fn a_refusal_needs_a_known_reason_and_no_charge() {
    check(|sources| sources.records[2].end = End::Refused("invalid_signature".to_owned()), &["a good payment refused"]);
    check(
        |sources| sources.seen.payments.extend([on_chain("3")]),
        &["refused, and money on chain", "on chain and not booked"],
    );
}

#[test]
fn a_charged_payment_must_have_been_answered() {
    check(|sources| sources.records[1].end = gone(), &["charged, and never fetched", "clients have"]);
    check(|sources| sources.records[2].end = gone(), &[]);
    check(|sources| sources.ledger[1] = row("2", "settled"), &["charged, and nothing given"]);
    check(|sources| sources.ledger[1] = row("2", "owed"), &["charged, and nothing given", "owed to a client"]);
    check(|sources| sources.ledger[0] = row("1", "owed"), &["owed to a client that came back"]);
}

#[test]
fn an_answer_to_a_stranger_is_a_difference() {
    check(|sources| sources.strangers.push("200 with an answer".to_owned()), &["to a stranger: 200"]);
}

#[test]
fn unknown_and_unfinished_payments_are_differences() {
    check(|sources| drop(sources.records.remove(1)), &["no client's payment", "clients have"]);
    check(|sources| sources.seen.transferred += 10, &["the ledger has"]);
    check(|sources| sources.seen.received += 10, &["       2 payments"]);
    check(|sources| sources.open.push(row("2", "unknown")), &["not finished"]);
    check(|sources| sources.reconciled = None, &["coinslot ledger reconcile"]);
    check(|sources| sources.records.push(record("4", End::Wrong("500 at last".to_owned()))), &["500 at last"]);
}

#[test]
fn sigterm_must_end_the_host_without_open_payments() {
    let run = |status: &str, left| HostRun {
        starting: Duration::ZERO,
        memory: [0, 0],
        signal: Some(Signal::TERM),
        ending: Duration::ZERO,
        status: Some(status.to_owned()),
        left,
    };
    check(|sources| sources.runs.push(run("exit status: 0", 0)), &[]);
    check(|sources| sources.runs.push(run("exit status: 1", 0)), &["SIGTERM ended the host"]);
    check(|sources| sources.runs.push(run("exit status: 0", 1)), &["SIGTERM left 1 payments"]);
}
